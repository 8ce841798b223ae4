/** Rates over all processes, in Lua. */

/**
 * ARGV: the list, the limit, and the interval in µs. By the server's own clock, in µs, so
 * that no interval is rounded; where that was set back, what is counted counts no more.
 * Returns 0 where one more is counted; else the µs until one may be.
 */
export const ADMIT: string = String.raw`
local list, limit, interval = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
if tonumber(redis.call('LINDEX', list, 0) or 0) > now then redis.call('DEL', list) end
local last = tonumber(redis.call('LINDEX', list, -1))
while last and last <= now - interval do
  redis.call('RPOP', list)
  last = tonumber(redis.call('LINDEX', list, -1))
end
local before = tonumber(redis.call('LINDEX', list, limit - 1))
if before then return before + interval - now end
redis.call('LPUSH', list, string.format('%.0f', now))
redis.call('PEXPIRE', list, math.ceil(interval / 1000) + 1)
return 0
`;
