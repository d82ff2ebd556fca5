-- What a shard keeps, and what it lets go: x is all identities by the version they last changed at, z those of them
-- that are gone but whose leaving readers still have to hear of.

local TOMBSTONES = 64

local function bury(prefix, version, identity)
  redis.call("ZADD", prefix .. "x", version, identity)
  redis.call("ZADD", prefix .. "z", version, identity)
end

local function forget_tombstones(prefix)
  local many = redis.call("ZCARD", prefix .. "z") - TOMBSTONES
  if many <= 0 then return end
  for _, identity in ipairs(redis.call("ZRANGE", prefix .. "z", 0, many - 1)) do
    redis.call("ZREM", prefix .. "x", identity)
    redis.call("ZREM", prefix .. "z", identity)
  end
end
