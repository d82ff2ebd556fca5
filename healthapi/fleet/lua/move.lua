-- Say what a breaker is now, for the whole fleet.
-- KEYS: prefix of shard 0. ARGV: identity, epoch it moved from, force (0, 1), state, cause, origin, reason, manual
-- (0, 1), openings, http_status or nothing, opened_ago_ms, retry_in_ms, instance, channel.
-- Document: {epoch, state, cause, origin, reason, manual, openings, http_status, opened_ms, retry_ms, instance}; where it
-- closed, opened_ms is when.
-- Answers {accepted (0, 1), document, server_ms, version}; a move from an epoch that is over changes nothing.

local MOST = 20000
local LOOKED_AT = 500

local prefix, identity, base = KEYS[1], ARGV[1], tonumber(ARGV[2])
local now = server_ms()
local old = redis.call("HGET", prefix .. "b", identity)
local epoch = old and cmsgpack.unpack(old)[1] or base
if old and epoch ~= base and ARGV[3] ~= "1" then
  return {0, old, now, tonumber(redis.call("GET", prefix .. "bv") or 0)}
end

local opened, retry = now, 0
if ARGV[4] ~= "closed" then opened, retry = now - tonumber(ARGV[11]), now + tonumber(ARGV[12]) end
local document = cmsgpack.pack({
  math.max(epoch, base) + 1, ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8] == "1", tonumber(ARGV[9]),
  tonumber(ARGV[10]) or false, opened, retry, ARGV[13],
})
local version = next_version(prefix .. "bv", prefix .. "bb", now)
redis.call("HSET", prefix .. "b", identity, document)
redis.call("ZADD", prefix .. "bx", version, identity)
redis.call("DEL", prefix .. "l:" .. identity, prefix .. "lw:" .. identity)

local function drop(gone)
  redis.call("HDEL", prefix .. "b", gone)
  redis.call("ZREM", prefix .. "bx", gone)
end

-- Where there are too many, the one that closed longest ago goes; among open ones the oldest, if need be.
if redis.call("ZCARD", prefix .. "bx") > MOST then
  local oldest = redis.call("ZRANGE", prefix .. "bx", 0, LOOKED_AT)
  local gone = oldest[1]
  for _, candidate in ipairs(oldest) do
    local kept = redis.call("HGET", prefix .. "b", candidate)
    if not kept or cmsgpack.unpack(kept)[2] == "closed" then
      gone = candidate
      break
    end
  end
  drop(gone)
end

-- Names are any bytes, which only the binary kind of string carries.
local size = #identity
local head = size < 256 and "\196" .. struct.pack(">I1", size) or "\198" .. struct.pack(">I4", size)
redis.call("PUBLISH", ARGV[14], "\147" .. head .. identity .. document .. cmsgpack.pack(now))
return {1, document, now, version}
