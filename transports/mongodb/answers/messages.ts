import { ResponseTooLargeError } from "../../../model/response_limit.ts";

const HEADER = 16;
const OP_REPLY = 1;
const OP_MSG = 2013;
/** A document's size and its end. */
const LEAST_DOCUMENT = 5;
/** The offset in an OP_REPLY of the number of documents, and the offset of the first one. */
const COUNT = HEADER + 16;
const REPLY = HEADER + 20;

/**
 * Follows what a server sends, and throws where the driver would keep it in memory without
 * end, or never come to an end of it.
 */
export class MessageFollower {
  readonly #most: number;
  /** The header of the message that has begun, as far as it has come. */
  readonly #header = new Uint8Array(HEADER);
  #filled = 0;
  /** How much of the message is still to come behind its header. */
  #left = 0;

  /** Makes one; `most` is the largest message that is taken, bytes. */
  constructor(most: number) {
    this.#most = most;
  }

  /**
   * Reads received bytes before the driver does.
   *
   * @throws {Error} If no more of it should be read.
   */
  follow(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.byteLength;) {
      if (this.#left > 0) {
        const skipped = Math.min(this.#left, bytes.byteLength - at);
        this.#left -= skipped;
        at += skipped;
        continue;
      }
      const part = bytes.subarray(at, at + HEADER - this.#filled);
      this.#header.set(part, this.#filled);
      this.#filled += part.byteLength;
      at += part.byteLength;
      // The size is known first, and the driver goes by it at once.
      if (this.#filled >= 4) this.#checkSize();
      if (this.#filled < HEADER) return;
      const view = new DataView(this.#header.buffer);
      checkCode(view.getInt32(12, true));
      this.#left = view.getInt32(0, true) - HEADER;
      this.#filled = 0;
    }
  }

  #checkSize(): void {
    const size = new DataView(this.#header.buffer).getInt32(0, true);
    if (size < HEADER) throw nonsense(`a message of ${size} bytes`);
    if (size > this.#most) throw new ResponseTooLargeError(this.#most);
  }
}

/**
 * Checks that the parts of a message are as long as they say: the driver goes back where
 * one says that it is shorter than nothing, and counts on where there are none.
 *
 * @throws {Error} If one is not.
 */
export function checkParts(message: Uint8Array): void {
  const { byteLength: end } = message;
  const view = new DataView(message.buffer, message.byteOffset, end);
  if (view.getInt32(12, true) === OP_MSG) {
    if (end < HEADER + 4) throw nonsense("a message without flags");
    const hasChecksum = (view.getUint32(HEADER, true) & 1) !== 0;
    checkSections(view, hasChecksum ? end - 4 : end);
    return;
  }
  if (end < REPLY) throw nonsense("a reply that is cut off");
  const count = view.getInt32(COUNT, true);
  let at = REPLY;
  for (let i = 0; i < count; i++) at = behindDocument(view, at, end);
}

function checkSections(view: DataView, end: number): void {
  if (end === HEADER + 4) throw nonsense("a message without a document");
  for (let at = HEADER + 4; at < end;) {
    const kind = view.getUint8(at);
    if (kind !== 0) throw nonsense(`a section of kind ${kind}`);
    at = behindDocument(view, at + 1, end);
  }
}

function behindDocument(view: DataView, at: number, end: number): number {
  const size = at + 4 > end ? 0 : view.getInt32(at, true);
  if (size < LEAST_DOCUMENT || at + size > end) {
    throw nonsense(`a document of ${size} bytes`);
  }
  return at + size;
}

/** A compressed message was never asked for, and the driver would inflate it to any size. */
function checkCode(code: number): void {
  if (code !== OP_MSG && code !== OP_REPLY) {
    throw nonsense(`a message of code ${code}`);
  }
}

function nonsense(what: string): Error {
  return new Error(`the answer is not one of MongoDB: ${what}`);
}
