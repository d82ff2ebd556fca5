-- Notes: small documents that a fleet keeps.
-- KEYS: prefix of shard 0. ARGV: name; and to write it: its text, the duty that writes it with its number, or "" twice;
-- and what it must still hold, "" for nothing, where that is asked for.
-- Answers the text there is, or 1 where it was written and 0 where the duty is somebody else's by now, or it holds
-- something else. One that holds the new text already was written: a call may come twice.

local prefix = KEYS[1]
local notes, name, text, duty = prefix .. "notes", ARGV[1], ARGV[2], ARGV[3]
if #ARGV == 1 then return redis.call("HGET", notes, name) end
if duty ~= "" and redis.call("GET", prefix .. "dn:" .. duty) ~= ARGV[4] then return 0 end
if #ARGV == 5 then
  local held = redis.call("HGET", notes, name) or ""
  if held ~= ARGV[5] and held ~= text then return 0 end
end
redis.call("HSET", notes, name, text)
return 1
