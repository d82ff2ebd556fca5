-- The time and the versions of one store, which all its sidecars go by.

local function server_ms()
  local now = redis.call("TIME")
  return now[1] * 1000 + math.floor(now[2] / 1000)
end

-- The next version. It follows the server's clock, so that versions go on rising where a replica that had not heard of
-- the last ones takes over, and where all was lost.
local function next_version(counter, born, now)
  local last = redis.call("GET", counter)
  if not last then redis.call("SET", born, now) end
  local version = math.max((tonumber(last) or 0) + 1, now)
  redis.call("SET", counter, version)
  return version
end
