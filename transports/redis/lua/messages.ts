/** The Lua that scripts share, and by which they take messages. */

/** Which queue of its name a queue is. */
export const LINEAGE: string = String.raw`
-- A queue that was deleted and declared anew is another: what was taken of the first does not
-- go back to the second. Tables that were lost say nothing: so their own name is a part of it.
local lineages = {}
local function lineageOf(queue)
  local known = lineages[queue]
  if known then return known end
  local found = redis.pcall('HMGET', TABLES, 'queue ' .. queue, 'epoch')
  local id = found[1] and string.match(found[1], '^{"id":"(%w+)"')
  known = id and id .. '-' .. (found[2] or '') .. '.' or ''
  lineages[queue] = known
  return known
end
-- Of a message that was taken: '' where its queue is not known, '1' where it had no name of its own.
local function isGone(queue, lineage)
  if lineage == '' then return false end
  if lineage == '1' then return redis.call('HEXISTS', TABLES, 'queue ' .. queue) == 0 end
  local now = lineageOf(queue)
  if now == lineage then return false end
  return string.match(lineage, '%-(.*)$') == (redis.call('HGET', TABLES, 'epoch') or '') .. '.'
end
`;

/**
 * `hold` records a message as taken, under the next number. An entry that is no envelope
 * goes to quarantine: in `unacked` it would end every process that restores it. A field is
 * what the connection's begin with, which queue of that name it was (`lineageOf`), and the
 * number.
 */
export const HOLD: string = String.raw`
local held, scores, number, fields, quotes = {}, {}, 0, '', {}
local score = string.format('%.3f', taken / 1000)
local function isEnvelope(text)
  -- As Kombu and we write it: looked at in two places, and not as a whole.
  if string.sub(text, 1, 10) == '{"body": "' and string.sub(text, -2) == '}}' then
    local quote = string.find(text, '"', 11, true)
    if quote and string.sub(text, quote, quote + 21) == '", "content-encoding":' then return true end
  end
  local ok, value = pcall(cjson.decode, text)
  return ok and type(value) == 'table' and type(value.body) == 'string'
end
local function hold(queue, text)
  if not isEnvelope(text) then
    redis.call('LPUSH', MALFORMED .. queue, text)
    return -1
  end
  local tail = quotes[queue]
  if not tail then
    tail = ', "", ' .. cjson.encode(queue) .. ']'
    quotes[queue] = tail
  end
  local field, count = fields .. lineageOf(queue) .. string.format('%d', number), #held
  held[count + 1], held[count + 2] = field, '[' .. text .. tail
  scores[count + 1], scores[count + 2] = score, field
  number = number + 1
  return number - 1
end
-- Before anything is taken: fails if the keys hold something else.
local function checkUnacked()
  redis.call('HDEL', UNACKED, '')
  redis.call('ZREM', INDEX, '')
end
local function keepHeld()
  for i = 1, #held, 1000 do
    local last = math.min(i + 999, #held)
    redis.call('HSET', UNACKED, unpack(held, i, last))
    redis.call('ZADD', INDEX, unpack(scores, i, last))
  end
end
`;

/** When an envelope expires, if it says so. */
export const EXPIRY: string = String.raw`
local function expiresAt(text)
  local at = string.match(string.sub(text, -300), ';expires=(%d+)[^"]*"}}$')
  return at and tonumber(at)
end
`;

/**
 * `pass` does to a queue what time has done: what is due becomes ready, what has expired goes.
 * A server does nothing else meanwhile: what is left when the script has done enough is still
 * due, and somebody comes again at once.
 */
export const PASS: string = String.raw`
local moved, budget, weight = {}, 500, 4000000
local function spend(text)
  budget, weight = budget - 1, weight - #text
  if weight <= 0 then budget = 0 end
end
local function pass(queue, expired)
  budget = budget - 1
  local next
  local kept, count = 0, 0
  while budget > 0 do
    local delayed = redis.call('ZRANGEBYSCORE', DELAYED .. queue, '-inf', now, 'LIMIT', kept, 20)
    for _, member in ipairs(delayed) do
      local step, id, text = string.match(member, '^(%d+):([^:]*):(.*)$')
      local pushed = redis.pcall('LPUSH', P .. queue .. (step == '0' and '' or SEP .. step), text)
      if type(pushed) == 'table' then kept = kept + 1
      else
        redis.call('ZREM', DELAYED .. queue, member)
        resize(queue, text, 1)
        announceDue(id, text)
        count = count + 1
      end
      spend(member)
    end
    if #delayed < 20 then break end
  end
  local record = redis.call('HGET', TABLES, 'queue ' .. queue)
  local letters = record and string.find(record, '"x-dead-letter-exchange"', 1, true)
  local isSorted = isOrdered(queue)
  if isSorted then inOrder().sort(queue) end
  if kept + count > 0 then
    moved[#moved + 1] = queue
    keepBack(queue, now)
  end
  local first = redis.call('ZRANGE', DELAYED .. queue, 0, 0, 'WITHSCORES')
  -- A key that is no list now may be one again; nobody else is to wait for that.
  if first[2] then next = kept > 0 and now + 30000 or tonumber(first[2]) end
  local function expire(text)
    resize(queue, text, -1)
    spend(text)
    if letters then
      expired[#expired + 1] = queue
      expired[#expired + 1] = hold(queue, text)
      expired[#expired + 1] = text
      expired[#expired + 1] = lineageOf(queue)
    end
  end
  while isSorted do
    local at, field = inOrder().expiring(queue)
    if at and (at > now or budget <= 0) then next = math.min(next or at, at) end
    if not at or at > now or budget <= 0 or (letters and not expired) then break end
    local text = inOrder().expire(queue, field)
    if text then expire(text) end
  end
  for _, suffix in ipairs(SUFFIXES) do
    while true do
      local head = redis.pcall('LINDEX', P .. queue .. suffix, -1)
      local at = type(head) == 'string' and expiresAt(head)
      if not at then break end
      if at > now or budget <= 0 then
        next = math.min(next or at, at)
        break
      end
      if letters and not expired then break end
      redis.call('RPOP', P .. queue .. suffix)
      expire(head)
    end
  end
  if letters and not expired then return end
  if next then redis.call('ZADD', DUE, next, queue) else redis.call('ZREM', DUE, queue) end
end
`;

/**
 * ARGV: what fields begin with, the first number, then for each queue its name, the most to take (less than nothing where it is ordered), and its x-expires or ''.
 * Returns the time, when time will next change something, what has expired, the queues
 * of which something has become due, whether so much was taken that not all was looked at,
 * and of each queue which one it is and what was taken: its number, it, and in an ordered queue its key.
 */
export const TAKE: string = String.raw`
fields, number = ARGV[1], tonumber(ARGV[2])
checkUnacked()
local expired = {}
local due = redis.call('ZRANGEBYSCORE', DUE, '-inf', now, 'LIMIT', 0, 16)
for _, queue in ipairs(due) do
  if budget > 0 then pass(queue, expired) end
end
-- So many bytes, and so many messages, for a server does nothing else meanwhile.
local answer, room, most, full = {stamp, -1, expired, moved, 0}, 1000000, 400, false
local function takeFrom(queue, limit)
  local taken = {''}
  for _, suffix in ipairs(SUFFIXES) do
    -- One at first: how large they are is seen when they are taken.
    local missing, step = limit, 1
    while missing > 0 do
      local isOver = room <= 0 or most <= 0
      full = full or isOver
      if isOver then break end
      local texts, before = redis.pcall('RPOP', P .. queue .. suffix, math.min(missing, step, most)), room
      if not texts then break end
      if texts.err then return texts.err end
      for _, text in ipairs(texts) do
        taken[#taken + 1] = hold(queue, text)
        taken[#taken + 1] = text
        resize(queue, text, -1)
        room = room - #text
      end
      missing, most = missing - #texts, most - #texts
      step = before - room < 16000 and math.min(step * 4, 16) or 1
    end
    limit = missing
    if limit == 0 or full then break end
  end
  if #taken > 1 then taken[1] = lineageOf(queue) end
  return taken
end
local function takeInOrder(queue, limit)
  local order, taken, tries = inOrder(), {''}, 0
  local isSorted, failure = order.sort(queue)
  if failure then return failure.err end
  full = full or not isSorted
  while limit > 0 do
    if room <= 0 or most <= 0 or tries >= 2000 then
      full = true
      break
    end
    local key, text, tried = order.next(queue)
    if not key then break end
    tries = tries + tried + 1
    if text then
      local number = hold(queue, text)
      if number < 0 then order.pass(queue, key)
      else order.hold(queue, key, fields .. lineageOf(queue) .. string.format('%d', number), text) end
      taken[#taken + 1] = number
      taken[#taken + 1] = text
      taken[#taken + 1] = key
      resize(queue, text, -1)
      limit, room, most = limit - 1, room - #text, most - 1
    end
  end
  if #taken > 1 then taken[1] = lineageOf(queue) end
  return taken
end
for i = 3, #ARGV, 3 do
  local queue, limit, expires = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2]
  answer[#answer + 1] = limit < 0 and takeInOrder(queue, -limit) or takeFrom(queue, limit)
  if expires ~= '' then
    redis.call('ZADD', EXPIRING, now + expires, queue)
    useQueue(queue, tonumber(expires))
  end
end
if full then answer[5] = 1 end
keepHeld()
keepSizes()
if #KEYS > 0 then redis.call('EXISTS', unpack(KEYS)) end
local next = redis.call('ZRANGE', DUE, 0, 0, 'WITHSCORES')
if next[2] then answer[2] = tonumber(next[2]) end
return answer
`;

/** `countVisible` says how many messages of a queue are ready, or why that cannot be said. */
export const COUNT_VISIBLE: string = String.raw`
local function countVisible(queue)
  local count = 0
  for _, suffix in ipairs(SUFFIXES) do
    local list = P .. queue .. suffix
    local size, gone = redis.pcall('LLEN', list), 0
    if type(size) == 'table' then return size.err end
    -- Messages that have expired and wait to be dead-lettered count no more.
    while gone < size and gone < 1000 do
      local at = expiresAt(redis.call('LINDEX', list, -1 - gone))
      if not at or at > now then break end
      gone = gone + 1
    end
    count = count + size - gone
  end
  if isOrdered(queue) then
    count = count + redis.call('HLEN', ORDERED .. 'messages.' .. queue)
    count = count - redis.call('ZCOUNT', ORDERED .. 'times.' .. queue, '-inf', now)
  end
  return count
end
`;

/**
 * ARGV: queues. Returns for each how many messages are ready, or why that cannot be said. What
 * is due counts, where the server takes no writes and it cannot be brought into sight.
 */
export const COUNT: string = String.raw`
local counts = {}
for i, queue in ipairs(ARGV) do
  if takesWrites then pass(queue, nil) end
  counts[i] = countVisible(queue)
  if not takesWrites and type(counts[i]) == 'number' then
    counts[i] = counts[i] + redis.call('ZCOUNT', DELAYED .. queue, '-inf', now)
  end
end
keepSizes()
return counts
`;

/** ARGV: the queue. */
export const PURGE: string = String.raw`
local count = countReady(ARGV[1])
-- Keys that are unlinked are freed by a thread of the server's.
for _, suffix in ipairs(SUFFIXES) do redis.call('UNLINK', P .. ARGV[1] .. suffix) end
for _, part in ipairs({'messages.', 'places.', 'ring.', 'times.'}) do redis.call('UNLINK', ORDERED .. part .. ARGV[1]) end
redis.call('HDEL', SIZED, ARGV[1])
return count
`;

/**
 * ARGV: a cursor, and how what was taken from a queue ends. Returns the next cursor, or
 * nothing if there is such a one of Kombu's, which names it by a UUID: what one of ours
 * holds may be of a queue that was deleted.
 */
export const UNACKED_OF: string = String.raw`
local next, page = unpack(redis.call('HSCAN', UNACKED, ARGV[1], 'COUNT', 200))
for i = 1, #page, 2 do
  if string.find(page[i], '^%x+%-%x+%-%x+%-%x+%-%x+$') then
    for j = 2, #ARGV do
      if string.sub(page[i + 1], -#ARGV[j]) == ARGV[j] then return false end
    end
  end
end
return next
`;

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
