-- Random chunks, in the same order from every server; wrk ... -s random_chunks.lua URL -- PATH Z Y X
-- asks for PATH/z/y/x below a grid of Z x Y x X, and prints one line of JSON at the end.
local requests = {}

function init(args)
  math.randomseed(7)
  for z = 0, args[2] - 1 do
    for y = 0, args[3] - 1 do
      for x = 0, args[4] - 1 do
        requests[#requests + 1] = wrk.format("GET", string.format("%s/%d/%d/%d", args[1], z, y, x))
      end
    end
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
