/** How scripts find delayed messages, in Lua. */

/**
 * ARGV: the queue, a pattern of messages that may be it, its id, a cursor, and the delay, ms,
 * or '' if it is to go. One for which its key waits, in an ordered queue, is not it. Returns the next cursor, and whether it was found.
 */
export const CHANGE_DELAYED: string = String.raw`
local queue, delay = ARGV[1], tonumber(ARGV[5])
local key = DELAYED .. queue
local cursor, page = unpack(redis.call('ZSCAN', key, ARGV[4], 'MATCH', ARGV[2], 'COUNT', 500))
local function isIt(text)
  local ok, value = pcall(cjson.decode, text)
  return ok and type(value) == 'table' and type(value.properties) == 'table' and value.properties.message_id == ARGV[3]
end
for i = 1, #page, 2 do
  local member, due = page[i], tonumber(page[i + 1])
  local head, text = string.match(member, '^(%d+:[^:]*:)(.*)$')
  if head and due > now and isIt(text) and not (isOrdered(queue) and inOrder().isAwaited(queue, text)) then
    redis.call('ZREM', key, member)
    if delay then
      -- Its time to live counts from when it is due.
      local moved = now + delay
      local first, at, rest = string.match(text, '^(.*;expires=)(%d+)([^"]*"}})$')
      if at then text = first .. string.format('%d', at + moved - due) .. rest end
      redis.call('ZADD', key, moved, head .. text)
      redis.call('ZADD', DUE, 'LT', moved, queue)
    end
    return {'0', 1}
  end
end
return {cursor, 0}
`;

/**
 * ARGV: the queue, a moment, and a maximum. Returns delayed messages that are due from then on,
 * each followed by when it is, and 1 if others of its key wait for it, else 0.
 */
export const LIST_DELAYED: string = String.raw`
local queue, answer = ARGV[1], {}
local page = redis.call('ZRANGEBYSCORE', DELAYED .. queue, ARGV[2], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[3])
local ordered = isOrdered(queue) and inOrder()
for i = 1, #page, 2 do
  local text = string.match(page[i], '^%d+:[^:]*:(.*)$')
  local isAwaited = text == nil or (ordered and ordered.isAwaited(queue, text))
  answer[i], answer[i + 1] = page[i], page[i + 1] .. (isAwaited and ' 1' or ' 0')
end
return answer
`;
