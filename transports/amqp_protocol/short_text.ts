const TEXT = new TextDecoder("utf-8", { ignoreBOM: true });

/** A longer text usually names one message only, so it is not remembered. */
const MAX_KNOWN = 64;

/** Texts that came before, all of them ASCII; a later one takes the place of its like. */
const KNOWN: string[] = new Array(256).fill("");

/**
 * Reads a short text: a name, a key, a tag or a type, most of which came with the message
 * before. To compare it with that costs a fraction of decoding it.
 *
 * @param bytes The bytes around it.
 * @param start The offset at which it begins.
 * @param length How many bytes it has; all of them are there.
 * @returns The text.
 */
export function shortText(
  bytes: Uint8Array,
  start: number,
  length: number,
): string {
  if (length === 0) return "";
  const end = start + length;
  if (length > MAX_KNOWN) return TEXT.decode(bytes.subarray(start, end));
  const slot = (length + 5 * octet(bytes, start) + 31 * octet(bytes, end - 1)) &
    (KNOWN.length - 1);
  const known = KNOWN[slot] ?? "";
  if (known.length === length) {
    let i = 0;
    while (i < length && known.charCodeAt(i) === bytes[start + i]) i++;
    if (i === length) return known;
  }
  const text = TEXT.decode(bytes.subarray(start, end));
  // Only of ASCII the characters are the bytes.
  if (isAscii(text, length)) KNOWN[slot] = text;
  return text;
}

function octet(bytes: Uint8Array, at: number): number {
  return bytes[at] ?? 0;
}

function isAscii(text: string, length: number): boolean {
  if (text.length !== length) return false;
  for (let i = 0; i < length; i++) if (text.charCodeAt(i) > 127) return false;
  return true;
}
