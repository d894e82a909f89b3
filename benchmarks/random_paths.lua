-- Random ones of the paths on the standard input, one a line, in the same order from every server, and one
-- line of JSON at the end; wrk -t1 ... -s random_paths.lua URL < PATHS
local requests = {}

function init()
  math.randomseed(7)
  for path in io.lines() do
    requests[#requests + 1] = wrk.format("GET", path)
  end
end

function request()
  return requests[math.random(#requests)]
end

function done(summary, latency, _)
  local e = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "us": %d, "bytes": %d, "failed": %d, "refused": %d, "p50_us": %.1f, "p99_us": %.1f}\n',
    summary.requests, summary.duration, summary.bytes, e.connect + e.read + e.write + e.timeout, e.status,
    latency:percentile(50), latency:percentile(99)
  ))
end
