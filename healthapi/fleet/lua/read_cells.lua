-- One target's cells of some minutes or hours.
-- KEYS: prefix of the shard. ARGV: "m" or "h", kinds such as "lp", identity, first and last bucket (Unix minutes, hours).
-- Answers {{bucket, kind, cell}, ...}, buckets ascending; those in which nothing was counted are left out.

local prefix, which, kinds, identity = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local first, last = tonumber(ARGV[4]), tonumber(ARGV[5])
local parts = which == "m" and 60 or 24
local found = {}
for whole = math.floor(first / parts), math.floor(last / parts) do
  local key = prefix .. which .. ":" .. whole
  local from, to = math.max(first - whole * parts, 0), math.min(last - whole * parts, parts - 1)
  if redis.call("EXISTS", key) == 1 then
    local fields, places = {}, {}
    for part = from, to do
      for i = 1, #kinds do
        local kind = string.sub(kinds, i, i)
        fields[#fields + 1] = string.format("%02d", part) .. kind .. identity
        places[#fields] = {whole * parts + part, kind}
      end
    end
    for i, cell in ipairs(redis.call("HMGET", key, unpack(fields))) do
      if cell then found[#found + 1] = {places[i][1], places[i][2], cell} end
    end
  end
end
return found
