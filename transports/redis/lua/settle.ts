/** How scripts settle messages, in Lua. */

/** ARGV: fields. Returns the places of those that were not there. */
export const REMOVE: string = String.raw`
local lost = {}
for i = 1, #ARGV, 1000 do
  local last = math.min(i + 999, #ARGV)
  -- Giving a message back takes it out of both: they are looked at only if one is missing.
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
 * lists, and for each its queue, the list's suffix, the text, and which queue it was taken
 * of: '' where that is not known, and '1' if it was declared then and had no name of its own.
 * A message whose queue is no longer there is removed with it. Returns the places of those
 * that were not there. Messages that the same connection took earlier and gave back already
 * stay in front: as many as can be moved in a moment.
 */
export const RELEASE: string = String.raw`
local groups, order = {}, {}
local function noteOf(text)
  local connection, number = string.match(string.sub(text, -300), ';taken=([^";]*%.)(%d+)"}}$')
  return connection, tonumber(number)
end
local function keep(list, text, field)
  local connection, number = string.match(field, '^(.*%.)(%d+)$')
  local name = (connection or '') .. ' ' .. list
  local group = groups[name]
  if not group then
    group = {list = list, connection = connection, largest = 0, texts = {}, numbers = {}}
    groups[name] = group
    order[#order + 1] = group
  end
  number = tonumber(number) or 0
  group.largest = math.max(group.largest, number)
  group.texts[#group.texts + 1], group.numbers[#group.numbers + 1] = text, number
end
local function pushAll(list, texts)
  for i = 1, #texts, 500 do redis.call('RPUSH', list, unpack(texts, i, math.min(i + 499, #texts))) end
end
-- Takes away what is to stay in front, the first to be served first.
local function takeAhead(group)
  local texts, numbers, weight = {}, {}, 0
  local function isAhead(text)
    local connection, number = noteOf(text or '')
    return connection ~= nil and connection == group.connection and number <= group.largest, number
  end
  while isAhead(redis.call('LINDEX', group.list, -1)) and #texts < 1000 and weight < 1000000 do
    local heads, back = redis.call('RPOP', group.list, 16), {}
    for i, text in ipairs(heads) do
      local is, number = isAhead(text)
      if not is then
        for j = #heads, i, -1 do back[#back + 1] = heads[j] end
        break
      end
      texts[#texts + 1], numbers[#numbers + 1], weight = text, number, weight + #text
    end
    pushAll(group.list, back)
    if #back > 0 then break end
  end
  return texts, numbers
end
local function giveBack(group)
  local ahead, numbers = takeAhead(group)
  local all, i = {}, #ahead
  for place, text in ipairs(group.texts) do
    while i > 0 and numbers[i] > group.numbers[place] do
      all[#all + 1], i = ahead[i], i - 1
    end
    all[#all + 1] = text
  end
  for j = i, 1, -1 do all[#all + 1] = ahead[j] end
  pushAll(group.list, all)
end
-- Messages that cannot be put back stay unacked until somebody tries again.
local function isStuck(first, last)
  for i = first, last, 4 do
    local size = redis.pcall('LLEN', P .. ARGV[i] .. ARGV[i + 1])
    if type(size) == 'table' then return true end
  end
  return false
end
local lost, restored, at, place = {}, {}, 1, 0
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
        if not isGone(ARGV[i], ARGV[i + 3]) then
          if isOrdered(ARGV[i]) then inOrder().back(ARGV[i], ARGV[i + 2], field)
          else keep(P .. ARGV[i] .. ARGV[i + 1], ARGV[i + 2], field) end
          resize(ARGV[i], ARGV[i + 2], 1)
          restored[ARGV[i]] = true
          local expires = expiresAt(ARGV[i + 2])
          if expires then redis.call('ZADD', DUE, 'LT', expires, ARGV[i]) end
        end
      end
    end
  end
  at, place = last + 1, place + 1
end
for _, group in ipairs(order) do giveBack(group) end
for queue in pairs(restored) do keepBack(queue, clock()) end
keepSizes()
return lost
`;

/** ARGV: fields. Returns the places of those that were not there. */
export const RENEW: string = String.raw`
local lost = {}
for i, field in ipairs(ARGV) do
  if redis.call('ZSCORE', INDEX, field) then
    redis.call('ZADD', INDEX, 'XX', string.format('%.3f', taken / 1000), field)
  else lost[#lost + 1] = i - 1 end
end
return lost
`;

/**
 * ARGV: the visibility timeout, and for how long the caller claims what it is given,
 * both ms. A claim is a new score: another sweep passes over it until it is over.
 */
export const OVERDUE: string = String.raw`
-- A message that is said to have been taken later than now was noted before a clock was set.
for _, field in ipairs(redis.call('ZRANGEBYSCORE', INDEX, (taken + 60000) / 1000, '+inf', 'LIMIT', 0, 100)) do
  redis.call('ZADD', INDEX, 'XX', string.format('%.3f', taken / 1000), field)
end
local claim = string.format('%.3f', (taken - ARGV[1] + ARGV[2]) / 1000)
local found, room = {}, 1000000
for _, field in ipairs(redis.call('ZRANGEBYSCORE', INDEX, '-inf', (taken - ARGV[1]) / 1000, 'LIMIT', 0, 100)) do
  if room <= 0 then break end
  local value = redis.call('HGET', UNACKED, field)
  if value then
    room = room - #value
    redis.call('ZADD', INDEX, 'XX', claim, field)
    found[#found + 1] = field
    found[#found + 1] = value
  else redis.call('ZREM', INDEX, field) end
end
return {claim, found}
`;

/** ARGV: for each its field, or '' if it came by PUB/SUB, its queue, and it. Returns the places of those that were not there. */
export const ASIDE: string = String.raw`
local lost = {}
for i = 1, #ARGV, 3 do
  if ARGV[i] ~= '' and redis.call('HDEL', UNACKED, ARGV[i]) == 0 then lost[#lost + 1] = (i - 1) / 3
  else
    redis.call('ZREM', INDEX, ARGV[i])
    redis.call('LPUSH', MALFORMED .. ARGV[i + 1], ARGV[i + 2])
    if ARGV[i] ~= '' and isOrdered(ARGV[i + 1]) then
      local order = inOrder()
      order.free(ARGV[i + 1], order.keyIn(ARGV[i + 2]), ARGV[i])
    end
  end
end
return lost
`;

/**
 * ARGV: the queue, its list, a quarantined entry, the command that puts it there, and the
 * queue's x-expires or ''. Returns how many were put; -1, and nothing is done, if the queue's time is over.
 */
export const BACK: string = String.raw`
local queue, list, text, push, expires = unpack(ARGV)
if expires ~= '' and isOver(queue, tonumber(expires), clock()) then return -1 end
-- First, so that nothing is removed that cannot be put there.
redis.call('LLEN', list)
if redis.call('LREM', MALFORMED .. queue, -1, text) == 0 then return 0 end
redis.call(push, list, text)
if expires ~= '' then keepPut(queue, tonumber(expires), clock()) end
return 1
`;
