import type { BodyLimit } from "../amqp_protocol/body_limit.ts";

const HEADER = 7;
/** The offset of the flags of `basic.nack`, behind its delivery tag. */
const NACK_FLAGS = HEADER + 12;
/** The types of frames. */
const METHOD = 1;
/** The types of frames that a message's content comes in. */
const CONTENT_HEADER = 2;
const CONTENT_BODY = 3;
/** The offset of the body's size in a content header, behind its class and weight. */
const BODY_SIZE = HEADER + 4;
const TYPES: ReadonlySet<number> = new Set([1, 2, 3, 8]);

/** Takes whole frames; where a message's header comes without the body, alone and with the reason. */
type Receive = (frames: Uint8Array, leftOut?: Error) => void;

/** Puts the frames together that a socket's bytes come in pieces of. */
export class FrameSplitter {
  readonly #receive: Receive;
  readonly #bodies: BodyLimit | undefined;
  /** A frame that has begun, as far as it is known to reach. */
  #part = new Uint8Array(HEADER);
  #filled = 0;

  /** The largest frame that may come, bytes. */
  limit: number;

  /** Makes one; `receive` is given one or more whole frames, which nobody changes any more. */
  constructor(limit: number, receive: Receive, bodies?: BodyLimit) {
    this.limit = limit;
    this.#receive = receive;
    this.#bodies = bodies;
  }

  /**
   * Takes the next bytes.
   *
   * @param bytes The bytes.
   * @throws {Error} If they are no frames.
   */
  push(bytes: Uint8Array): void {
    let at = this.#filled === 0 ? 0 : this.#finish(bytes);
    let start = at;
    while (bytes.byteLength - at >= HEADER) {
      const size = this.#sizeOf(bytes, at);
      if (size > bytes.byteLength - at) break;
      cleanNack(bytes, at);
      if (this.#isApart(bytes, at, size)) {
        if (at > start) this.#receive(bytes.subarray(start, at));
        this.#receiveApart(bytes.subarray(at, at + size));
        start = at + size;
      }
      at += size;
    }
    if (at > start) this.#receive(bytes.subarray(start, at));
    if (at < bytes.byteLength) this.#keep(bytes, at);
  }

  /** Fills up the frame that has begun; returns how many bytes that took. */
  #finish(bytes: Uint8Array): number {
    let at = 0;
    if (this.#filled < HEADER) {
      at = this.#fill(bytes, 0, HEADER);
      if (this.#filled < HEADER) return at;
    }
    const size = this.#sizeOf(this.#part, 0);
    if (this.#part.byteLength !== size) {
      const header = this.#part;
      this.#part = new Uint8Array(size);
      this.#part.set(header.subarray(0, HEADER));
    }
    at += this.#fill(bytes, at, size);
    if (this.#filled < size) return at;
    const frame = this.#part;
    this.#part = new Uint8Array(HEADER);
    this.#filled = 0;
    cleanNack(frame, 0);
    if (this.#isApart(frame, 0, size)) this.#receiveApart(frame);
    else this.#receive(frame);
    return at;
  }

  /** Whether a frame belongs to a body that is left out. */
  #isApart(bytes: Uint8Array, at: number, size: number): boolean {
    const type = bytes[at];
    if (this.#bodies === undefined) return false;
    if (type === CONTENT_BODY) {
      return this.#bodies.part(channelOf(bytes, at), size - HEADER - 1);
    }
    if (type !== CONTENT_HEADER || size <= BODY_SIZE + 8) return false;
    const most = long(bytes, at + BODY_SIZE);
    const least = long(bytes, at + BODY_SIZE + 4);
    return this.#bodies.begin(channelOf(bytes, at), most * 2 ** 32 + least);
  }

  /** Hands on the header of a message as one without a body, and none of the body. */
  #receiveApart(frame: Uint8Array): void {
    if (frame[0] === CONTENT_BODY) return;
    const header = frame.slice();
    header.fill(0, BODY_SIZE, BODY_SIZE + 8);
    this.#receive(header, this.#bodies?.error());
  }

  #fill(bytes: Uint8Array, at: number, until: number): number {
    const part = bytes.subarray(at, at + until - this.#filled);
    this.#part.set(part, this.#filled);
    this.#filled += part.byteLength;
    return part.byteLength;
  }

  #keep(bytes: Uint8Array, at: number): void {
    const rest = bytes.subarray(at);
    // The header says how much room it needs.
    this.#fill(rest, 0, HEADER);
    if (rest.byteLength > HEADER) this.#finish(rest.subarray(HEADER));
  }

  #sizeOf(bytes: Uint8Array, at: number): number {
    const size = HEADER + 1 + long(bytes, at + 3);
    if (!TYPES.has(bytes[at] ?? 0) || size > this.limit) {
      throw new Error("what came is no frame of AMQP 0-9-1");
    }
    return size;
  }
}

/**
 * RabbitMQ sends `basic.nack` with `requeue` set beside `multiple`, and the package takes
 * the octet of both for `multiple` only where it is 1: what a later confirm of many then
 * accepts was refused. A confirm has no `requeue`.
 */
function cleanNack(bytes: Uint8Array, at: number): void {
  if (
    bytes[at] !== METHOD || bytes[at + HEADER + 1] !== 60 ||
    bytes[at + HEADER + 3] !== 120 || bytes[at + HEADER] !== 0 ||
    bytes[at + HEADER + 2] !== 0
  ) return;
  const flags = bytes[at + NACK_FLAGS];
  if (flags !== undefined) bytes[at + NACK_FLAGS] = flags & 1;
}

function long(bytes: Uint8Array, at: number): number {
  return short(bytes, at) * 2 ** 16 + short(bytes, at + 2);
}

function channelOf(bytes: Uint8Array, at: number): number {
  return short(bytes, at + 1);
}

function short(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}
