-- Claims: leave to send one probe, counted in the same step.
-- KEYS: prefix of shard 0. ARGV: identity, provider, model, the duty in whose name it is asked for with its number (""
-- for none), interval_ms in which there may be one, tokens it may cost, caps of all together (requests, tokens), caps of
-- its provider, and how many different models of it may be probed within a minute (0: any number).
-- Answers {word, day, what was spent on it, now}; the word is "granted", "old", "claimed", "paced" or "capped".

local MINUTE_MS = 60000

local prefix = KEYS[1]
local identity, provider, model, duty, number = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local interval, tokens, pace = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[12])
local caps = {{"", tonumber(ARGV[8]), tonumber(ARGV[9])}, {provider, tonumber(ARGV[10]), tonumber(ARGV[11])}}
local now = server_ms()
local day = math.floor(now / DAY_MS)
local spent = spent_key(prefix, day)

local function answer(word) return {word, day, redis.call("HGETALL", spent), now} end

if duty ~= "" and redis.call("GET", prefix .. "dn:" .. duty) ~= number then return answer("old") end

local claimed = prefix .. "pc:" .. identity
local last = tonumber(redis.call("GET", claimed) or 0)
if now - last < interval then return answer("claimed") end

local recent = prefix .. "pm:" .. provider
redis.call("ZREMRANGEBYSCORE", recent, "-inf", now - MINUTE_MS)
if pace > 0 and not redis.call("ZSCORE", recent, model) and redis.call("ZCARD", recent) >= pace then
  return answer("paced")
end

local fits = true
for _, cap in ipairs(caps) do
  local sums = redis.call("HMGET", spent, "r:" .. cap[1], "t:" .. cap[1])
  local over = tokens > 0 and (tonumber(sums[2]) or 0) + tokens > cap[3]
  if over then redis.call("HSET", spent, "x:" .. cap[1], 1) end
  if over or (tonumber(sums[1]) or 0) >= cap[2] then fits = false end
end
redis.call("PEXPIRE", spent, 2 * DAY_MS)
if not fits then return answer("capped") end

redis.call("SET", claimed, now, "PX", math.max(interval, DAY_MS))
redis.call("ZADD", recent, now, model)
redis.call("PEXPIRE", recent, MINUTE_MS)
for _, cap in ipairs(caps) do
  redis.call("HINCRBY", spent, "r:" .. cap[1], 1)
  redis.call("HINCRBY", spent, "t:" .. cap[1], tokens)
  if tokens > 0 then redis.call("HDEL", spent, "x:" .. cap[1]) end
end
redis.call("PEXPIRE", spent, 2 * DAY_MS)
return answer("granted")
