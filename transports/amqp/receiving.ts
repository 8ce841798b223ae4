import { BodyLimit, mostFrame } from "../amqp_protocol/body_limit.ts";

type Bytes = Uint8Array<ArrayBufferLike>;

/** A connection of amqplib's, as it reads. */
interface Receiving {
  /** What came, and was not read yet. */
  rest: Bytes;
  /** The largest payload of a frame. */
  maxFrameSize: number;
  recvSinceLastCheck: boolean;
  readonly frameMax: number;
  readonly stream: { read(): Bytes | null; destroy(error: unknown): void };
  /** Reads a frame; false where there is none yet. */
  recvFrame(): unknown;
}

/** A frame of amqplib's: a body's has `content`, a message's header has `size` and `fields`. */
interface Frame {
  readonly id?: unknown;
  readonly channel: number;
  readonly content?: Uint8Array;
  readonly fields?: Record<string, unknown>;
  size?: number;
}

/** A frame's header, and its end. */
const HEADER = 7;
const OVERHEAD = 8;
/** The id of `basic`, whose messages have bodies. */
const BASIC = 60;

/**
 * Bounds what a connection keeps of what comes, and reads a large frame in a time that
 * grows as it does: amqplib joins all that it has with each piece of it.
 *
 * @param connection A connection of amqplib's that is open.
 * @param most The most bytes of a body, and of a frame.
 * @param concat Joins bytes of amqplib's kind.
 */
export function boundAnswers(
  connection: object,
  most: number,
  concat: (pieces: readonly Bytes[]) => Bytes,
): void {
  if (!isReceiving(connection)) return;
  const read = connection.recvFrame.bind(connection);
  const bodies = new BodyLimit(most);
  const pieces: Bytes[] = [];
  let waiting = 0;
  connection.maxFrameSize = mostFrame(
    most,
    // amqplib writes no limit as the largest number.
    connection.frameMax === 0xffffffff ? 0 : connection.frameMax,
  );

  /** Puts together what a frame needs, once it is all there. */
  const gather = (): boolean => {
    for (;;) {
      const { rest } = connection;
      const size = sizeOf(rest);
      const isTooLarge = size > connection.maxFrameSize + OVERHEAD;
      if (isTooLarge || rest.byteLength >= size) return true;
      if (rest.byteLength + waiting >= size) {
        connection.rest = concat([rest, ...pieces.splice(0)]);
        waiting = 0;
        continue;
      }
      const piece = connection.stream.read();
      if (piece === null) return false;
      connection.recvSinceLastCheck = true;
      if (rest.byteLength === 0) {
        connection.rest = piece;
        continue;
      }
      pieces.push(piece);
      waiting += piece.byteLength;
    }
  };

  const next = (): unknown => {
    while (gather()) {
      const frame = read();
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
          frame.fields["leftOut"] = bodies.error();
        }
      }
      return frame;
    }
    return false;
  };
  connection.recvFrame = () => {
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
function sizeOf(bytes: Bytes): number {
  if (bytes.byteLength < HEADER) return HEADER;
  const octet = (at: number) => bytes[at] ?? 0;
  return OVERHEAD + octet(3) * 2 ** 24 +
    ((octet(4) << 16) | (octet(5) << 8) | octet(6));
}

function isReceiving(connection: object): connection is Receiving {
  return "recvFrame" in connection && "rest" in connection &&
    "maxFrameSize" in connection && "stream" in connection &&
    "frameMax" in connection;
}

function isFrame(frame: unknown): frame is Frame {
  return typeof frame === "object" && frame !== null;
}
