-- Cells and records, and how two of them become one.
-- Cell: {success, error, timeout, rate_limited, network_error, blamed, microseconds, response, first_byte}, the last
-- two being histograms written {bucket, count, bucket, count, ...} with buckets ascending.
-- Record: {cell, first_ms, last_ms, last_status, last_micros, last_error, last_success_ms, last_failure_ms, streak}.

local pack, unpack_one = cmsgpack.pack, cmsgpack.unpack

local function merge_sparse(mine, more)
  if #more == 0 then return mine end
  if #mine == 0 then return more end
  local made, n, i, j = {}, 0, 1, 1
  while mine[i] and more[j] do
    local a, b = mine[i], more[j]
    if a == b then
      made[n + 1], made[n + 2] = a, mine[i + 1] + more[j + 1]
      i, j = i + 2, j + 2
    elseif a < b then
      made[n + 1], made[n + 2] = a, mine[i + 1]
      i = i + 2
    else
      made[n + 1], made[n + 2] = b, more[j + 1]
      j = j + 2
    end
    n = n + 2
  end
  while mine[i] do
    made[n + 1], made[n + 2] = mine[i], mine[i + 1]
    n, i = n + 2, i + 2
  end
  while more[j] do
    made[n + 1], made[n + 2] = more[j], more[j + 1]
    n, j = n + 2, j + 2
  end
  return made
end

local function merge_cell(mine, more)
  for i = 1, 7 do mine[i] = mine[i] + more[i] end
  mine[8] = merge_sparse(mine[8], more[8])
  mine[9] = merge_sparse(mine[9], more[9])
  return mine
end

local function merge_record(mine, more)
  local cell, streak = more[1], more[9]
  if more[3] >= mine[3] then
    -- Where nothing but one run happened since, the run that was there goes on, unless it was one of the other sort.
    -- 0 says nothing about it.
    local unbroken = math.abs(streak) == cell[1] + cell[2] + cell[3] + cell[4] + cell[5]
    if streak == 0 or unbroken and streak * mine[9] > 0 then streak = streak + mine[9] end
    mine[3], mine[4], mine[5], mine[6], mine[9] = more[3], more[4], more[5], more[6], streak
  end
  merge_cell(mine[1], cell)
  if more[2] < mine[2] then mine[2] = more[2] end
  if more[7] > mine[7] then mine[7] = more[7] end
  if more[8] > mine[8] then mine[8] = more[8] end
  return mine
end
