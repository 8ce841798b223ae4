import { atNextTurn } from "../../async/turn.ts";
import { mostFrame } from "../amqp_protocol/body_limit.ts";
import { rawTable } from "../amqp_protocol/fields.ts";
import { frameReader, type Receiving } from "./receiving.ts";

type Bytes = Uint8Array<ArrayBufferLike>;
type Alloc = (size: number) => Bytes;

/** Node's `require` as it is used here. */
export interface Require {
  /** Requires a file. */
  (file: string): unknown;
  /** Says where a file is. */
  resolve(file: string): string;
  /** The modules that have been required, by path. */
  readonly cache: Record<string, unknown>;
}

/**
 * Requires a copy of amqplib of our own, patched where it loses what the broker says or
 * takes less than the broker does:
 *
 * - `codec.decodeFields`: a table with a type that it does not know ends the connection,
 *   and so does every reconnect that meets the message again; of others it loses types
 *   (amqp-node/amqplib#646);
 * - `codec.encodeTable`: a table of more than 64 KiB cannot be written, though frames are
 *   larger (amqp-node/amqplib#366, #867);
 * - `Channel.publish`: an object inherits from the headers of each message, which is slow
 *   (not reported);
 * - `format.inspect`: of a virtual host that is refused it tells no reason, but
 *   `Expected ConnectionOpenOk; got <ConnectionClose>` (rabbitmq/rabbitmq-tutorials#269);
 * - `Connection.acceptLoop`: what comes with the broker's last word of the handshake, and
 *   is no frame, ends the process, for it is read before anybody can listen for errors
 *   (not reported).
 *
 * `patchConnection` has the rest.
 *
 * The application may have imported amqplib before, whose files know each other by
 * then, and goes on with its own: neither copy sees the other. The patches reach into
 * amqplib's files, so the version is pinned, and a test fails when another version has
 * changed what they replace.
 *
 * @param load Requires amqplib's files.
 * @param alloc Makes bytes of amqplib's kind.
 * @returns Its main module.
 */
export function requirePatched(
  load: Require,
  alloc: Alloc,
): unknown {
  const main = load.resolve("./channel_api.js");
  const folder = main.slice(0, -"channel_api.js".length);
  const { cache } = load;
  const taken = () => Object.keys(cache).filter((it) => it.startsWith(folder));
  const theirs = taken().map((path) => [path, cache[path]] as const);
  for (const [path] of theirs) delete cache[path];
  try {
    patch(load, alloc);
    return load("./channel_api.js");
  } finally {
    for (const path of taken()) delete cache[path];
    for (const [path, module] of theirs) cache[path] = module;
  }
}

/**
 * Patches a connection that is open:
 *
 * - `Connection.recvFrame`: all that was received is joined with each piece that comes, and
 *   a body has no limit (advisory GHSA-37f9-7m79-6866 of amqplib, which bounds a frame).
 *
 * @param connection A connection of amqplib's.
 * @param most The maximum number of bytes of a body, and of a frame.
 * @param concat Joins bytes of amqplib's kind.
 */
export function patchConnection(
  connection: object,
  most: number,
  concat: (pieces: readonly Bytes[]) => Bytes,
): void {
  if (!isReceiving(connection)) return;
  connection.maxFrameSize = mostFrame(
    most,
    // amqplib writes no limit as the largest number.
    connection.frameMax === 0xffffffff ? 0 : connection.frameMax,
  );
  connection.recvFrame = frameReader(connection, most, concat);
}

function patch(load: Require, alloc: Alloc): void {
  // First of all: a module that is required next takes the functions as it finds them.
  const codec = load("./lib/codec.js");
  if (isRecord(codec)) {
    patchDecoder(codec);
    patchEncoder(codec, alloc);
  }
  patchFormat(load("./lib/format.js"));
  const args = load("./lib/api_args.js");
  patchPublish(load("./lib/channel_model.js"), args);
  patchReading(load("./lib/connection.js"));
}

function patchFormat(format: unknown): void {
  if (!isRecord(format)) return;
  const { inspect } = format;
  if (!isFunction(inspect)) return;
  format.inspect = (frame: unknown, showFields: unknown) =>
    inspect(frame, showFields || isRefusal(frame));
}

/** An object that another inherits from is slow to make and to go through: the headers of a message need no heir. */
function patchPublish(module: unknown, args: unknown): void {
  if (!isRecord(module) || !isFunction(module.Channel)) return;
  if (!isRecord(args) || !isFunction(args.publish)) return;
  const proto: unknown = Reflect.get(module.Channel, "prototype");
  if (!isRecord(proto)) return;
  const { publish: fieldsOf } = args;
  const { publish } = proto;
  if (!isFunction(publish)) return;
  proto.publish = function (
    this: { sendMessage(...given: unknown[]): unknown },
    exchange: unknown,
    key: unknown,
    content: unknown,
    options: unknown,
  ) {
    if (
      !isRecord(options) || options.headers === undefined ||
      options.CC !== undefined || options.BCC !== undefined
    ) return publish.call(this, exchange, key, content, options);
    const fields = fieldsOf(exchange, key, { ...options, headers: undefined });
    if (isRecord(fields)) fields.headers = options.headers;
    return this.sendMessage(fields, fields, content);
  };
}

/** Reads the bytes behind the handshake once the connection has its listeners. */
function patchReading(module: unknown): void {
  if (!isRecord(module) || !isFunction(module.Connection)) return;
  const proto: unknown = Reflect.get(module.Connection, "prototype");
  if (!isRecord(proto)) return;
  const { acceptLoop } = proto;
  if (!isFunction(acceptLoop)) return;
  proto.acceptLoop = function () {
    atNextTurn(() => acceptLoop.call(this));
  };
}

/** A table stays its bytes: most are never looked at, and the others are read then. */
function patchDecoder(codec: Record<PropertyKey, unknown>): void {
  const { decodeFields: decode } = codec;
  if (!isFunction(decode)) return;
  codec.decodeFields = (bytes: unknown) =>
    bytes instanceof Uint8Array ? rawTable(bytes) : decode(bytes);
}

/** The largest table that is written at all; what a frame holds is checked before. */
const MAX_ROOM = 2 ** 30;

/** amqplib writes every table into one buffer, and takes the table out of that. */
function patchEncoder(
  codec: Record<PropertyKey, unknown>,
  alloc: Alloc,
): void {
  const { encodeTable: encode } = codec;
  if (!isFunction(encode)) return;
  let usual: Bytes | undefined;
  let room: Bytes = alloc(0);
  codec.encodeTable = (buffer: unknown, table: unknown, offset: unknown) => {
    if (!(buffer instanceof Uint8Array)) return encode(buffer, table, offset);
    if (usual !== buffer) {
      usual = buffer;
      Object.defineProperty(buffer, "slice", {
        value: (start: number, end: number) => room.subarray(start, end),
      });
    }
    room = buffer;
    for (;;) {
      try {
        return encode(room, table, offset);
      } catch (error) {
        const isFull = error instanceof RangeError && room.length < MAX_ROOM;
        if (!isFull) throw error;
        room = alloc(2 * room.length);
      }
    }
  };
}

function isReceiving(connection: object): connection is Receiving {
  return "recvFrame" in connection && "rest" in connection &&
    "maxFrameSize" in connection && "stream" in connection &&
    "frameMax" in connection;
}

function isRefusal(frame: unknown): boolean {
  return isRecord(frame) && isRecord(frame.fields) &&
    "replyText" in frame.fields;
}

function isRecord(value: unknown): value is Record<PropertyKey, unknown> {
  return typeof value === "object" && value !== null;
}

function isFunction(value: unknown): value is (...args: unknown[]) => unknown {
  return typeof value === "function";
}
