-- The breakers that moved since a version.
-- KEYS: prefix of shard 0. ARGV: since.
-- Answers {version, server_ms, {{identity, document}, ...}}, versions ascending, at most LIMIT at a time (the version is
-- then that of the last one given); {"lost", server_ms} where the versions up to `since` are not this store's.

local LIMIT = 500

local prefix, since, now = KEYS[1], tonumber(ARGV[1]), server_ms()
local version = tonumber(redis.call("GET", prefix .. "bv") or 0)
if since > 0 and (version < since or since < tonumber(redis.call("GET", prefix .. "bb") or 0)) then
  return {"lost", now}
end
local found = redis.call("ZRANGEBYSCORE", prefix .. "bx", "(" .. ARGV[1], "+inf", "WITHSCORES", "LIMIT", 0, LIMIT)
local rows = {}
for i = 1, #found, 2 do
  local document = redis.call("HGET", prefix .. "b", found[i])
  if document then rows[#rows + 1] = {found[i], document} end
end
-- Each move has a version of its own, so that none is cut in two.
if #found == 2 * LIMIT then version = tonumber(found[#found]) end
return {version, now, rows}
