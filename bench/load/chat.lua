-- The load of the request runs: chat completions over and over; prints one line of JSON at the end.
-- Arguments: bytes of a body (480), models asked for in turn (1), milliseconds a connection rests after each answer (0).
local words = "Say something short about roads that lead around a closed bridge. "

local function body(size, model)
  local head = '{"model":"' .. model .. '","messages":[{"role":"user","content":"'
  local tail = '"}],"temperature":0.2,"max_tokens":256}'
  local room = size - #head - #tail
  return head .. words:rep(math.ceil(room / #words)):sub(1, room) .. tail
end

wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = wrk.headers["Authorization"] or "Bearer sk-benchmark-0123456789"

function init(args)
  local size, models, rest = tonumber(args[1] or 480), tonumber(args[2] or 1), tonumber(args[3] or 0)
  wrk.body = body(size, "bench-model")
  if models > 1 then
    local all, at = {}, 0
    for i = 1, models do
      all[i] = wrk.format(nil, nil, nil, body(size, "bench-model-" .. (i - 1)))
    end
    request = function()
      at = at % models + 1
      return all[at]
    end
  end
  if rest > 0 then
    delay = function() return rest end
  end
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"seconds":%.6f,"p50_ms":%.4f,"p99_ms":%.4f,"failed":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
