/** The time by which scripts go, in Lua. */

/**
 * The time: the server's clock and a correction, for it may be set. Behind what a script
 * is told of its own stand the number of the correction that the caller knows and the time
 * that it expects, by a clock that is never set. A time before that shows that the clock was
 * set back, and is mended at once. One far behind it may be
 * that of a call that was on its way for long: for this once the script goes by what was
 * expected, and the caller sees to it. When something was taken is written by the later of the
 * two clocks, for Kombu goes by the calendar's (`taken`).
 */
export const CLOCK: string = String.raw`
local expected = tonumber(table.remove(ARGV)) or 0
local known = table.remove(ARGV)
local time = redis.call('TIME')
local wall = time[1] * 1000 + math.floor(time[2] / 1000)
local correction = redis.call('HMGET', TIME, 'offset', 'number')
local offset, generation = tonumber(correction[1] or 0), correction[2] or '0'
local function correct(to)
  local shift = math.max(0, -to) - math.max(0, -offset)
  if shift ~= 0 and takesWrites then
    local taken = redis.call('ZRANGE', INDEX, 0, 4999, 'WITHSCORES')
    for i = 1, #taken, 2 do
      redis.call('ZADD', INDEX, 'XX', string.format('%.3f', taken[i + 1] + shift / 1000), taken[i])
    end
  end
  offset, generation = to, string.format('%d', generation + 1)
  if takesWrites then redis.call('HSET', TIME, 'offset', string.format('%d', offset), 'number', generation) end
end
if known ~= generation then expected = 0 end
if wall + offset < expected - 2000 then correct(expected - wall) end
local now = wall + offset
local stamp, doubtful = {now, generation}, expected > 0 and now > expected + 30000
if doubtful then wall, now = wall - (now - expected), expected end
local taken = math.max(now, wall)
`;

/** The same, for scripts that seldom ask: as it is corrected by now. */
export const CLOCK_TIME: string = String.raw`
local read
local function clock()
  if not read then
    local time = redis.call('TIME')
    read = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(redis.call('HGET', TIME, 'offset') or 0)
  end
  return read
end
`;

/** ARGV: by how much the clock went forward, as was seen with the correction that is known. */
export const ADJUST: string = String.raw`
if known == generation then
  correct(offset - ARGV[1])
  now = time[1] * 1000 + math.floor(time[2] / 1000) + offset
end
return {now, generation}
`;
