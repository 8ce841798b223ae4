/** Brings into sight what has become due, of all queues. Returns the time, when more will be, and the queues. */
export const RIPEN: string = String.raw`
local stuck = 0
for _ = 1, 20 do
  local due = redis.call('ZRANGEBYSCORE', DUE, '-inf', now, 'LIMIT', stuck, 100)
  for _, queue in ipairs(due) do
    if budget <= 0 then break end
    pass(queue, nil)
    -- It waits for somebody who dead-letters: the others do not wait behind it.
    local at = redis.call('ZSCORE', DUE, queue)
    if at and tonumber(at) <= now then stuck = stuck + 1 end
  end
  if #due < 100 or budget <= 0 then break end
end
keepSizes()
if budget <= 0 then return {stamp, 0, moved} end
local next = redis.call('ZRANGEBYSCORE', DUE, '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
return {stamp, next[2] and math.max(0, tonumber(next[2]) - now) or -1, moved}
`;
