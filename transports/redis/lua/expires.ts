/** The Lua of queues that are removed when they are unused: `x-expires`. */

/**
 * Kombu has the server end the lists of such a queue so long after the last put or take, and
 * sweeps a table of bindings that nobody has refreshed for twice that, or an hour. Ours do so
 * too: then the queue goes also where none of ours looks. A put is no use of the queue: a list
 * that it makes lives until the queue's time is over. While somebody of ours consumes, its
 * lists have as long as its bindings: a consumer that works on a message does not take another.
 */
export const EXPIRES: string = String.raw`
local function expiresIn(record)
  return record and tonumber(string.match(record, '"x%-expires":(%d+)')) or nil
end
local function expiresOf(queue)
  local record = redis.call('HGET', TABLES, 'queue ' .. queue)
  return expiresIn(record), record
end
local function isConsumed(queue)
  return redis.call('HEXISTS', TABLES, 'consumers ' .. queue) == 1
end
local function lifeOf(expires) return math.max(2 * expires, 3600000) end
local function calendar()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
-- The keys that a queue has, with how long each lives: a key that is something else is not ours.
local function livesOf(queue)
  local lives = {}
  for _, suffix in ipairs(SUFFIXES) do
    local size = redis.pcall('LLEN', P .. queue .. suffix)
    if type(size) == 'number' and size > 0 then
      lives[P .. queue .. suffix] = redis.pcall('PTTL', P .. queue .. suffix)
    end
  end
  lives[DELAYED .. queue] = redis.pcall('PTTL', DELAYED .. queue)
  if isOrdered(queue) then
    for _, part in ipairs(ORDERED_PARTS) do
      lives[ORDERED .. part .. queue] = redis.pcall('PTTL', ORDERED .. part .. queue)
    end
  end
  return lives
end
-- A user who may not do so does without; a message that was put is not to be said to have failed.
local function endAfter(key, life) redis.pcall('PEXPIRE', key, string.format('%d', life)) end
-- Others are told of keys whose time is changed: only where it is worth it.
local function keepKeys(queue, life, enough)
  for key, left in pairs(livesOf(queue)) do
    if left == -1 or (type(left) == 'number' and left >= 0 and left < (enough or life)) then endAfter(key, life) end
  end
end
-- By half a millisecond it can be told who wrote a deadline: Kombu writes whole ones. Not
-- where it did so lately, for that says that somebody of its lives.
local function keepTable(exchange, expires, always)
  local life, wall = lifeOf(expires), calendar()
  local at = tonumber(redis.call('ZSCORE', DEADLINES, exchange) or 0)
  if always or at < wall + life * 0.65 then
    redis.call('ZADD', DEADLINES, 'GT', string.format('%d.5', wall + life), exchange)
  end
end
local function sourcesOf(queue)
  local sources = redis.call('HGET', TABLES, 'sources ' .. queue)
  return sources and cjson.decode(sources) or {}
end
local function useQueue(queue, expires)
  local life = lifeOf(expires)
  if isConsumed(queue) then keepKeys(queue, life, life * 0.9) else keepKeys(queue, expires) end
  for _, exchange in ipairs(sourcesOf(queue)) do keepTable(exchange, expires) end
end
-- In a queue's own slot nobody knows: it is asked where the tables are.
local function endOf(queue, expires, now)
  return tonumber(HERE and redis.call('ZSCORE', EXPIRING, queue) or now + expires)
end
local function isOver(queue, expires, now)
  return HERE and endOf(queue, expires, now) <= now and not isConsumed(queue)
end
local function keepPut(queue, expires, now)
  local life = lifeOf(expires)
  if isConsumed(queue) then keepKeys(queue, life, life * 0.9)
  else keepKeys(queue, math.max(1, math.ceil(endOf(queue, expires, now) - now))) end
end
local function keepBack(queue, now)
  local expires = expiresOf(queue)
  if expires then keepPut(queue, expires, now) end
end
-- The last who consumed it has gone.
local function leaveQueue(queue, now)
  local expires = expiresOf(queue)
  if not expires then return end
  redis.call('ZADD', EXPIRING, 'XX', now + expires, queue)
  for key in pairs(livesOf(queue)) do endAfter(key, expires) end
end
`;

/**
 * `usedBy` says for how long somebody of Kombu's still uses a queue that none of ours has
 * used for its time: lists that live longer than ours let them, or bindings that Kombu has
 * refreshed, which it does every third of their life.
 */
export const OTHERS: string = String.raw`
local function usedBy(queue)
  local expires, record = expiresOf(queue)
  if not expires or isConsumed(queue) then return 0 end
  local most = 0
  for _, left in pairs(livesOf(queue)) do
    if type(left) == 'number' then most = math.max(most, left) end
  end
  -- An exclusive queue is consumed by no other connection.
  if string.find(record, '"owner":"', 1, true) then return most end
  local life, wall = lifeOf(expires), calendar()
  for _, exchange in ipairs(sourcesOf(queue)) do
    local at = tonumber(redis.call('ZSCORE', DEADLINES, exchange) or 0)
    if at % 1 == 0 then
      most = math.max(most, at - life + math.max(expires, life / 3) + 60000 - wall)
    end
  end
  return most
end
local function unused()
  local found = {}
  for _, queue in ipairs(redis.call('ZRANGEBYSCORE', EXPIRING, '-inf', now, 'LIMIT', 0, 100)) do
    local left = usedBy(queue)
    if left > 0 then redis.call('ZADD', EXPIRING, now + left, queue)
    else found[#found + 1] = queue end
  end
  return found
end
`;

/** ARGV: queues, each with its x-expires. */
export const USE: string = String.raw`
for i = 1, #ARGV, 2 do
  redis.call('ZADD', EXPIRING, 'XX', now + ARGV[i + 1], ARGV[i])
  useQueue(ARGV[i], tonumber(ARGV[i + 1]))
end
`;
