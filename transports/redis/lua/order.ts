/** The Lua of ordered queues: `x-ordered`. */

/**
 * `isOrdered` says so by what is declared; once a queue in a script. `ORDERED_PARTS` are the keys
 * of such a queue beside its lists.
 */
export const IS_ORDERED: string = String.raw`
local ORDERED_PARTS = {'messages.', 'places.', 'ring.', 'times.', 'busy.'}
local inOrderOf = {}
local function isOrdered(queue)
  local known = inOrderOf[queue]
  if known == nil then
    local record = redis.call('HGET', TABLES, 'queue ' .. queue)
    known = record and string.find(record, '"x%-ordered":[t%d]') ~= nil or false
    inOrderOf[queue] = known
  end
  return known
end
`;

/**
 * An ordered queue has five keys, however many keys its messages have:
 *
 * - `messages`, a hash: the ready messages. A field is a number and the key: of each key they
 *   are numbered one after the other, and one that comes back goes before the first.
 * - `places`, a hash: of each key that has messages the first number and the one behind the last.
 *   Numbers between them may have gone, for a message expires wherever it is.
 * - `ring`, a list as Kombu's are, the next to be served at its right: the keys that have a place and
 *   are not busy. A key goes to the other end when its message is settled. Messages without a
 *   key share the empty one, which is never busy: it goes to the end at once.
 * - `busy`, a hash: of each key whose message somebody holds the field in `unacked` and the
 *   message's name; or, if it waits for another attempt among the delayed ones, `w` and its
 *   name. Under the empty key it says in which tables the queue was declared.
 * - `times`, a sorted set: the fields of messages that expire, by when they do.
 *
 * The queue's own lists are where others put: Kombu, processes that know no ordered queues,
 * and what was delayed. `sort` files what is there, the oldest first. A message by whose
 * name a key is busy has come back, whoever has put it there: it is the first of its key again.
 */
export const ORDER: string = String.raw`
local order
local function inOrder()
  if order then return order end
  order = {}
  local MESSAGES, PLACES, RING = ORDERED .. 'messages.', ORDERED .. 'places.', ORDERED .. 'ring.'
  local TIMES, BUSY = ORDERED .. 'times.', ORDERED .. 'busy.'
  local function asKey(value)
    return type(value) == 'string' and #value <= 128 and value or ''
  end
  local function decodeKey(text)
    local ok, value = pcall(cjson.decode, text)
    local headers = ok and type(value) == 'table' and value.headers
    return type(headers) == 'table' and asKey(headers['x-key']) or ''
  end
  -- Of an envelope as Kombu and we write it only the headers are looked at.
  function order.keyIn(text)
    if string.sub(text, 1, 10) ~= '{"body": "' then return decodeKey(text) end
    local quote = string.find(text, '"', 11, true) or #text
    local at = string.find(text, '"x-key"', quote, true)
    if not at then return '' end
    if string.find(string.sub(text, quote, at - 1), '^", "content%-encoding": [^{}%[%]\\]*"headers": {[^{}%[%]\\]*$') then
      local value = string.match(text, '^"x%-key": "([^"\\]*)"', at)
      if value then return asKey(value) end
    end
    if string.sub(text, quote, quote + 2) == '", ' then return decodeKey('{' .. string.sub(text, quote + 3)) end
    return decodeKey(text)
  end
  local function nameIn(text)
    return string.match(string.sub(text, -300), '"delivery_tag": "([^";]*)[^"]*"}}$') or ''
  end
  local function holderOf(queue, key)
    local busy = key ~= '' and redis.call('HGET', BUSY .. queue, key)
    if busy then return string.match(busy, '^([^ ]*) (.*)$') end
  end
  local function placeOf(queue, key)
    local first, last = string.match(redis.call('HGET', PLACES .. queue, key) or '', '^(.*):(.*)$')
    return tonumber(first), tonumber(last)
  end
  local function keepPlace(queue, key, first, last)
    redis.call('HSET', PLACES .. queue, key, string.format('%d:%d', first, last))
  end
  -- Returns whether its key had no place.
  local function file(queue, key, text, isFirst)
    local first, last = placeOf(queue, key)
    local isNew, number = first == nil, last or 0
    first, last = first or 0, last or 0
    if isFirst then first, number = first - 1, first - 1 else last = last + 1 end
    local field = string.format('%d:', number) .. key
    redis.call('HSET', MESSAGES .. queue, field, text)
    keepPlace(queue, key, first, last)
    local at = expiresAt(text)
    if at then redis.call('ZADD', TIMES .. queue, at, field) end
    return isNew
  end
  local function toRing(queue, key) redis.call('LPUSH', RING .. queue, key) end
  local function append(queue, key, text, isBusy)
    if file(queue, key, text, false) and not isBusy then toRing(queue, key) end
  end
  -- Without a key: what the same connection took before it and gave back already stays in front.
  local function aheadOf(queue, field)
    local connection, number = string.match(field, '^(.*%.)(%d+)$')
    local ahead, first, last = {}, placeOf(queue, '')
    while first and first + #ahead < last and #ahead < 100 do
      local text = redis.call('HGET', MESSAGES .. queue, string.format('%d:', first + #ahead))
      local taker, taken = string.match(string.sub(text or '', -300), ';taken=([^";]*%.)(%d+)"}}$')
      if not taker or taker ~= connection or tonumber(taken) > tonumber(number) then break end
      ahead[#ahead + 1] = text
    end
    return ahead, first
  end
  local function keepAt(queue, number, text)
    local field, at = string.format('%d:', number), expiresAt(text)
    redis.call('HSET', MESSAGES .. queue, field, text)
    if at then redis.call('ZADD', TIMES .. queue, at, field) else redis.call('ZREM', TIMES .. queue, field) end
  end
  -- A message that somebody held comes back: it goes before all others of its key.
  function order.back(queue, text, field)
    local key = order.keyIn(text)
    local holder, name = holderOf(queue, key)
    local isHeld = holder and holder == field
    if holder and not field and name ~= '' and name == nameIn(text) then
      isHeld = holder == 'w' or redis.call('HEXISTS', UNACKED, holder) == 0
    end
    if isHeld then redis.call('HDEL', BUSY .. queue, key) end
    if not field and not isHeld then return false end
    local ahead, first = {}, nil
    if key == '' then ahead, first = aheadOf(queue, field) end
    local isNew = file(queue, key, text, true)
    for i, each in ipairs(ahead) do keepAt(queue, first - 2 + i, each) end
    if #ahead > 0 then keepAt(queue, first - 1 + #ahead, text) end
    if isHeld or (isNew and not holder) then toRing(queue, key) end
    return true
  end
  -- Its message has gone. Returns whether there are others.
  function order.free(queue, key, field)
    if holderOf(queue, key) ~= field then return false end
    redis.call('HDEL', BUSY .. queue, key)
    if redis.call('HEXISTS', PLACES .. queue, key) == 0 then return false end
    toRing(queue, key)
    return true
  end
  -- Until it is due, its key waits with it; not with one without a name, which nobody would know again.
  function order.wait(queue, text, field)
    local key, name = order.keyIn(text), nameIn(text)
    if name == '' then order.free(queue, key, field)
    elseif holderOf(queue, key) == field then redis.call('HSET', BUSY .. queue, key, 'w ' .. name) end
  end
  function order.isAwaited(queue, text)
    local holder, name = holderOf(queue, order.keyIn(text))
    return holder == 'w' and name == nameIn(text)
  end
  local function sortIn(queue, text)
    if order.back(queue, text, nil) then return end
    local key = order.keyIn(text)
    local holder = holderOf(queue, key)
    -- Somebody who knows no ordered queues has settled it, or nobody has what it held.
    if holder and holder ~= 'w' and redis.call('HEXISTS', UNACKED, holder) == 0 then
      order.free(queue, key, holder)
      holder = nil
    end
    append(queue, key, text, holder)
  end
  -- Returns how many wait in the lists, and why they cannot be read.
  local function waiting(queue)
    local count = 0
    for _, suffix in ipairs(SUFFIXES) do
      local size = redis.pcall('LLEN', P .. queue .. suffix)
      if type(size) == 'table' then return nil, size end
      count = count + size
    end
    return count
  end
  -- Returns whether all that waits in the lists is filed, and why it cannot be. A script files
  -- so much of all queues: who comes next goes on.
  local left, weight = 500, 1000000
  function order.sort(queue)
    if left <= 0 or weight <= 0 then return waiting(queue) == 0 end
    for _, suffix in ipairs(SUFFIXES) do
      local step = 1
      while true do
        local texts, before = redis.pcall('RPOP', P .. queue .. suffix, math.min(left, step)), weight
        if not texts then break end
        if texts.err then return false, texts end
        for _, text in ipairs(texts) do
          sortIn(queue, text)
          left, weight = left - 1, weight - #text
        end
        if left <= 0 or weight <= 0 then return waiting(queue) == 0 end
        step = before - weight < 16000 and 16 or 1
      end
    end
    return true
  end
  -- Puts new messages, behind those that others have put.
  function order.put(queue, ...)
    local count, failure = waiting(queue)
    if not count then return failure end
    local texts = {...}
    if count > 0 then
      redis.call('LPUSH', P .. queue .. SUFFIXES[#SUFFIXES], ...)
      order.sort(queue)
    else
      for _, text in ipairs(texts) do
        local key = order.keyIn(text)
        append(queue, key, text, holderOf(queue, key))
      end
    end
    return #texts
  end
  -- Takes the next key out of the ring, with its first message; none if it has expired. A key
  -- that is not held goes back into the ring.
  function order.next(queue)
    local key = redis.call('RPOP', RING .. queue)
    if not key then return nil end
    local first, last = placeOf(queue, key)
    local text, tries = false, 0
    while first and first < last and not text and tries < 500 do
      local field = string.format('%d:', first) .. key
      text, first, tries = redis.call('HGET', MESSAGES .. queue, field), first + 1, tries + 1
      if text then
        redis.call('HDEL', MESSAGES .. queue, field)
        if expiresAt(text) then redis.call('ZREM', TIMES .. queue, field) end
      end
    end
    if not first or first >= last then redis.call('HDEL', PLACES .. queue, key)
    else
      keepPlace(queue, key, first, last)
      if not text then redis.call('RPUSH', RING .. queue, key) elseif key == '' then toRing(queue, key) end
    end
    return key, text, tries
  end
  function order.hold(queue, key, field, text)
    if key ~= '' then redis.call('HSET', BUSY .. queue, key, field .. ' ' .. nameIn(text)) end
  end
  -- Nobody holds what was taken of it.
  function order.pass(queue, key)
    if key ~= '' and redis.call('HEXISTS', PLACES .. queue, key) == 1 then toRing(queue, key) end
  end
  -- The next that expires: when, its field, and it. Its key keeps its place.
  function order.expiring(queue)
    local found = redis.call('ZRANGE', TIMES .. queue, 0, 0, 'WITHSCORES')
    return tonumber(found[2]), found[1]
  end
  function order.expire(queue, field)
    local text = redis.call('HGET', MESSAGES .. queue, field)
    redis.call('ZREM', TIMES .. queue, field)
    redis.call('HDEL', MESSAGES .. queue, field)
    return text
  end
  return order
end
`;

/** ARGV: for each its field, its queue and its key. Returns the places of those that were not there, and of those whose key has more. */
export const REMOVE_ORDERED: string = String.raw`
local lost, more, order = {}, {}, inOrder()
for i = 1, #ARGV, 3 do
  local there = redis.call('HDEL', UNACKED, ARGV[i])
  redis.call('ZREM', INDEX, ARGV[i])
  if there == 0 then lost[#lost + 1] = (i - 1) / 3
  elseif order.free(ARGV[i + 1], ARGV[i + 2], ARGV[i]) then more[#more + 1] = (i - 1) / 3 end
end
return {lost, more}
`;

/**
 * ARGV: for each, the last to be served first: its field, its queue, which queue it was taken of, its
 * key, the text that takes its place, a name, and for how long it waits, ms. Returns the places of those that
 * were not there.
 */
export const AGAIN: string = String.raw`
local lost, order, queues = {}, inOrder(), {}
for i = 1, #ARGV, 7 do
  local field, queue, key, text, delay = ARGV[i], ARGV[i + 1], ARGV[i + 3], ARGV[i + 4], tonumber(ARGV[i + 6])
  if redis.call('HDEL', UNACKED, field) == 0 then lost[#lost + 1] = (i - 1) / 7
  else
    redis.call('ZREM', INDEX, field)
    if not isGone(queue, ARGV[i + 2]) then
      queues[queue] = true
      -- Its headers may say another one now.
      if order.keyIn(text) ~= key then order.free(queue, key, field) end
      if delay > 0 then
        redis.call('ZADD', DELAYED .. queue, now + delay, '0:' .. ARGV[i + 5] .. ':' .. text)
        redis.call('ZADD', DUE, 'LT', now + delay, queue)
        order.wait(queue, text, field)
      else
        local expires = expiresAt(text)
        if expires then redis.call('ZADD', DUE, 'LT', expires, queue) end
        order.back(queue, text, field)
        resize(queue, text, 1)
      end
    end
  end
end
for queue in pairs(queues) do keepBack(queue, now) end
keepSizes()
return lost
`;
