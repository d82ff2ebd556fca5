-- Leases: the right to do what only one of a fleet does at a time.
-- KEYS: prefix of shard 0. ARGV: instance, ttl_ms, then pairs of identity and "ask", "keep" or "drop".
-- Answers one number each: 1 it is ours, 2 it is ours and another one wants it ("keep" alone says so), 0 it is not.

local WANTED_MS = 2000

local prefix, instance, life = KEYS[1], ARGV[1], ARGV[2]
local answers = {}
for i = 3, #ARGV, 2 do
  local identity, mode = ARGV[i], ARGV[i + 1]
  local key, wanted = prefix .. "l:" .. identity, prefix .. "lw:" .. identity
  local holder = redis.call("GET", key)
  local answer = 0
  if mode == "drop" then
    if holder == instance then redis.call("DEL", key, wanted) end
  elseif holder == instance then
    redis.call("PEXPIRE", key, life)
    answer = 1
    if mode == "keep" and redis.call("EXISTS", wanted) == 1 then answer = 2 end
  elseif mode == "ask" then
    if holder then
      redis.call("SET", wanted, 1, "PX", WANTED_MS)
    else
      redis.call("SET", key, instance, "PX", life)
      redis.call("DEL", wanted)
      answer = 1
    end
  end
  answers[#answers + 1] = answer
end
return answers
