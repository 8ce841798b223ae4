/** The Lua of queues that have a slot of their own, as in a cluster. */

/**
 * Behind what a script is told of its own stands whether the queue is declared, as its caller
 * knows: in the same step as the put it is asked whether it still is.
 */
export const DECLARED: string = String.raw`
local isDeclared = table.remove(ARGV) == '1'
if isDeclared and redis.call('HEXISTS', TABLES, 'queue ' .. QUEUE) == 0 then return 'stale' end
`;

/**
 * ARGV: the epoch and the number of the tables' state; what they say of the queue, or '' if it
 * goes; and '1' if it is consumed. Another queue of the same name takes over none of the
 * messages. What comes late, from who knows an older state, changes nothing. Returns how
 * many ready messages went, or -1 if it came late.
 */
export const NOTE: string = String.raw`
local epoch, at, record, consumed = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4] == '1'
local was, known, since = unpack(redis.call('HMGET', TABLES, 'queue ' .. QUEUE, 'epoch', 'at'))
if known == epoch and tonumber(since) > at then return -1 end
local function idIn(text) return string.match(text or '', '^{"id":"(%w+)"') or '' end
local gone = 0
if record == '' or (was and idIn(was) ~= idIn(record)) then
  local keys = {DELAYED .. QUEUE, DUE, SIZED}
  for _, suffix in ipairs(SUFFIXES) do
    gone = gone + redis.call('LLEN', P .. QUEUE .. suffix)
    keys[#keys + 1] = P .. QUEUE .. suffix
  end
  gone = gone + redis.call('HLEN', ORDERED .. 'messages.' .. QUEUE)
  for _, part in ipairs(ORDERED_PARTS) do keys[#keys + 1] = ORDERED .. part .. QUEUE end
  redis.call('UNLINK', unpack(keys))
end
redis.call('HSET', TABLES, 'epoch', epoch, 'at', at)
if record == '' then
  -- For as long as somebody may be late.
  redis.call('HDEL', TABLES, 'queue ' .. QUEUE, 'consumers ' .. QUEUE)
  redis.call('PEXPIRE', TABLES, 3600000)
  return gone
end
redis.call('PERSIST', TABLES)
redis.call('HSET', TABLES, 'queue ' .. QUEUE, record)
if consumed then redis.call('HSET', TABLES, 'consumers ' .. QUEUE, '[]')
else redis.call('HDEL', TABLES, 'consumers ' .. QUEUE) end
return gone
`;
