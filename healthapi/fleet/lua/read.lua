-- What changed since a version.
-- KEYS: prefix of the shard. ARGV: since, limit.
-- Answers {version, more, {{identity, live record, probe record, live rings, probe rings}, ...}, upto}, versions
-- ascending and never split; {"lost"} where the versions up to `since` are not this store's.

local prefix, since, limit = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local x = prefix .. "x"
local version = tonumber(redis.call("GET", prefix .. "v") or 0)
if since > 0 and (version < since or since < tonumber(redis.call("GET", prefix .. "vb") or 0)) then return {"lost"} end

local found = redis.call("ZRANGEBYSCORE", x, "(" .. ARGV[1], "+inf", "WITHSCORES", "LIMIT", 0, limit)
local identities, upto, more = {}, version, 0
for i = 1, #found, 2 do identities[#identities + 1] = found[i] end
if #identities == limit then
  local last = found[#found]
  while #found > 0 and found[#found] == last do
    identities[#identities] = nil
    found[#found], found[#found - 1] = nil, nil
  end
  for _, identity in ipairs(redis.call("ZRANGEBYSCORE", x, last, last)) do identities[#identities + 1] = identity end
  upto = tonumber(last)
  if redis.call("ZCOUNT", x, "(" .. last, "+inf") > 0 then more = 1 end
end

local rows = {}
for i, identity in ipairs(identities) do
  local records = redis.call("HMGET", prefix .. "t", "l" .. identity, "p" .. identity)
  rows[i] = {
    identity, records[1], records[2],
    records[1] and redis.call("GET", prefix .. "g:l" .. identity),
    records[2] and redis.call("GET", prefix .. "g:p" .. identity),
  }
end
return {version, more, rows, upto}
