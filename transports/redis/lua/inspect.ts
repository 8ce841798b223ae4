/** The Lua that looks into queues, and changes nothing. */

/**
 * ARGV: queues. Returns for each how many messages are ready, or -1 where that cannot be
 * said, and how many are not yet due; the bytes of both in the server's memory, or -1;
 * and the timestamp of the message whose turn it is, or ''. What is due and has not been
 * brought into sight yet counts as ready.
 */
export const LOOK: string = String.raw`
local function bytesOf(key)
  local found = redis.pcall('MEMORY', 'USAGE', key)
  if type(found) == 'table' then return nil end
  return found or 0
end
local function timestampIn(text)
  local properties = string.match(string.sub(text, -2000), '.*"properties": {(.*)$')
  return properties and string.match(properties, '"timestamp": (%d+)') or ''
end
local answer = {}
for i, queue in ipairs(ARGV) do
  local ready, bytes, timestamp = countVisible(queue), 0, nil
  if type(ready) == 'string' then ready = -1 end
  local keys = {DELAYED .. queue}
  for _, suffix in ipairs(SUFFIXES) do
    local key = P .. queue .. suffix
    keys[#keys + 1] = key
    local head = not timestamp and redis.pcall('LINDEX', key, -1)
    if type(head) == 'string' then timestamp = timestampIn(head) end
  end
  if isOrdered(queue) then
    for _, part in ipairs({'messages.', 'places.', 'ring.', 'times.'}) do keys[#keys + 1] = ORDERED .. part .. queue end
  end
  for _, key in ipairs(keys) do
    local found = bytes and bytesOf(key)
    bytes = found and bytes + found
  end
  local due, all = redis.pcall('ZCOUNT', DELAYED .. queue, '-inf', now), redis.pcall('ZCARD', DELAYED .. queue)
  if type(due) == 'table' then due, all = 0, 0 end
  if ready >= 0 then ready = ready + due end
  answer[i] = {ready, all - due, bytes or -1, timestamp or ''}
end
return answer
`;

/**
 * ARGV: a cursor. Counts what was taken and is not settled, a piece of it: returns the next
 * cursor, then how entries end, as `"", "queue"`, and how many do.
 */
export const TALLY: string = String.raw`
local next, page = unpack(redis.call('HSCAN', UNACKED, ARGV[1], 'COUNT', 50))
local counts, answer = {}, {next}
for i = 2, #page, 2 do
  local tail = string.match(string.sub(page[i], -2000), '.*}%s*,%s*("[^"\\]*"%s*,%s*".*)%]%s*$')
  if tail then counts[tail] = (counts[tail] or 0) + 1 end
end
for tail, count in pairs(counts) do
  answer[#answer + 1], answer[#answer + 2] = tail, count
end
return answer
`;

/** ARGV: an ordered queue, and a maximum. Returns the messages whose turn comes first, the keys in the order of their ring. */
export const PEEK_ORDERED: string = String.raw`
local queue, max = ARGV[1], tonumber(ARGV[2])
local keys, texts, room, tries = redis.call('LRANGE', ORDERED .. 'ring.' .. queue, -max, -1), {}, 8000000, 5000
local places = {}
for i, key in ipairs(keys) do
  local first, last = string.match(redis.call('HGET', ORDERED .. 'places.' .. queue, key) or '', '^(.*):(.*)$')
  places[i] = {tonumber(first) or 0, tonumber(last) or 0}
end
local turn, isLeft = 0, true
while isLeft and #texts < max and room > 0 and tries > 0 do
  isLeft = false
  for i = #keys, 1, -1 do
    local number = places[i][1] + turn
    if number < places[i][2] and #texts < max and room > 0 and tries > 0 then
      isLeft, tries = true, tries - 1
      local text = redis.call('HGET', ORDERED .. 'messages.' .. queue, string.format('%d:', number) .. keys[i])
      if text then texts[#texts + 1], room = text, room - #text end
    end
  end
  turn = turn + 1
end
return texts
`;
