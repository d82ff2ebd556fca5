-- Take in what one sidecar counted; the same batch twice counts once.
-- KEYS: prefix of the shard. ARGV: instance, sequence, last sequence that was acknowledged, payload, most identities.
-- Payload: {entries, windows}; entry: {flags, kind, identity, minute, cell, first_ms, last_ms, last_status,
-- last_micros, last_error, last_success_ms, last_failure_ms, streak}; window: {identity, step_ms, epoch, {good, bad,
-- below, slow, quick}, {model, ...}, last}.
-- Answers {"ok", server_ms, version, {{epoch, {sums}, models, last}, ...}}, or {"lost", 0} and {"behind", sequence}
-- where batches that were acknowledged are not there.

local RECORD, MINUTE_CELL, HOUR_CELL, MINUTE_RING, LONG_RINGS = 1, 2, 4, 8, 16
local MARK_LIFE, MINUTES_LIFE, HOURS_LIFE = 7 * 86400, 25 * 3600, 31 * 86400
local BUCKETS = 10
local AHEAD_MS = 300000  -- a clock further ahead than this is wrong: what it says happens now
local FIELDS = 16        -- fields of a hash of cells for each identity a shard may keep

local prefix, instance = KEYS[1], ARGV[1]
local sequence, acknowledged, most = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[5])
local has = bit.band

local mark = prefix .. "q:" .. instance
local stored = tonumber(redis.call("GET", mark) or false)
if not stored and acknowledged > 0 then return {"lost", 0} end
stored = stored or 0
if stored < acknowledged then return {"behind", stored} end

local now = server_ms()
local this_minute = math.floor(now / 60000)
local sent = {{}, {}}
if #ARGV[4] > 0 then sent = unpack_one(ARGV[4]) end
local apply = sequence > stored
local version

local KEPT = {["~other"] = true, ["~none"] = true, ["~all"] = true}
-- Under what a target is counted that there is no room for; nothing for those that there is always room for.
local function other_of(identity)
  local newline = string.find(identity, "\n", 2, true)
  if not newline or KEPT[string.sub(identity, newline + 1)] then return nil end
  return string.sub(identity, 1, newline) .. "~other"
end

-- By key of cells, how many more fields it has room for. A key that is new here gets its end here.
local rooms = {}
local function add_cell(key, life, part, kind, identity, cell)
  local room = rooms[key] or most * FIELDS - redis.call("HLEN", key)
  local field = part .. kind .. identity
  local old = redis.call("HGET", key, field)
  if not old and room <= 0 then
    field = part .. kind .. (other_of(identity) or identity)
    old = redis.call("HGET", key, field)
  end
  if old then cell = merge_cell(unpack_one(old), cell) else room = room - 1 end
  redis.call("HSET", key, field, pack(cell))
  if not rooms[key] and redis.call("TTL", key) == -1 then redis.call("EXPIRE", key, life) end
  rooms[key] = room
end

local buried = redis.call("ZCARD", prefix .. "z") > 0
local function add_record(kind, identity, record)
  local old = redis.call("HGET", prefix .. "t", kind .. identity)
  if old then record = merge_record(unpack_one(old), record) end
  redis.call("HSET", prefix .. "t", kind .. identity, pack(record))
  local again = buried and redis.call("ZREM", prefix .. "z", identity) or 0
  return again + redis.call("ZADD", prefix .. "x", version, identity)
end

local function add_entry(entry)
  local flags, kind, identity, minute, cell = entry[1], entry[2], entry[3], entry[4], entry[5]
  if entry[7] > now + AHEAD_MS then
    for i = 6, 12 do
      if i ~= 8 and i ~= 9 and i ~= 10 then entry[i] = math.min(entry[i], now) end
    end
  end
  if minute * 60000 > now + AHEAD_MS then minute = this_minute end
  if has(flags, MINUTE_RING + LONG_RINGS) > 0 then
    local first = has(flags, MINUTE_RING) > 0 and 1 or 2
    local last = has(flags, LONG_RINGS) > 0 and 3 or 1
    count_in_rings(prefix .. "g:" .. kind .. identity, minute, cell, first, last)
  end
  if has(flags, MINUTE_CELL) > 0 then
    local hour = math.floor(minute / 60)
    add_cell(prefix .. "m:" .. hour, MINUTES_LIFE, string.format("%02d", minute - hour * 60), kind, identity, cell)
  end
  if has(flags, HOUR_CELL) > 0 then
    local hour = math.floor(minute / 60)
    local day = math.floor(hour / 24)
    add_cell(prefix .. "h:" .. day, HOURS_LIFE, string.format("%02d", hour - day * 24), kind, identity, cell)
  end
  if has(flags, RECORD) > 0 then
    version = version or next_version(prefix .. "v", prefix .. "vb", now)
    return add_record(kind, identity, {
      cell, entry[6], entry[7], entry[8], entry[9], entry[10], entry[11], entry[12], entry[13],
    })
  end
  return 0
end

local function evict(identity, other)
  for _, kind in ipairs({"l", "p"}) do
    local record = redis.call("HGET", prefix .. "t", kind .. identity)
    if record then
      redis.call("HDEL", prefix .. "t", kind .. identity)
      add_record(kind, other, unpack_one(record))
    end
    move_rings(prefix .. "g:" .. kind .. identity, prefix .. "g:" .. kind .. other)
  end
  bury(prefix, version, identity)
  buried = true
end

local function kept()
  return redis.call("ZCARD", prefix .. "x") - redis.call("ZCARD", prefix .. "z")
end

-- Keep no more than there is room for: what changed longest ago goes first, into what is kept of its provider's other
-- models. Those, and attempts without a model, stay.
local function make_room()
  local many = kept() - most
  local at = 0
  while many > 0 do
    local oldest = redis.call("ZRANGE", prefix .. "x", at, at + 99)
    if #oldest == 0 then return end
    local moved = 0
    for _, identity in ipairs(oldest) do
      local other = other_of(identity)
      if many > 0 and other and not redis.call("ZSCORE", prefix .. "z", identity) then
        evict(identity, other)
        moved = moved + 1
        many = kept() - most
      end
    end
    if moved == 0 then at = at + #oldest else at = 0 end
  end
end

-- What a ring of windows holds that is not too old: sums, and how many different models failed (two are enough).
local function sum_up(ring, bucket)
  local sums, models, seen = {0, 0, 0, 0, 0}, 0, {}
  for _, part in ipairs(ring[4]) do
    if part[1] > bucket - BUCKETS then
      for i = 1, 5 do sums[i] = sums[i] + part[i + 1] end
      for i = 7, #part do
        if not seen[part[i]] and models < 2 then models = models + 1 end
        seen[part[i]] = true
      end
    end
  end
  return sums, models
end

local function add_to_ring(ring, bucket, window)
  local kept, part = {}, nil
  for _, old in ipairs(ring[4]) do
    if old[1] > bucket - BUCKETS then kept[#kept + 1] = old end
    if old[1] == bucket then part = old end
  end
  if not part then
    part = {bucket, 0, 0, 0, 0, 0}
    kept[#kept + 1] = part
  end
  for i = 1, 5 do part[i + 1] = part[i + 1] + window[4][i] end
  for _, model in ipairs(window[5]) do
    -- Only whether they differ matters, and a model's name may be long.
    local name = string.sub(redis.sha1hex(model), 1, 16)
    if #part < 8 and part[7] ~= name then part[#part + 1] = name end
  end
  ring[4] = kept
  if window[6] ~= "" then ring[3] = window[6] end
end

local function share(window)
  local key, step, epoch = prefix .. "w:" .. window[1], window[2], window[3]
  local bucket = math.floor(now / step)
  local old = redis.call("GET", key)
  local ring = old and unpack_one(old)
  local anew = not ring or epoch > ring[1] or (epoch == ring[1] and step ~= ring[2])
  if anew then ring = {epoch, step, "", {}} end
  local counts = window[4]
  local fresh = counts[1] + counts[2] + counts[3] + counts[4] + counts[5] > 0
  if apply and epoch == ring[1] and (fresh or anew) then
    if fresh then add_to_ring(ring, bucket, window) end
    redis.call("SET", key, pack(ring), "PX", step * BUCKETS)
  end
  local sums, models = sum_up(ring, bucket)
  return {ring[1], sums, models, ring[3]}
end

-- Keys of somebody else's are found before anything is changed: half a batch would be lost for good.
local function foreign()
  local wanted = {t = "hash", x = "zset", z = "zset", v = "string", vb = "string"}
  for _, entry in ipairs(sent[1]) do
    local flags, hour = entry[1], math.floor((tonumber(entry[4]) or 0) / 60)
    if has(flags, MINUTE_CELL) > 0 then wanted["m:" .. hour] = "hash" end
    if has(flags, HOUR_CELL) > 0 then wanted["h:" .. math.floor(hour / 24)] = "hash" end
    if has(flags, MINUTE_RING + LONG_RINGS) > 0 then wanted["g:" .. entry[2] .. entry[3]] = "string" end
  end
  for _, window in ipairs(sent[2]) do wanted["w:" .. window[1]] = "string" end
  for key, kind in pairs(wanted) do
    local found = redis.call("TYPE", prefix .. key).ok
    if found ~= "none" and found ~= kind then return key end
  end
end

if apply then
  local theirs = foreign()
  if theirs then return redis.error_reply("WRONGTYPE a key of this fleet holds what is not Detour's") end
  -- Before the rest: should an entry make this fail half-way, sending it again must not count the other half twice.
  redis.call("SET", mark, sequence, "EX", MARK_LIFE)
  local added = 0
  for _, entry in ipairs(sent[1]) do added = added + add_entry(entry) end
  if added > 0 then
    make_room()
    forget_tombstones(prefix)
  end
elseif stored > 0 then
  redis.call("EXPIRE", mark, MARK_LIFE)
end

local answers = {}
for i, window in ipairs(sent[2]) do answers[i] = share(window) end
return {"ok", now, version or tonumber(redis.call("GET", prefix .. "v") or 0), answers}
