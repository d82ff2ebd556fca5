-- Where what probes have spent on a day is kept: a hash of requests (r:), tokens (t:), and whether the last one did not
-- fit in (x:), each of a provider by its name, and of all together.

local DAY_MS = 86400000

local function spent_key(prefix, day) return prefix .. "ps:" .. string.format("%d", day) end
