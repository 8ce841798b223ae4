import { BodyLimit } from "../amqp_protocol/body_limit.ts";
import { BASIC, type Frame, readFrame } from "./frames.ts";

type Bytes = Uint8Array<ArrayBufferLike>;

/** A connection of amqplib's, as it reads. */
export interface Receiving {
  /** The bytes that came and were not read yet. */
  rest: Bytes;
  /** The largest payload of a frame. */
  maxFrameSize: number;
  recvSinceLastCheck: boolean;
  readonly frameMax: number;
  readonly stream: { read(): Bytes | null; destroy(error: unknown): void };
  /** Reads a frame; false where there is none yet. */
  recvFrame(): unknown;
}

/** A frame's header, and its end. */
const HEADER = 7;
const OVERHEAD = 8;

/**
 * Makes the function that reads a connection's frames: it bounds what is kept of a body, and reads a
 * large frame in a time that grows as the frame does.
 *
 * @param connection The connection; its `recvFrame` is still amqplib's.
 * @param most The maximum number of bytes of a body, and of a frame.
 * @param concat Joins bytes of amqplib's kind.
 * @returns The replacement of its `recvFrame`.
 */
export function frameReader(
  connection: Receiving,
  most: number,
  concat: (pieces: readonly Bytes[]) => Bytes,
): () => unknown {
  const read = connection.recvFrame.bind(connection);
  const bodies = new BodyLimit(most);
  const pieces: Bytes[] = [];
  let waiting = 0;
  /** How much of `rest` has been read. */
  let at = 0;

  /** Puts together what a frame needs, once it is all there. */
  const gather = (): boolean => {
    for (;;) {
      const { rest } = connection;
      const left = rest.byteLength - at;
      const size = sizeOf(rest, at);
      const isTooLarge = size > connection.maxFrameSize + OVERHEAD;
      if (isTooLarge || left >= size) return true;
      if (left + waiting >= size) {
        connection.rest = concat([rest.subarray(at), ...pieces.splice(0)]);
        at = waiting = 0;
        continue;
      }
      const piece = connection.stream.read();
      if (piece === null) return false;
      connection.recvSinceLastCheck = true;
      if (left === 0) {
        connection.rest = piece;
        at = 0;
        continue;
      }
      pieces.push(piece);
      waiting += piece.byteLength;
    }
  };

  /** Reads the bytes that are there. */
  const readNext = (): unknown => {
    const { rest, maxFrameSize } = connection;
    const size = sizeOf(rest, at);
    const frame = size > maxFrameSize + OVERHEAD
      ? undefined
      : readFrame(rest, at, size);
    if (frame !== undefined) {
      at += size;
      return frame;
    }
    connection.rest = rest.subarray(at);
    at = 0;
    return read();
  };

  const next = (): unknown => {
    while (gather()) {
      const frame = readNext();
      if (!isFrame(frame)) return frame;
      const { content, size, channel } = frame;
      if (content !== undefined) {
        // An empty part says nothing, and amqplib would keep them all.
        const isEmpty = content.byteLength === 0;
        if (isEmpty || bodies.part(channel, content.byteLength)) continue;
      } else if (
        size !== undefined && frame.id === BASIC && bodies.begin(channel, size)
      ) {
        frame.size = 0;
        if (frame.fields !== undefined) {
          Object.assign(frame.fields, { leftOut: bodies.error() });
        }
      }
      return frame;
    }
    return false;
  };
  return () => {
    try {
      return next();
    } catch (error) {
      // amqplib ends its own side alone, and reads on.
      connection.stream.destroy(error);
      throw error;
    }
  };
}

/** How many bytes the frame has that begins here; its header's, where these are not there yet. */
function sizeOf(bytes: Bytes, at: number): number {
  if (bytes.byteLength - at < HEADER) return HEADER;
  const octet = (i: number) => bytes[at + i] ?? 0;
  return OVERHEAD + octet(3) * 2 ** 24 +
    ((octet(4) << 16) | (octet(5) << 8) | octet(6));
}

function isFrame(frame: unknown): frame is Frame {
  return typeof frame === "object" && frame !== null;
}
