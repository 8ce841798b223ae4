/** How scripts tell by PUB/SUB of what they put, in Lua. */

/**
 * `announce` publishes messages that are in our queues already, for listeners that are not
 * ours: who refuses that to a user does not keep a message from its queues. The note behind
 * its name (`stored.ts`) says to ours that they have it, and to those of 0.1.0, which know
 * no such note, that its time is over: they pass over it, and take it from the list.
 */
export const ANNOUNCE: string = String.raw`
local function announce(channel, text)
  local tail = string.sub(text, -64)
  local note = string.find(tail, ';expires=%d+"}}$')
  local stop = note and #text - #tail + note - 1 or #text - 3
  local name, header = string.match(channel, '^(.*)\n("x%-death": .*)$')
  local head, from = '', 1
  if header then
    -- Behind the body, in which there is no quote.
    local _, open = string.find(text, '"headers": {', string.find(text, '"', 11, true), true)
    head, from = string.sub(text, 1, open) .. header, open + 1
    if string.sub(text, from, from) ~= '}' then head = head .. ', ' end
  end
  redis.pcall('PUBLISH', name or channel, head .. string.sub(text, from, stop) .. ';expires=1;put=1"}}')
end
-- The name of a delayed message has the channels behind it, as hexadecimal digits.
local function announceDue(id, text)
  for channel in string.gmatch(id, '@(%x+)') do
    announce(string.gsub(channel, '%x%x', function(byte) return string.char(tonumber(byte, 16)) end), text)
  end
end
`;
