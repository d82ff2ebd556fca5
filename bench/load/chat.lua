-- The load of the request runs: one chat completion of 480 bytes over and over; prints one line of JSON at the end.
local head = '{"model":"bench-model","messages":[{"role":"user","content":"'
local tail = '"}],"temperature":0.2,"max_tokens":256}'
local words = ("Say something short about roads that lead around a closed bridge. "):rep(8)

wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer sk-benchmark-0123456789"
wrk.body = head .. words:sub(1, 480 - #head - #tail) .. tail

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"seconds":%.6f,"p50_ms":%.4f,"p99_ms":%.4f,"failed":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
