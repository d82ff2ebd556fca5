-- Counts by minute, hour and day as healthapi.history reads them: u32 numbers, for each of three groups 140 slots (61
-- minutes, 48 hours, 31 days), then the newest minute, hour and day.

local WIDTHS, SIZES, STARTS = {1, 60, 1440}, {61, 48, 31}, {0, 61, 109}
local SLOTS, NEWEST, NUMBERS = 140, 420, 423
local RING_LIFE = 32 * 86400

-- Empty the slots that the buckets from..to take over, which are no more than the ring has.
local function clear_slots(key, ring, from, to)
  local size = SIZES[ring]
  local first = from % size
  local head = math.min(to - from + 1, size - first)
  for group = 0, 2 do
    local base = group * SLOTS + STARTS[ring]
    redis.call("SETRANGE", key, 4 * (base + first), string.rep("\0", 4 * head))
    local rest = to - from + 1 - head
    if rest > 0 then redis.call("SETRANGE", key, 4 * base, string.rep("\0", 4 * rest)) end
  end
end

-- Count a cell's outcomes of one minute in the rings first..last (1 minutes, 2 hours, 3 days). What is older than a
-- ring reaches back is left out of it.
local function count_in_rings(key, minute, cell, first, last)
  local good, blamed = cell[1], cell[6]
  local other = cell[2] + cell[3] + cell[4] + cell[5] - blamed
  local newest = redis.call("BITFIELD", key, "GET", "u32", "#420", "GET", "u32", "#421", "GET", "u32", "#422")
  local args, n = {"BITFIELD", key, "OVERFLOW", "SAT"}, 4
  for ring = first, last do
    local bucket, known, size = math.floor(minute / WIDTHS[ring]), newest[ring], SIZES[ring]
    if bucket > known - size then
      local slot = STARTS[ring] + bucket % size
      if bucket > known then
        if known > 0 then
          if bucket == known + 1 then
            for at = slot, slot + 2 * SLOTS, SLOTS do
              args[n + 1], args[n + 2], args[n + 3], args[n + 4] = "SET", "u32", "#" .. at, 0
              n = n + 4
            end
          else
            clear_slots(key, ring, math.max(known, bucket - size) + 1, bucket)
          end
        end
        args[n + 1], args[n + 2], args[n + 3], args[n + 4] = "SET", "u32", "#" .. (NEWEST + ring - 1), bucket
        n = n + 4
      end
      if good > 0 then
        args[n + 1], args[n + 2], args[n + 3], args[n + 4] = "INCRBY", "u32", "#" .. slot, good
        n = n + 4
      end
      if blamed > 0 then
        args[n + 1], args[n + 2], args[n + 3], args[n + 4] = "INCRBY", "u32", "#" .. (slot + SLOTS), blamed
        n = n + 4
      end
      if other > 0 then
        args[n + 1], args[n + 2], args[n + 3], args[n + 4] = "INCRBY", "u32", "#" .. (slot + 2 * SLOTS), other
        n = n + 4
      end
    end
  end
  if n > 4 then
    redis.call(unpack(args))
    redis.call("EXPIRE", key, RING_LIFE)
  end
end

local function ring_numbers(raw)
  raw = raw .. string.rep("\0", 4 * NUMBERS - #raw)
  return {struct.unpack(">" .. string.rep("I4", NUMBERS), raw)}
end

-- Add all that one set of rings holds to another, as far as it is not too old there; the one is gone afterwards.
local function move_rings(from, to)
  local raw = redis.call("GET", from)
  if not raw then return end
  redis.call("DEL", from)
  local theirs, mine = ring_numbers(raw), ring_numbers(redis.call("GET", to) or "")
  for ring = 1, 3 do
    local size, start = SIZES[ring], STARTS[ring]
    local known, newer = mine[NEWEST + ring], theirs[NEWEST + ring]
    for bucket = math.max(known, newer - size) + 1, newer do
      for group = 0, 2 do mine[group * SLOTS + start + bucket % size + 1] = 0 end
    end
    known = math.max(known, newer)
    mine[NEWEST + ring] = known
    for bucket = math.max(known, newer) - size + 1, newer do
      if bucket >= 0 then
        for group = 0, 2 do
          local at = group * SLOTS + start + bucket % size + 1
          mine[at] = math.min(mine[at] + theirs[at], 4294967295)
        end
      end
    end
  end
  redis.call("SET", to, struct.pack(">" .. string.rep("I4", NUMBERS), unpack(mine, 1, NUMBERS)), "EX", RING_LIFE)
end
