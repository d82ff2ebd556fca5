-- Duties: what only one of a fleet does at a time, each with a number that rises from holder to holder.
-- KEYS: prefix of shard 0. ARGV: instance, ttl_ms, names. Answers for each name its number where it is ours, else 0.

local prefix, instance, life = KEYS[1], ARGV[1], ARGV[2]
local answers = {}
for i = 3, #ARGV do
  local held, count = prefix .. "d:" .. ARGV[i], prefix .. "dn:" .. ARGV[i]
  local holder, number = redis.call("GET", held), 0
  if not holder then
    number = redis.call("INCR", count)
    redis.call("SET", held, instance, "PX", life)
  elseif holder == instance then
    redis.call("PEXPIRE", held, life)
    number = tonumber(redis.call("GET", count) or 0)
  end
  answers[#answers + 1] = number
end
return answers
