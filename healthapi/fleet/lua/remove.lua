-- Drop the records and rings of targets; their cells stay until they end by themselves.
-- KEYS: prefix of the shard. ARGV: identities. Answers how many there were.

local prefix, removed, version = KEYS[1], 0, nil
for _, identity in ipairs(ARGV) do
  if redis.call("HDEL", prefix .. "t", "l" .. identity, "p" .. identity) > 0 then
    version = version or next_version(prefix .. "v", prefix .. "vb", server_ms())
    bury(prefix, version, identity)
    removed = removed + 1
  end
  redis.call("DEL", prefix .. "g:l" .. identity, prefix .. "g:p" .. identity)
end
if removed > 0 then forget_tombstones(prefix) end
return removed
