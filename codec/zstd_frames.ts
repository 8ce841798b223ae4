/** How many bytes a frame's header has for each value of its flags (RFC 8878, section 3.1.1.1). */
const DICTIONARY_BYTES = [0, 1, 2, 4];
const SIZE_BYTES = [0, 2, 4, 8];

const RAW = 0;
const RLE = 1;
const COMPRESSED = 2;

/**
 * Says whether a body is whole frames of Zstandard, one at least, by their lengths
 * alone; what is in them is for the decoder to check.
 *
 * @param body The body.
 * @returns Whether it begins with a frame and ends with one.
 */
export function isWholeZstd(body: Uint8Array): boolean {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  let at = 0;
  try {
    do at = endOfFrame(view, at); while (at < body.byteLength);
  } catch (error) {
    if (error instanceof RangeError) return false; // it reads beyond the end
    throw error;
  }
  return at === body.byteLength;
}

function endOfFrame(view: DataView, start: number): number {
  const magic = view.getUint32(start, true);
  if ((magic & 0xfffffff0) >>> 0 === 0x184d2a50) { // a frame to be skipped
    return start + 8 + view.getUint32(start + 4, true);
  }
  if (magic !== 0xfd2fb528) throw new RangeError("not a frame");
  const flags = view.getUint8(start + 4);
  const oneSegment = (flags & 0x20) !== 0;
  const size = flags >> 6;
  let at = start + 5 + (oneSegment ? 0 : 1) +
    (DICTIONARY_BYTES[flags & 3] ?? 0) +
    (size === 0 && oneSegment ? 1 : SIZE_BYTES[size] ?? 0);
  for (;;) {
    const header = view.getUint16(at, true) | view.getUint8(at + 2) << 16;
    at += 3 + blockBytes(header >> 1 & 3, header >> 3);
    if ((header & 1) === 1) break;
  }
  return at + ((flags & 4) === 0 ? 0 : 4);
}

function blockBytes(type: number, size: number): number {
  if (type === RLE) return 1;
  if (type === RAW || type === COMPRESSED) return size;
  throw new RangeError("not a block");
}
