import { DecodeError } from "../model/errors.ts";

const STRICT = new TextDecoder("utf-8", { fatal: true });
const TIMESTAMP = -1;
const MAX_NANOSECONDS = 999_999_999;
/** The last second that a `Date` holds, before and after 1970. */
const MAX_SECONDS = 8_640_000_000_000n;

/**
 * Checks what the library reads without looking at it: that texts are UTF-8, and that
 * timestamps are moments. Bytes that end too early, or are of no type, are left for the
 * library to find.
 *
 * @param body A body of MessagePack.
 * @throws {DecodeError} If one is not what it says.
 */
export function checkMsgpack(body: Uint8Array): void {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  let at = 0;
  const size = (bytes: 1 | 2 | 4): number => {
    const start = at;
    at += bytes;
    return bytes === 1
      ? view.getUint8(start)
      : bytes === 2
      ? view.getUint16(start)
      : view.getUint32(start);
  };
  const text = (length: number): void => {
    checkText(body, at, at + length);
    at += length;
  };
  const extension = (length: number): void => {
    const type = view.getInt8(at++);
    if (type === TIMESTAMP) checkTimestamp(view, at, length);
    at += length;
  };
  try {
    // A container's values follow it: only how many there are has to be known, and
    // more than there are bytes ends with the bytes.
    while (at < body.byteLength) {
      const type = view.getUint8(at++);
      if ((type & 0xe0) === 0xa0) text(type & 0x1f);
      else if (type === 0xd9) text(size(1));
      else if (type === 0xda) text(size(2));
      else if (type === 0xdb) text(size(4));
      else if (type === 0xc4) at += size(1);
      else if (type === 0xc5) at += size(2);
      else if (type === 0xc6) at += size(4);
      else if (type >= 0xd4 && type <= 0xd8) extension(1 << (type - 0xd4));
      else if (type === 0xc7) extension(size(1));
      else if (type === 0xc8) extension(size(2));
      else if (type === 0xc9) extension(size(4));
      else at += LENGTHS.get(type) ?? 0;
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // it ends too early
  }
}

/** Bytes behind the types of numbers, and behind the counts of lists and tables. */
const LENGTHS: ReadonlyMap<number, number> = new Map([
  [0xca, 4],
  [0xcb, 8],
  [0xcc, 1],
  [0xcd, 2],
  [0xce, 4],
  [0xcf, 8],
  [0xd0, 1],
  [0xd1, 2],
  [0xd2, 4],
  [0xd3, 8],
  [0xdc, 2],
  [0xdd, 4],
  [0xde, 2],
  [0xdf, 4],
]);

function checkText(body: Uint8Array, start: number, end: number): void {
  let i = start;
  // Most texts are ASCII, and are not decoded twice.
  while (i < end && (body[i] ?? 0) < 0x80) i++;
  if (i >= end || end > body.byteLength) return;
  try {
    STRICT.decode(body.subarray(i, end));
  } catch {
    throw new DecodeError(
      `Cannot decode a body of ${body.byteLength} bytes as MessagePack: the text at byte ${start} is no UTF-8`,
    );
  }
}

/** The three forms of a timestamp: 32, 64 and 96 bits. */
function checkTimestamp(view: DataView, at: number, length: number): void {
  const nanoseconds = length === 8
    ? view.getUint32(at) >>> 2
    : length === 12
    ? view.getUint32(at)
    : 0;
  const seconds = length === 12 ? view.getBigInt64(at + 4) : 0n;
  if (
    (length === 4 || length === 8 || length === 12) &&
    nanoseconds <= MAX_NANOSECONDS &&
    seconds <= MAX_SECONDS && seconds >= -MAX_SECONDS
  ) return;
  throw new DecodeError(
    `Cannot decode a body of ${view.byteLength} bytes as MessagePack: the timestamp at byte ${at} is none`,
  );
}
