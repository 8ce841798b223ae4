/** What scripts do with messages, in Lua. */

/**
 * `hold` records a message as taken, under the next number. What is no envelope goes
 * aside: in `unacked` it would end whoever restores it.
 */
export const HOLD: string = String.raw`
local held, scores, number, fields, quotes = {}, {}, 0, '', {}
local score = string.format('%.3f', now / 1000)
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
  local field, count = fields .. string.format('%d', number), #held
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

/** `pass` does to a queue what time has done: what is due becomes ready, what has expired goes. */
export const PASS: string = String.raw`
local moved = {}
local function pass(queue, expired)
  local next
  local delayed = redis.call('ZRANGEBYSCORE', DELAYED .. queue, '-inf', now, 'LIMIT', 0, 500)
  local kept = false
  for _, member in ipairs(delayed) do
    local step, text = string.match(member, '^(%d+):[^:]*:(.*)$')
    local pushed = redis.pcall('LPUSH', P .. queue .. (step == '0' and '' or SEP .. step), text)
    if type(pushed) == 'table' then kept = true else redis.call('ZREM', DELAYED .. queue, member) end
  end
  if #delayed > 0 then moved[#moved + 1] = queue end
  local first = redis.call('ZRANGE', DELAYED .. queue, 0, 0, 'WITHSCORES')
  -- A key that is no list now may be one again; nobody else is to wait for that.
  if first[2] then next = kept and now + 30000 or tonumber(first[2]) end
  local record = redis.call('HGET', TABLES, 'queue ' .. queue)
  local letters = record and string.find(record, '"x-dead-letter-exchange"', 1, true)
  for _, suffix in ipairs(SUFFIXES) do
    for _ = 1, 1000 do
      local head = redis.pcall('LINDEX', P .. queue .. suffix, -1)
      local at = type(head) == 'string' and expiresAt(head)
      if not at then break end
      if at > now then
        next = math.min(next or at, at)
        break
      end
      if letters and not expired then break end
      redis.call('RPOP', P .. queue .. suffix)
      if letters then
        expired[#expired + 1] = queue
        expired[#expired + 1] = hold(queue, head)
        expired[#expired + 1] = head
      end
    end
  end
  if letters and not expired then return end
  if next then redis.call('ZADD', DUE, next, queue) else redis.call('ZREM', DUE, queue) end
end
`;

/**
 * ARGV: what fields begin with, the first number, then for each queue its name, the most to take, and its x-expires or ''.
 * Returns the time, when time will next change something, what has expired, the queues
 * of which something has become due, and what was taken of each queue.
 */
export const TAKE: string = String.raw`
fields, number = ARGV[1], tonumber(ARGV[2])
checkUnacked()
local expired = {}
local due = redis.call('ZRANGEBYSCORE', DUE, '-inf', now, 'LIMIT', 0, 16)
for _, queue in ipairs(due) do pass(queue, expired) end
local answer = {now, -1, expired, moved}
for i = 3, #ARGV, 3 do
  local queue, limit, expires = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2]
  local taken = {}
  for _, suffix in ipairs(SUFFIXES) do
    local missing = limit - #taken / 2
    if missing == 0 then break end
    local texts = redis.pcall('RPOP', P .. queue .. suffix, missing)
    if texts and texts.err then
      taken = texts.err
      break
    end
    if texts then
      for _, text in ipairs(texts) do
        taken[#taken + 1] = hold(queue, text)
        taken[#taken + 1] = text
      end
    end
  end
  if expires ~= '' then redis.call('ZADD', EXPIRING, now + expires, queue) end
  answer[#answer + 1] = taken
end
keepHeld()
if #KEYS > 0 then redis.call('EXISTS', unpack(KEYS)) end
local next = redis.call('ZRANGE', DUE, 0, 0, 'WITHSCORES')
if next[2] then answer[2] = tonumber(next[2]) end
return answer
`;

/** ARGV: version and sets; how many queues will change with time, then each with when; then lists, each its key, how many, and they. Returns the places of lists that can not be, and why. */
export const PUT: string = String.raw`
local old, at = isOld(1)
if old then return 'stale' end
local refused, list = {}, 0
local timed = tonumber(ARGV[at])
for i = at + 1, at + timed * 2, 2 do redis.call('ZADD', DUE, 'LT', ARGV[i + 1], ARGV[i]) end
at = at + 1 + timed * 2
while at <= #ARGV do
  local count = tonumber(ARGV[at + 1])
  local answer = redis.pcall('LPUSH', ARGV[at], unpack(ARGV, at + 2, at + 1 + count))
  if type(answer) == 'table' then
    refused[#refused + 1] = list
    refused[#refused + 1] = answer.err
  end
  at, list = at + 2 + count, list + 1
end
return refused
`;

/**
 * ARGV: version and sets; the field to remove instead or ''; the delay; what fields
 * begin with, the first number; then copies: queue, place of its suffix, text, id, when
 * it expires or '', x-max-length or '', x-max-length-bytes or '', and whether it refuses.
 */
export const PUT_ONE: string = String.raw`
local old, at = isOld(1)
if old then return 'stale' end
local instead, delay = ARGV[at], tonumber(ARGV[at + 1])
fields, number = ARGV[at + 2], tonumber(ARGV[at + 3])
-- A new message is refused where memory is full, as PUT's are by their LPUSH; one that takes
-- another's place is not. This adds nothing.
if instead == '' then redis.call('ZADD', DUE, 'XX', 0, '') end
checkUnacked()
local function bytes(text)
  local body, encoding = string.match(text, '^{"body": "([^"]*)"'), string.find(text, '"body_encoding": "base64"', 1, true)
  if not body then return #text end
  if not encoding then return #body end
  return math.floor(#body * 3 / 4) - #string.match(body, '=*$')
end
local function size(queue, ofBytes)
  local count, sum = 0, 0
  for _, suffix in ipairs(SUFFIXES) do
    count = count + redis.call('LLEN', P .. queue .. suffix)
    if ofBytes then
      for _, text in ipairs(redis.call('LRANGE', P .. queue .. suffix, 0, -1)) do sum = sum + bytes(text) end
    end
  end
  return count, sum
end
local copies = {}
for i = at + 4, #ARGV, 8 do
  local copy = {
    queue = ARGV[i], place = tonumber(ARGV[i + 1]), text = ARGV[i + 2], id = ARGV[i + 3], expires = ARGV[i + 4],
    most = tonumber(ARGV[i + 5]), mostBytes = tonumber(ARGV[i + 6]), refuses = ARGV[i + 7] == '1',
  }
  copies[#copies + 1] = copy
  if copy.refuses and (copy.most or copy.mostBytes) then
    local count, sum = size(copy.queue, copy.mostBytes)
    if (copy.most and count + 1 > copy.most) or (copy.mostBytes and sum + bytes(copy.text) > copy.mostBytes) then return 'full' end
  end
end
-- Before anything is removed or put: fails if a key holds something else.
for _, copy in ipairs(copies) do
  redis.call('LLEN', P .. copy.queue .. SUFFIXES[copy.place])
  if delay > 0 then redis.call('ZCARD', DELAYED .. copy.queue) end
end
if instead ~= '' then
  if redis.call('HDEL', UNACKED, instead) == 0 then return 'lost' end
  redis.call('ZREM', INDEX, instead)
end
local displaced = {}
for _, copy in ipairs(copies) do
  if delay > 0 then
    redis.call('ZADD', DELAYED .. copy.queue, now + delay, STEPS[copy.place] .. ':' .. copy.id .. ':' .. copy.text)
    redis.call('ZADD', DUE, 'LT', now + delay, copy.queue)
  else
    redis.call('LPUSH', P .. copy.queue .. SUFFIXES[copy.place], copy.text)
    if copy.expires ~= '' then redis.call('ZADD', DUE, 'LT', copy.expires, copy.queue) end
    if copy.most or copy.mostBytes then
      local count, sum = size(copy.queue, copy.mostBytes)
      -- So many at the most: they are all answered with. The next messages push out the rest.
      while count > 0 and #displaced < 3000 and ((copy.most and count > copy.most) or (copy.mostBytes and sum > copy.mostBytes)) do
        local head
        for _, suffix in ipairs(SUFFIXES) do
          head = redis.call('RPOP', P .. copy.queue .. suffix)
          if head then break end
        end
        if not head then break end
        count, sum = count - 1, sum - bytes(head)
        displaced[#displaced + 1] = copy.queue
        displaced[#displaced + 1] = hold(copy.queue, head)
        displaced[#displaced + 1] = head
      end
    end
  end
end
keepHeld()
return displaced
`;

/** ARGV: version and sets; a channel, a message. */
export const BROADCAST: string = String.raw`
local old, at = isOld(1)
if old then return 'stale' end
return redis.call('PUBLISH', ARGV[at], ARGV[at + 1])
`;

/** ARGV: fields. Returns the places of those that were not there. */
export const REMOVE: string = String.raw`
local lost = {}
for i = 1, #ARGV, 1000 do
  local last = math.min(i + 999, #ARGV)
  -- Who gives a message back takes it out of both: only if one is missing they are looked at.
  if redis.call('ZREM', INDEX, unpack(ARGV, i, last)) < last - i + 1 then
    for j = i, last do
      if redis.call('HEXISTS', UNACKED, ARGV[j]) == 0 then lost[#lost + 1] = j - 1 end
    end
  end
  redis.call('HDEL', UNACKED, unpack(ARGV, i, last))
end
return lost
`;

/**
 * ARGV: for each, the last to be served first: its field, its score or '', how many
 * lists, and for each its queue, the list's suffix, the text, and whether the queue was
 * declared: if it is no longer, the copy goes with it. Returns the places of those that
 * were not there. What the same connection took before and gave back already stays in front.
 */
export const RELEASE: string = String.raw`
local function giveBack(list, text, field)
  local connection, number = string.match(field, '^(.*%.)(%d+)$')
  local mark, ahead = connection and ';taken=' .. connection, {}
  while mark and #ahead < 1000 do
    local head = string.sub(redis.call('LINDEX', list, -1) or '', -300)
    local _, last = string.find(head, mark, 1, true)
    if not last or tonumber(string.match(head, '%d+', last + 1)) > tonumber(number) then break end
    ahead[#ahead + 1] = redis.call('RPOP', list)
  end
  redis.call('RPUSH', list, text)
  for i = #ahead, 1, -1 do redis.call('RPUSH', list, ahead[i]) end
end
-- What can not be put back stays unacked until somebody tries again.
local function isStuck(first, last)
  for i = first, last, 4 do
    local size = redis.pcall('LLEN', P .. ARGV[i] .. ARGV[i + 1])
    if type(size) == 'table' then return true end
  end
  return false
end
local lost, at, place = {}, 1, 0
while at <= #ARGV do
  local field, score, count = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  local found = redis.call('ZSCORE', INDEX, field)
  local last = at + 2 + count * 4
  if not found or (score ~= '' and tonumber(found) ~= tonumber(score)) then
    lost[#lost + 1] = place
  elseif not isStuck(at + 3, last) then
    if redis.call('HDEL', UNACKED, field) == 0 then
      lost[#lost + 1] = place
    else
      redis.call('ZREM', INDEX, field)
      for i = at + 3, last, 4 do
        if ARGV[i + 3] ~= '1' or redis.call('HEXISTS', TABLES, 'queue ' .. ARGV[i]) == 1 then
          giveBack(P .. ARGV[i] .. ARGV[i + 1], ARGV[i + 2], field)
          local expires = expiresAt(ARGV[i + 2])
          if expires then redis.call('ZADD', DUE, 'LT', expires, ARGV[i]) end
        end
      end
    end
  end
  at, place = last + 1, place + 1
end
return lost
`;

/** ARGV: fields. Returns the places of those that were not there. */
export const RENEW: string = String.raw`
local lost = {}
for i, field in ipairs(ARGV) do
  if redis.call('ZSCORE', INDEX, field) then
    redis.call('ZADD', INDEX, 'XX', string.format('%.3f', now / 1000), field)
  else lost[#lost + 1] = i - 1 end
end
return lost
`;

/**
 * ARGV: the visibility timeout, and for how long the caller claims what it is given,
 * both ms. A claim is a new score: another sweep passes over it until it is over.
 */
export const OVERDUE: string = String.raw`
local claim = string.format('%.3f', (now - ARGV[1] + ARGV[2]) / 1000)
local found = {}
for _, field in ipairs(redis.call('ZRANGEBYSCORE', INDEX, '-inf', (now - ARGV[1]) / 1000, 'LIMIT', 0, 100)) do
  local value = redis.call('HGET', UNACKED, field)
  if value then
    redis.call('ZADD', INDEX, 'XX', claim, field)
    found[#found + 1] = field
    found[#found + 1] = value
  else redis.call('ZREM', INDEX, field) end
end
return {claim, found}
`;

/** ARGV: the queue. */
export const COUNT: string = String.raw`
pass(ARGV[1], nil)
local count = 0
for _, suffix in ipairs(SUFFIXES) do
  local list = P .. ARGV[1] .. suffix
  local size, gone = redis.call('LLEN', list), 0
  -- What has expired and waits to be dead-lettered counts no more.
  while gone < size and gone < 1000 do
    local at = expiresAt(redis.call('LINDEX', list, -1 - gone))
    if not at or at > now then break end
    gone = gone + 1
  end
  count = count + size - gone
end
return count
`;

/** ARGV: the queue. */
export const PURGE: string = String.raw`
local count = 0
for _, suffix in ipairs(SUFFIXES) do
  count = count + redis.call('LLEN', P .. ARGV[1] .. suffix)
  redis.call('DEL', P .. ARGV[1] .. suffix)
end
return count
`;

/** ARGV: for each its field, or '' if it came by PUB/SUB, its queue, and it. Returns the places of those that were not there. */
export const ASIDE: string = String.raw`
local lost = {}
for i = 1, #ARGV, 3 do
  if ARGV[i] ~= '' and redis.call('HDEL', UNACKED, ARGV[i]) == 0 then lost[#lost + 1] = (i - 1) / 3
  else
    redis.call('ZREM', INDEX, ARGV[i])
    redis.call('LPUSH', MALFORMED .. ARGV[i + 1], ARGV[i + 2])
  end
end
return lost
`;

/** ARGV: the queue, its list, what was put aside. */
export const BACK: string = String.raw`
-- First, so that nothing is removed that can not be put there.
redis.call('LLEN', ARGV[2])
if redis.call('LREM', MALFORMED .. ARGV[1], 1, ARGV[3]) == 0 then return 0 end
return redis.call('RPUSH', ARGV[2], ARGV[3])
`;
