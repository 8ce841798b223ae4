/** Brings into sight what has become due, of all queues. Returns the time, when more will be, and the queues. */
export const RIPEN: string = String.raw`
local due = redis.call('ZRANGEBYSCORE', DUE, '-inf', now, 'LIMIT', 0, 100)
for _, queue in ipairs(due) do pass(queue, nil) end
local next = redis.call('ZRANGEBYSCORE', DUE, '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
return {now, next[2] and tonumber(next[2]) or -1, moved}
`;
