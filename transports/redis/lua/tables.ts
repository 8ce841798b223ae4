/** The Lua of declarations and of owners. */

/**
 * `refuseOtherLayout` ends a script where what is declared has a layout that we do not know.
 * `versions` returns the version of the tables, which every change makes another, and the
 * version of the routes, which stays when a consumer comes or goes: `quiet` counts those
 * changes. A process of 0.1.0 does not count them: each of its changes counts as a change
 * of routes. `isOld` says whether the routes are no longer as the caller saw them. ARGV
 * from `at`: their version or '', how many sets, then for each its exchange and size.
 */
export const VERSION: string = String.raw`
local function refuseOtherLayout(layout)
  if layout and layout ~= LAYOUT then error('DASHI-LAYOUT=' .. layout .. ';') end
end
local function versions()
  local epoch, count, quiet, layout = unpack(redis.call('HMGET', TABLES, 'epoch', 'count', 'quiet', 'layout'))
  refuseOtherLayout(layout)
  epoch, count = (epoch or '') .. '.', count or '0'
  return epoch .. count, epoch .. string.format('%d', count - (quiet or 0)), epoch, tonumber(count)
end
local function isOld(at, versionNow)
  local sets = tonumber(ARGV[at + 1])
  local after = at + 2 + sets * 2
  if ARGV[at] ~= '' then
    local all, routes = versions()
    if ARGV[at] ~= (versionNow or routes) then return true, after end
  end
  for i = at + 2, after - 1, 2 do
    if redis.call('SCARD', BINDINGS .. ARGV[i]) ~= tonumber(ARGV[i + 1]) then return true, after end
  end
  return false, after
end
`;

/**
 * A set of bindings that is gone as a whole was evicted, or deleted by hand or by a sweep:
 * ours are in a set of our own too, and come back for the queues that are still declared. One that was taken out of a set that is still there stays out.
 */
export const MEND: string = String.raw`
local function keepMember(exchange, queue, member)
  local expires = expiresOf(queue)
  redis.call('SADD', BINDINGS .. exchange, member)
  if not expires then redis.call('SADD', PERMANENT .. exchange, member)
  else
    redis.call('SREM', PERMANENT .. exchange, member)
    keepTable(exchange, expires, true)
  end
end
local function queueIn(member)
  local _, first = string.find(member, BETWEEN, 1, true)
  local _, second = string.find(member, BETWEEN, (first or 0) + 1, true)
  return second and string.sub(member, second + 1)
end
-- Members whose queue is declared come into the set. Returns the longest x-expires of these.
local function restore(members, set, permanent)
  local longest
  for first = 1, #members, 500 do
    local fields, texts = {}, {}
    for i = first, math.min(first + 499, #members) do
      local queue = queueIn(members[i])
      if queue then fields[#fields + 1], texts[#texts + 1] = 'queue ' .. queue, members[i] end
    end
    local records = #fields > 0 and redis.call('HMGET', TABLES, unpack(fields)) or {}
    local found, lasting = {}, {}
    for i, text in ipairs(texts) do
      local expires = records[i] and expiresIn(records[i])
      if records[i] then found[#found + 1] = text end
      if expires then longest = math.max(longest or 0, expires)
      elseif records[i] then lasting[#lasting + 1] = text end
    end
    if #found > 0 then redis.call('SADD', set, unpack(found)) end
    if #lasting > 0 then redis.call('SADD', permanent, unpack(lasting)) end
  end
  return longest
end
-- Returns whether there are more than so many: then it is to be done in pieces.
local function mend(exchange, most)
  local set, permanent = BINDINGS .. exchange, PERMANENT .. exchange
  -- As Kombu sweeps: none has refreshed it in its time, and nobody has a binding for good.
  local at = takesWrites and redis.call('ZSCORE', DEADLINES, exchange)
  if at and tonumber(at) <= calendar() then
    if redis.call('EXISTS', permanent) == 0 then redis.call('UNLINK', set) end
    redis.call('ZREM', DEADLINES, exchange)
  end
  if redis.call('EXISTS', set) == 1 then return false end
  if redis.call('SCARD', permanent) + redis.call('SCARD', BOUND .. exchange) > most then return true end
  local longest = restore(redis.call('SUNION', permanent, BOUND .. exchange), set, permanent)
  if longest then keepTable(exchange, longest, true) end
end
`;

/**
 * ARGV: the version that the caller knows or '', then exchanges, each with
 * the size of its set as the caller knows it, or -1. KEYS: their sets, to be watched.
 * Returns the version; 'all', 'some' or 'none' and fields with their values, or 'many' where
 * they are too many for one call; queues that have not been used for their time; the version
 * of the routes; and for each exchange its set, or nothing, or its size where it is too large for one call, or -1 where it is gone
 * and has to be mended in pieces.
 */
export const READ: string = String.raw`
local version, routes, epoch, count = versions()
local answer = {version, 'none', {}, takesWrites and unused() or {}, routes}
if ARGV[1] ~= version then
  local known, at = string.match(ARGV[1], '^(.*%.)(%d+)$')
  local behind = known == epoch and count - at
  if behind and behind > 0 and behind <= redis.call('LLEN', CHANGES) then
    answer[2] = 'some'
    local seen, room = {}, 2000
    for _, change in ipairs(redis.call('LRANGE', CHANGES, 0, behind - 1)) do
      if room <= 0 then break end
      for _, field in ipairs(cjson.decode(change)) do
        if not seen[field] then
          seen[field], room = true, room - 1
          local value = redis.call('HGET', TABLES, field)
          table.insert(answer[3], field)
          table.insert(answer[3], value or '')
        end
      end
    end
    if room <= 0 then answer[2], answer[3] = 'many', {} end
  elseif redis.call('HLEN', TABLES) > 1000 then answer[2] = 'many'
  else
    answer[2] = 'all'
    answer[3] = redis.call('HGETALL', TABLES)
  end
end
for i = 2, #ARGV, 2 do
  local set = BINDINGS .. ARGV[i]
  local isLarge = mend(ARGV[i], 1000)
  local size = redis.call('SCARD', set)
  if isLarge then answer[#answer + 1] = -1
  elseif size == tonumber(ARGV[i + 1]) then answer[#answer + 1] = false
  elseif size > 1000 then answer[#answer + 1] = size
  else answer[#answer + 1] = redis.call('SMEMBERS', set) end
end
return answer
`;

/**
 * One piece of mending a set of many bindings: into a set of its own, for nobody is to see a
 * part. ARGV: the exchange; the name of the pieces; which of our two sets is gone through, and
 * the cursor; the version of the tables when it began, and the longest x-expires so far. Returns
 * the version, the next cursor, and the longest x-expires.
 */
export const MEND_PIECE: string = String.raw`
local exchange, pieces, longest = ARGV[1], PIECES .. ARGV[2], tonumber(ARGV[6])
local version = versions()
local permanent = PERMANENT .. exchange
local from = ARGV[3] == 'permanent' and permanent or BOUND .. exchange
local next, members = unpack(redis.call('SSCAN', from, ARGV[4], 'COUNT', 500))
longest = math.max(longest, restore(members, pieces, permanent) or 0)
redis.call('PEXPIRE', pieces, 60000)
return {version, next, longest}
`;

/** The end of it, with the same arguments but for the set and the cursor. Returns whether the tables are as they were when it began. */
export const MEND_END: string = String.raw`
local exchange, pieces, longest = ARGV[1], PIECES .. ARGV[2], tonumber(ARGV[4])
local isCurrent = versions() == ARGV[3]
if isCurrent and redis.call('EXISTS', pieces) == 1 and redis.call('EXISTS', BINDINGS .. exchange) == 0 then
  redis.call('PERSIST', pieces)
  redis.call('RENAME', pieces, BINDINGS .. exchange)
  if longest > 0 then keepTable(exchange, longest, true) end
else redis.call('UNLINK', pieces) end
return isCurrent and 1 or 0
`;

/**
 * ARGV: the version of the tables and sets; an epoch, for tables that are new; '1' if no
 * route changes; then counted lists: the fields that the plan rests on, or none if it rests
 * on all of them and on the sets; fields of consumers with entries that are added, and with one
 * that goes; queues that must be empty, queues that go, queues with their x-expires or '', fields
 * with their values or '' (which goes),
 * bindings that come and bindings that go, each as exchange and member; exchanges whose
 * bindings all go; exchanges.
 * Returns the versions of the tables and of the routes, how many messages went, how many
 * changes by others lie between, and the size of each exchange's set. KEYS: what is to be
 * watched.
 */
export const APPLY: string = String.raw`
local before, _, epochNow, countNow = versions()
local old, at = isOld(1, before)
local epoch, quiet = ARGV[at], ARGV[at + 1] == '1'
at = at + 2
local function each(width, act)
  local count = tonumber(ARGV[at])
  for i = at + 1, at + count * width, width do act(i) end
  at = at + 1 + count * width
end
-- Changes that others have made meanwhile do not matter where the plan does not rest on it.
local rests, behind, isPartial = {}, 0, ARGV[at] ~= '0'
each(1, function(i) rests[ARGV[i]] = true end)
local function isTouched()
  local known, count = string.match(ARGV[1], '^(.*%.)(%d+)$')
  behind = known == epochNow and countNow - count or -1
  if behind < 0 or behind > redis.call('LLEN', CHANGES) then return true end
  if behind == 0 then return false end
  for _, change in ipairs(redis.call('LRANGE', CHANGES, 0, behind - 1)) do
    for _, field in ipairs(cjson.decode(change)) do
      if rests[field] then return true end
    end
  end
  return false
end
if isPartial and ARGV[1] ~= before then old = isTouched() elseif isPartial then old = false end
if old then return 'stale' end
local joined, left, isTaken = {}, {}, false
each(2, function(i)
  if string.sub(ARGV[i], 1, 10) == 'consumers ' then
    local list = redis.call('HGET', TABLES, ARGV[i])
    isTaken = isTaken or list and string.find(list, '"exclusive":true', 1, true)
  end
  joined[#joined + 1] = {field = ARGV[i], entries = ARGV[i + 1]}
end)
if isTaken then return 'stale' end
each(2, function(i) left[#left + 1] = {field = ARGV[i], entry = ARGV[i + 1]} end)
local full, gone = false, 0
each(1, function(i) full = full or countReady(ARGV[i]) > 0 end)
if full then return 'not-empty' end
-- Many at once: a call for each takes ten times as long.
local function inPieces(list, width, act)
  for i = 1, #list, width do act(unpack(list, i, math.min(i + width - 1, #list))) end
end
local deleted, keys = {}, {}
each(1, function(i)
  local queue = ARGV[i]
  deleted[#deleted + 1] = queue
  gone = gone + countReady(queue)
  for _, suffix in ipairs(SUFFIXES) do keys[#keys + 1] = P .. queue .. suffix end
  keys[#keys + 1] = DELAYED .. queue
  for _, part in ipairs(ORDERED_PARTS) do keys[#keys + 1] = ORDERED .. part .. queue end
end)
-- Keys that are unlinked are freed by a thread of the server's.
inPieces(keys, 500, function(...) redis.call('UNLINK', ...) end)
inPieces(deleted, 500, function(...)
  redis.call('HDEL', SIZED, ...)
  redis.call('ZREM', DUE, ...)
  redis.call('ZREM', EXPIRING, ...)
end)
each(2, function(i)
  if ARGV[i + 1] == '' then redis.call('ZREM', EXPIRING, ARGV[i])
  else redis.call('ZADD', EXPIRING, now + ARGV[i + 1], ARGV[i]) end
end)
-- A process that knows no ordered queues deletes their lists alone. It did so if these tables
-- had the queue: what others had, which were lost, is kept.
local function declareOrder(field, record)
  local queue = string.match(field, '^queue (.*)$')
  if not queue or not string.find(record, '"x%-ordered":[t%d]') then return end
  if redis.call('HEXISTS', TABLES, field) == 1 then return end
  local tables = redis.call('HGET', TABLES, 'epoch') or epoch
  if redis.call('HGET', ORDERED .. 'busy.' .. queue, '') == tables then
    for _, part in ipairs(ORDERED_PARTS) do redis.call('UNLINK', ORDERED .. part .. queue) end
  end
  redis.call('HSET', ORDERED .. 'busy.' .. queue, '', tables)
end
local fields, cleared, written = {}, {}, {}
each(2, function(i)
  fields[#fields + 1] = ARGV[i]
  local left = ARGV[i + 1] == '' and string.match(ARGV[i], '^consumers (.*)$')
  if left then leaveQueue(left, now) end
  if ARGV[i + 1] == '' then cleared[#cleared + 1] = ARGV[i]
  else
    written[#written + 1] = ARGV[i]
    written[#written + 1] = ARGV[i + 1]
    declareOrder(ARGV[i], ARGV[i + 1])
  end
end)
inPieces(cleared, 500, function(...) redis.call('HDEL', TABLES, ...) end)
inPieces(written, 500, function(...) redis.call('HSET', TABLES, ...) end)
for _, each in ipairs(joined) do
  local list = redis.call('HGET', TABLES, each.field)
  -- One text is made of all: a list may be long.
  local value = list and string.sub(list, 1, -2) .. ',' .. each.entries .. ']' or '[' .. each.entries .. ']'
  redis.call('HSET', TABLES, each.field, value)
  fields[#fields + 1] = each.field
end
for _, each in ipairs(left) do
  local list = redis.call('HGET', TABLES, each.field) or ''
  local first, last = string.find(list, each.entry, 1, true)
  if first then
    -- A comma goes with it.
    local before, after = string.sub(list, 1, first - 1), string.sub(list, last + 1)
    if string.sub(after, 1, 1) == ',' then after = string.sub(after, 2)
    elseif string.sub(before, -1) == ',' then before = string.sub(before, 1, -2) end
    fields[#fields + 1] = each.field
    if before .. after ~= '[]' then redis.call('HSET', TABLES, each.field, before .. after)
    else
      leaveQueue(string.match(each.field, '^consumers (.*)$'), now)
      redis.call('HDEL', TABLES, each.field)
    end
  end
end
local sets = {}
local function changed(exchange)
  if not sets[exchange] then fields[#fields + 1] = 'set ' .. exchange end
  sets[exchange] = true
end
each(2, function(i)
  if not sets[ARGV[i]] then mend(ARGV[i], math.huge) end
  changed(ARGV[i])
  keepMember(ARGV[i], queueIn(ARGV[i + 1]) or '', ARGV[i + 1])
  redis.call('SADD', BOUND .. ARGV[i], ARGV[i + 1])
end)
local unbound = {}
each(2, function(i)
  changed(ARGV[i])
  unbound[ARGV[i]] = unbound[ARGV[i]] or {}
  table.insert(unbound[ARGV[i]], ARGV[i + 1])
end)
for exchange, members in pairs(unbound) do
  inPieces(members, 500, function(...)
    redis.call('SREM', BINDINGS .. exchange, ...)
    redis.call('SREM', PERMANENT .. exchange, ...)
    redis.call('SREM', BOUND .. exchange, ...)
  end)
end
each(1, function(i)
  changed(ARGV[i])
  redis.call('UNLINK', BINDINGS .. ARGV[i], PERMANENT .. ARGV[i], BOUND .. ARGV[i])
  redis.call('ZREM', DEADLINES, ARGV[i])
end)
-- Sets too: a binding that comes and one that goes leave the size as it was.
if #fields > 0 then
  redis.call('HSETNX', TABLES, 'epoch', epoch)
  redis.call('HSETNX', TABLES, 'layout', LAYOUT)
  redis.call('HINCRBY', TABLES, 'count', 1)
  if quiet then redis.call('HINCRBY', TABLES, 'quiet', 1) end
  redis.call('LPUSH', CHANGES, cjson.encode(fields))
  redis.call('LTRIM', CHANGES, 0, 999)
end
local version, routes = versions()
local answer = {version, routes, gone, behind}
each(1, function(i) answer[#answer + 1] = redis.call('SCARD', BINDINGS .. ARGV[i]) end)
if #KEYS > 0 then redis.call('EXISTS', unpack(KEYS)) end
return answer
`;

/**
 * A server whose memory is full refuses a script's first write if it may need room, and
 * none behind that: Redis 6.2 and 7 alike. This one removes nothing, and needs none.
 * Every script that serves consumers begins with it, for consuming is what makes room
 * again.
 */
export const AT_FULL_MEMORY: string = String.raw`
redis.call('ZREM', OWNERS, '')
`;

/**
 * The same for a script that looks, and writes what it found to be due only by the way: a server
 * that cannot write its snapshots, or has too few replicas, takes no writes for now, and is looked at all the same.
 */
export const LOOKING: string = String.raw`
local tried = redis.pcall('ZREM', OWNERS, '')
takesWrites = type(tried) == 'number'
if not takesWrites and not string.find(tried.err, 'MISCONF', 1, true)
  and not string.find(tried.err, 'NOREPLICAS', 1, true) then return tried end
`;

/**
 * ARGV: the owner, for how long it counts as alive, for how long it does so while its
 * socket is there, and its socket's number or ''. Returns the time, whether it was known,
 * those that are overdue, and those of them whose socket is to be looked for, each with its
 * number and for how long it has said nothing. One that is said to live for much longer than
 * that was noted before the clock was set.
 */
export const BEAT: string = String.raw`
refuseOtherLayout(redis.call('HGET', TABLES, 'layout'))
local known, ttl, patience = redis.call('ZSCORE', OWNERS, ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
if not doubtful then
  for _, owner in ipairs(redis.call('ZRANGEBYSCORE', OWNERS, now + 2 * ttl, '+inf', 'LIMIT', 0, 100)) do
    redis.call('ZADD', OWNERS, now + ttl, owner)
  end
end
redis.call('ZADD', OWNERS, stamp[1] + ttl, ARGV[1])
if patience > ttl then redis.call('HSET', PATIENT, ARGV[1], string.format('%d:%s', patience - ttl, ARGV[4])) end
local late, patient = {}, {}
local found = redis.call('ZRANGEBYSCORE', OWNERS, '-inf', now, 'WITHSCORES', 'LIMIT', 0, 100)
for i = 1, #found, 2 do
  local more, socket = string.match(redis.call('HGET', PATIENT, found[i]) or '', '^(%d+):(%d*)$')
  if more and now < found[i + 1] + more then
    patient[#patient + 1] = found[i]
    patient[#patient + 1] = socket
    patient[#patient + 1] = math.floor(now - found[i + 1] + ttl)
  else late[#late + 1] = found[i] end
end
return {stamp, known and 1 or 0, late, patient}
`;
