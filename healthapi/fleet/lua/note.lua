-- Notes: small documents that a fleet keeps.
-- KEYS: prefix of shard 0. ARGV: name; and to write it: its text, and the duty that writes it with its number, or "".
-- Answers the text there is, or 1 where it was written and 0 where the duty is somebody else's by now.

local prefix = KEYS[1]
if #ARGV == 1 then return redis.call("HGET", prefix .. "notes", ARGV[1]) end
if ARGV[3] ~= "" and redis.call("GET", prefix .. "dn:" .. ARGV[3]) ~= ARGV[4] then return 0 end
redis.call("HSET", prefix .. "notes", ARGV[1], ARGV[2])
return 1
