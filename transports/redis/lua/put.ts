/** How scripts put messages, in Lua. */

/** ARGV: version and sets; how many queues go when they are not used, then each with its x-expires; how many queues will change with time, then each with when; how many are announced, then for each its list's place, its own in it, and the channel; then lists, each its key, how many (less than nothing where the queue is ordered), and they. Returns the places of lists that cannot be, and why. KEYS: what is to be watched. */
export const PUT: string = String.raw`
local old, at = isOld(1)
if old then return 'stale' end
local expiring = {}
for i = at + 1, at + tonumber(ARGV[at]) * 2, 2 do
  local queue, expires = ARGV[i], tonumber(ARGV[i + 1])
  if isOver(queue, expires, clock()) then return 'stale' end
  expiring[queue] = expires
end
at = at + 1 + tonumber(ARGV[at]) * 2
local refused, list = {}, 0
local timed = tonumber(ARGV[at])
for i = at + 1, at + timed * 2, 2 do redis.call('ZADD', DUE, 'LT', ARGV[i + 1], ARGV[i]) end
at = at + 1 + timed * 2
local channels, announced, firsts = at + 1, tonumber(ARGV[at]), {}
at = at + 1 + announced * 3
while at <= #ARGV do
  local count = tonumber(ARGV[at + 1])
  local answer
  if count > 0 then answer = redis.pcall('LPUSH', ARGV[at], unpack(ARGV, at + 2, at + 1 + count))
  else
    count = -count
    answer = inOrder().put(string.sub(ARGV[at], #P + 1), unpack(ARGV, at + 2, at + 1 + count))
  end
  if type(answer) == 'table' then
    refused[#refused + 1] = list
    refused[#refused + 1] = answer.err
  else firsts[list] = at + 2 end
  at, list = at + 2 + count, list + 1
end
for queue, expires in pairs(expiring) do keepPut(queue, expires, clock()) end
for i = channels, channels + announced * 3 - 1, 3 do
  local first = firsts[tonumber(ARGV[i])]
  if first then announce(ARGV[i + 2], ARGV[first + tonumber(ARGV[i + 1])]) end
end
if #KEYS > 0 then redis.call('EXISTS', unpack(KEYS)) end
return refused
`;

/**
 * ARGV: version and sets; the field to remove instead or ''; which queue that was taken of
 * (`isGone`), if it is to be that one: a message whose queue is no longer there is removed with
 * it; its queue and its key or ''; the delay; what fields
 * begin with, the first number; under which name it is claimed or ''; the key of its mark or
 * '', how long that stays, and whose it is; if it is put in pieces,
 * their name, else '', and whether this is the first, the last or between; how many channels it
 * is announced on, and they; what all texts begin with; then copies: queue, place of its suffix
 * (less than nothing where it is ordered), the rest of its text, id, when it expires or '',
 * x-max-length or '', x-max-length-bytes or '', whether it refuses, x-expires or '', and whether
 * ours have declared the queue.
 */
export const PUT_ONE: string = String.raw`
local old, at = isOld(1)
local instead, lineage, insteadOf, insteadKey = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
at = at + 2
local delay = tonumber(ARGV[at + 2])
fields, number = ARGV[at + 3], tonumber(ARGV[at + 4])
local claim, mark, token = ARGV[at + 5], ARGV[at + 6], ARGV[at + 8]
local pieces, place = ARGV[at + 9], ARGV[at + 10]
local isFirst, isLast = place == 'first', pieces == '' or place == 'last'
-- The decision of the first piece holds for all, whatever has changed since.
if isFirst and old then return 'stale' end
if not isFirst and redis.call('EXISTS', PIECES .. pieces) == 0 then return 'stale' end
local channels = tonumber(ARGV[at + 11])
local head = ARGV[at + 12 + channels]
-- A new message is refused where memory is full, as PUT's are by their LPUSH; one that takes
-- another's place is not. This adds nothing.
if instead == '' then redis.call('ZADD', DUE, 'XX', 0, '') end
if mark ~= '' then
  local other = redis.call('GET', mark)
  -- Its own: it was put before, and the answer was lost.
  if other then return other == token and {} or 'duplicate' end
end
checkUnacked()
local function lengthOf(copy)
  if copy.mostBytes then return measure(copy.queue) end
  return countReady(copy.queue), 0
end
local function isLeftOut(copy)
  return old and copy.declared and redis.call('HEXISTS', TABLES, 'queue ' .. copy.queue) == 0
end
local copies, failure = {}, nil
for i = at + 13 + channels, #ARGV, 10 do
  local copy = {
    queue = ARGV[i], place = math.abs(ARGV[i + 1]), inOrder = tonumber(ARGV[i + 1]) < 0, text = head .. ARGV[i + 2],
    id = ARGV[i + 3], expires = ARGV[i + 4],
    most = tonumber(ARGV[i + 5]), mostBytes = tonumber(ARGV[i + 6]), refuses = ARGV[i + 7] == '1', ends = tonumber(ARGV[i + 8]),
    declared = ARGV[i + 9] == '1',
  }
  local over = copy.ends and instead == '' and isOver(copy.queue, copy.ends, now)
  if over and isFirst then return 'stale' end
  if isFirst or not (over or isLeftOut(copy)) then copies[#copies + 1] = copy end
  if copy.refuses and (copy.most or copy.mostBytes) then
    local count, sum = lengthOf(copy)
    if (copy.most and count + 1 > copy.most) or (copy.mostBytes and sum + bytes(copy.text) > copy.mostBytes) then
      keepSizes()
      return 'full'
    end
  end
end
-- Before anything is removed or put: fails if a key holds something else. Of pieces the other
-- queues have it all the same.
for _, copy in ipairs(pieces == '' and copies or {}) do
  redis.call('LLEN', P .. copy.queue .. SUFFIXES[copy.place])
  if delay > 0 then redis.call('ZCARD', DELAYED .. copy.queue) end
end
if claim ~= '' and not redis.call('SET', CLAIMED .. claim, '', 'NX', 'PX', 60000) then return 'claimed' end
if mark ~= '' then redis.call('SET', mark, token, 'PX', ARGV[at + 7]) end
-- It goes when all have the message: who ends between puts it again.
if instead ~= '' and isFirst and redis.call('HEXISTS', UNACKED, instead) == 0 then return 'lost' end
if instead ~= '' and isLast then
  redis.call('HDEL', UNACKED, instead)
  redis.call('ZREM', INDEX, instead)
  if insteadKey ~= '' then inOrder().free(insteadOf, insteadKey, instead) end
  if lineage ~= '' and isGone(copies[1].queue, lineage) then return {} end
end
if isLast and pieces ~= '' then redis.call('DEL', PIECES .. pieces)
elseif not isLast then redis.call('SET', PIECES .. pieces, '', 'PX', 60000) end
-- Messages that nobody is to have go at once.
local function hasLetters(queue)
  local record = redis.call('HGET', TABLES, 'queue ' .. queue)
  return record and string.find(record, '"x-dead-letter-exchange"', 1, true)
end
local displaced, pushed, weight = {}, 0, 0
for _, copy in ipairs(copies) do
  local put
  if delay > 0 then
    put = redis.pcall('ZADD', DELAYED .. copy.queue, now + delay, STEPS[copy.place] .. ':' .. copy.id .. ':' .. copy.text)
    redis.call('ZADD', DUE, 'LT', now + delay, copy.queue)
  else
    if copy.mostBytes then measure(copy.queue) end
    if copy.inOrder then put = inOrder().put(copy.queue, copy.text)
    else put = redis.pcall('LPUSH', P .. copy.queue .. SUFFIXES[copy.place], copy.text) end
  end
  if type(put) == 'table' then failure = put
  elseif delay == 0 then
    resize(copy.queue, copy.text, 1)
    if copy.expires ~= '' then redis.call('ZADD', DUE, 'LT', copy.expires, copy.queue) end
    if copy.most or copy.mostBytes then
      local count, sum = lengthOf(copy)
      local letters, place = hasLetters(copy.queue), 1
      -- So many at the most: the next messages push out the rest.
      while count > 0 and pushed < 1000 and weight < 1000000 and ((copy.most and count > copy.most) or (copy.mostBytes and sum > copy.mostBytes)) do
        local head = false
        while not head and place <= #SUFFIXES do
          head = redis.call('RPOP', P .. copy.queue .. SUFFIXES[place])
          if not head then place = place + 1 end
        end
        if not head then break end
        count, sum, weight = count - 1, sum - bytes(head), weight + #head
        resize(copy.queue, head, -1)
        pushed = pushed + 1
        if letters then
          displaced[#displaced + 1] = copy.queue
          displaced[#displaced + 1] = hold(copy.queue, head)
          displaced[#displaced + 1] = head
          displaced[#displaced + 1] = lineageOf(copy.queue)
        end
      end
    end
  end
end
for _, copy in ipairs(copies) do
  if copy.ends then keepPut(copy.queue, copy.ends, now) end
end
if delay == 0 then
  for i = at + 12, copies[1] and at + 11 + channels or 0 do announce(ARGV[i], copies[1].text) end
end
keepHeld()
keepSizes()
return failure or displaced
`;

/** ARGV: version and sets; a channel, a message, and whether it is an error that the user may not. Returns how many got it. */
export const BROADCAST: string = String.raw`
local old, at = isOld(1)
if old then return 'stale' end
if ARGV[at + 2] == '1' then return redis.call('PUBLISH', ARGV[at], ARGV[at + 1]) end
local receivers = redis.pcall('PUBLISH', ARGV[at], ARGV[at + 1])
return type(receivers) == 'number' and receivers or 0
`;

/**
 * ARGV: version and sets; then for each what others published, and one of the queues that it
 * is put into: under which name it is claimed or '', the queue, the suffix of its list, the
 * text, when it expires or '', and x-expires or ''. Returns the places of those that cannot
 * be put, and why.
 */
export const ADOPT: string = String.raw`
local old, at = isOld(1)
if old then return 'stale' end
for i = at, #ARGV, 6 do
  if ARGV[i + 5] ~= '' and isOver(ARGV[i + 1], tonumber(ARGV[i + 5]), clock()) then return 'stale' end
end
local refused = {}
for i = at, #ARGV, 6 do
  local claim, queue = ARGV[i], ARGV[i + 1]
  if claim == '' or redis.call('SET', CLAIMED .. claim, '', 'NX', 'PX', 60000) then
    local answer = redis.pcall('LPUSH', P .. queue .. ARGV[i + 2], ARGV[i + 3])
    if type(answer) == 'table' then
      redis.call('DEL', CLAIMED .. claim)
      refused[#refused + 1] = (i - at) / 6
      refused[#refused + 1] = answer.err
    else
      if ARGV[i + 4] ~= '' then redis.call('ZADD', DUE, 'LT', ARGV[i + 4], queue) end
      if ARGV[i + 5] ~= '' then keepPut(queue, tonumber(ARGV[i + 5]), clock()) end
    end
  end
end
return refused
`;
