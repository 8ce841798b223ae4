/** The longest name of an entry of a table. */
const MAX_NAME = 255;

/** A longer text is written faster by the runtime. */
const MAX_TEXT = 128;

/** The letter of texts, in a table. */
const TEXT = 0x53;

/**
 * Writes a table of a few texts, as the headers of a trace are: amqplib asks the runtime
 * four times for each of them, which takes longer than the message's other properties.
 *
 * @param buffer The bytes to write to.
 * @param table The table.
 * @param offset Where it begins.
 * @returns How many bytes it has; `undefined` where it has other values, or texts that are long or not ASCII, or too many for the bytes.
 */
export function writeTexts(
  buffer: Uint8Array,
  table: Readonly<Record<PropertyKey, unknown>>,
  offset: number,
): number | undefined {
  let at = offset + 4;
  for (const name in table) {
    const value = table[name];
    if (value === undefined) continue;
    if (typeof value !== "string" || value.length > MAX_TEXT) return undefined;
    if (name.length > MAX_NAME) return undefined;
    if (at + name.length + value.length + 6 > buffer.length) return undefined;
    buffer[at] = name.length;
    if (!writeAscii(buffer, name, at + 1)) return undefined;
    at += 1 + name.length;
    buffer[at] = TEXT;
    writeSize(buffer, value.length, at + 1);
    if (!writeAscii(buffer, value, at + 5)) return undefined;
    at += 5 + value.length;
  }
  if (at > buffer.length) return undefined;
  writeSize(buffer, at - offset - 4, offset);
  return at - offset;
}

function writeAscii(buffer: Uint8Array, text: string, at: number): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 127) return false;
    buffer[at + i] = code;
  }
  return true;
}

function writeSize(buffer: Uint8Array, size: number, at: number): void {
  buffer[at] = size >>> 24;
  buffer[at + 1] = size >>> 16;
  buffer[at + 2] = size >>> 8;
  buffer[at + 3] = size;
}
