-- What probes have spent: corrects it, and tells it.
-- KEYS: prefix of shard 0. ARGV: nothing to read; else the day, a provider, and how many requests and tokens more.
-- Less than no requests: of a target that was claimed and not sent; its claim ends, if it is still the one that was
-- given at the time that comes last, behind the target's identity.
-- Answers {today, what was spent on it}.

local prefix = KEYS[1]
if #ARGV > 0 then
  local spent = spent_key(prefix, ARGV[1])
  if redis.call("EXISTS", spent) == 1 then
    for _, name in ipairs({"", ARGV[2]}) do
      redis.call("HINCRBY", spent, "r:" .. name, ARGV[3])
      redis.call("HINCRBY", spent, "t:" .. name, ARGV[4])
    end
  end
  local claimed = prefix .. "pc:" .. ARGV[5]
  if tonumber(ARGV[3]) < 0 and redis.call("GET", claimed) == ARGV[6] then redis.call("DEL", claimed) end
end
local day = math.floor(server_ms() / DAY_MS)
return {day, redis.call("HGETALL", spent_key(prefix, day))}
