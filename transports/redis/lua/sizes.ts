/** The Lua of the sizes of queues. */

/** How many messages are ready, those that have expired among them. */
export const READY: string = String.raw`
local function countReady(queue)
  local count = 0
  for _, suffix in ipairs(SUFFIXES) do count = count + redis.call('LLEN', P .. queue .. suffix) end
  return count + redis.call('HLEN', ORDERED .. 'messages.' .. queue)
end
`;

/**
 * The total size of the ready messages of queues with x-max-length-bytes is kept beside them,
 * so that a publish does not have to read them all. `resize` notes what a script of ours puts
 * or takes; what others do shows in how many there are, and `measure` makes up for it: by the
 * mean, and once it is too much by looking, at some of them if there are many.
 */
export const SIZES: string = String.raw`${READY}
local sizes
local function bytes(text)
  if string.sub(text, 1, 10) ~= '{"body": "' then return #text end
  local last = string.find(text, '"', 11, true)
  if not last then return #text end
  local count = last - 11
  if not string.find(string.sub(text, last), '"body_encoding": "base64"', 1, true) then return count end
  local padding = #string.match(string.sub(text, math.max(11, last - 2), last - 1), '=*$')
  return math.floor(count * 3 / 4) - padding
end
local function sizeOf(queue)
  if sizes == nil then sizes = redis.call('EXISTS', SIZED) == 1 and {} end
  if not sizes then return nil end
  local size = sizes[queue]
  if size == nil then
    local count, sum, drift = string.match(redis.call('HGET', SIZED, queue) or '', '^(%d+):(%d+):(%d+)$')
    size = count and {count = tonumber(count), sum = tonumber(sum), drift = tonumber(drift)} or false
    sizes[queue] = size
  end
  return size or nil
end
local function resize(queue, text, sign)
  local size = sizeOf(queue)
  if not size then return end
  size.count, size.sum, size.changed = size.count + sign, size.sum + sign * bytes(text), true
end
local function keepSizes()
  for queue, size in pairs(sizes or {}) do
    if size and size.changed then
      local text = string.format('%d:%d:%d', math.max(size.count, 0), math.max(size.sum, 0), size.drift)
      redis.call('HSET', SIZED, queue, text)
    end
  end
end
local function sample(queue, count)
  local step, seen, sum, weight = count <= 500 and 1 or math.floor(count / 200), 0, 0, 0
  for _, suffix in ipairs(SUFFIXES) do
    local list = P .. queue .. suffix
    for i = 0, redis.call('LLEN', list) - 1, step do
      if weight > 4000000 and seen >= 32 then break end
      local text = redis.call('LINDEX', list, i)
      seen, sum, weight = seen + 1, sum + bytes(text), weight + #text
    end
  end
  -- Of an ordered queue those that chance brings.
  while seen < math.min(count, 200) and not (weight > 4000000 and seen >= 32) do
    local found = redis.call('HRANDFIELD', ORDERED .. 'messages.' .. queue, 16, 'WITHVALUES')
    if #found == 0 then break end
    for i = 2, #found, 2 do
      seen, sum, weight = seen + 1, sum + bytes(found[i]), weight + #found[i]
    end
  end
  return seen == 0 and 0 or math.floor(sum * count / seen + 0.5)
end
local function measure(queue)
  local count, size = countReady(queue), sizeOf(queue)
  if not size then
    sizes = sizes or {}
    size = {count = count, sum = sample(queue, count), drift = 0, changed = true}
    sizes[queue] = size
  elseif size.count ~= count then
    size.drift = size.drift + math.abs(count - size.count)
    if count <= 64 or size.drift > math.max(16, count / 8) then
      size.sum, size.drift = sample(queue, count), 0
    else
      size.sum = math.floor(size.sum + (count - size.count) * size.sum / math.max(size.count, 1))
    end
    size.count, size.changed = count, true
  end
  return count, size.sum
end
`;
