/** Answers of MongoDB servers that must not fill the memory, or hold the process up. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { createConnection, MessagingError, Queue } from "@dashi/mq";
import { BSON } from "mongodb";
import { deflateSync } from "node:zlib";
import { ResponseTooLargeError } from "../../../model/response_limit.ts";
import {
  checkParts,
  MessageFollower,
} from "../../../transports/mongodb/answers/messages.ts";
import { arrives } from "../../conformance/support.ts";

const MIB = 2 ** 20;
const OFFERED = 64 * MIB;
const OP_MSG = 2013;

/** A message: its code, and what follows the header. */
function message(
  code: number,
  body: Uint8Array,
  size = 16 + body.byteLength,
  answers = 0,
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(16 + body.byteLength);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, size, true);
  view.setInt32(8, answers, true);
  view.setInt32(12, code, true);
  bytes.set(body, 16);
  return bytes;
}

/** An OP_MSG with one section. */
function msg(document: Uint8Array): Uint8Array {
  const body = new Uint8Array(5 + document.byteLength);
  body.set(document, 5);
  return body;
}

function int32(...values: number[]): Uint8Array {
  const bytes = new Uint8Array(4 * values.length);
  const view = new DataView(bytes.buffer);
  values.forEach((value, i) => view.setInt32(4 * i, value, true));
  return bytes;
}

const HELLO = {
  ok: 1,
  ismaster: true,
  isWritablePrimary: true,
  helloOk: true,
  maxBsonObjectSize: 16 * MIB,
  maxMessageSizeBytes: 48_000_000,
  maxWriteBatchSize: 100_000,
  localTime: new Date(),
  minWireVersion: 0,
  maxWireVersion: 21,
};

/** Documents in documents, so many. */
function nested(levels: number): Uint8Array {
  const bytes = new Uint8Array(8 * levels + 5);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < levels; i++) {
    view.setInt32(7 * i, 8 * (levels - i) + 5, true);
    bytes.set([3, 97, 0], 7 * i + 4);
  }
  view.setInt32(7 * levels, 5, true);
  return bytes;
}

function compressed(size: number): Uint8Array {
  const plain = msg(new Uint8Array(size));
  return Uint8Array.of(
    ...int32(OP_MSG, plain.byteLength),
    2,
    ...deflateSync(plain),
  );
}

/** The answers, and whether they go on. */
const ANSWERS: readonly (readonly [string, () => Uint8Array, boolean?])[] = [
  [
    "a message of 2 GB",
    () => message(OP_MSG, new Uint8Array(), 2 ** 31 - 1),
    true,
  ],
  ["a message of 0 bytes", () => new Uint8Array(64)],
  ["a message of 4 bytes", () => int32(4, 4, 4, 4)],
  ["a message of less than nothing", () => int32(-1, 0, 0, OP_MSG)],
  ["a compressed answer", () => message(2012, compressed(16 * MIB))],
  [
    "a section of -1 bytes",
    () => message(OP_MSG, Uint8Array.of(0, 0, 0, 0, 0, ...int32(-1, 0, 0))),
  ],
  [
    "a section of 2 GB",
    () => message(OP_MSG, Uint8Array.of(0, 0, 0, 0, 0, ...int32(2 ** 31 - 1))),
  ],
  ["no section", () => message(OP_MSG, int32(0))],
  ["two billion documents", () => message(1, int32(0, 0, 0, 0, 2 ** 31 - 1))],
  ["a cut off reply", () => message(1, int32(0))],
  [
    "100,000 documents in each other",
    () => message(OP_MSG, msg(nested(100_000))),
  ],
  ["a document that is none", () => {
    const document = BSON.serialize({ ok: 1, text: "abc" });
    document.fill(255, 4, document.byteLength - 1);
    return message(OP_MSG, msg(document));
  }],
  ["HTTP", () => new TextEncoder().encode("HTTP/1.1 400 Bad Request\r\n\r\n")],
];

for (const isFirst of [true, false]) {
  for (const [what, say, isEndless = false] of ANSWERS) {
    const when = isFirst ? "at first" : "later";
    Deno.test(`mongodb: a server that answers ${what} ${when}`, async () => {
      const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
      let sent = 0;
      const serving: Promise<void>[] = [];
      const serve = async (socket: Deno.Conn) => {
        using _ = socket;
        for await (const asked of messagesOf(socket)) {
          const view = new DataView(asked.buffer);
          const isOld = view.getInt32(12, true) !== OP_MSG;
          const isHello = isOld ||
            /hello|ismaster/i.test(new TextDecoder().decode(asked));
          if (isFirst || !isHello) {
            await socket.write(say());
            const piece = new Uint8Array(MIB / 4);
            while (isEndless && sent < OFFERED) {
              sent += await socket.write(piece);
            }
            continue;
          }
          const document = BSON.serialize(HELLO);
          const body = isOld
            ? Uint8Array.of(...int32(8, 0, 0, 0, 1), ...document)
            : msg(document);
          const id = view.getInt32(4, true);
          await socket.write(message(isOld ? 1 : OP_MSG, body, undefined, id));
        }
      };
      const accepting = (async () => {
        for await (const socket of listener) {
          serving.push(serve(socket).catch(() => {}));
        }
      })().catch(() => {});
      const connection = createConnection(
        `mongodb://127.0.0.1:${listener.addr.port}/db`,
        {
          maxResponseSize: MIB,
          connectTimeout: 5000,
          operationTimeout: 5000,
          heartbeat: 0,
          reconnect: false,
        },
      );
      try {
        const error = await arrives(
          connection.declare(new Queue("q")).catch((each) => each),
          "an error",
        );
        assert(error instanceof MessagingError, String(error));
        assert(error.message.length < 1000, error.message);
        assert(sent < OFFERED / 2, `${sent} bytes were taken`);
      } finally {
        await connection.close();
        listener.close();
        await accepting;
        await Promise.all(serving);
      }
    });
  }
}

async function* messagesOf(socket: Deno.Conn): AsyncGenerator<Uint8Array> {
  let bytes = new Uint8Array();
  for await (const piece of socket.readable) {
    bytes = Uint8Array.of(...bytes, ...piece);
    for (;;) {
      const size = bytes.byteLength < 4
        ? Infinity
        : new DataView(bytes.buffer).getInt32(0, true);
      if (bytes.byteLength < size) break;
      yield bytes.slice(0, size);
      bytes = bytes.slice(size);
    }
  }
}

Deno.test("mongodb: messages are followed however their bytes come", () => {
  const stream = Uint8Array.of(
    ...message(OP_MSG, msg(BSON.serialize({ a: 1 }))),
    ...message(1, int32(0, 0, 0, 0, 0)),
    ...message(OP_MSG, new Uint8Array(100)),
  );
  for (const size of [1, 3, 15, 16, 17, 1000]) {
    const follower = new MessageFollower(116);
    for (let at = 0; at < stream.byteLength; at += size) {
      follower.follow(stream.subarray(at, at + size));
    }
    // The next one begins right behind.
    assertThrows(
      () => follower.follow(int32(117)),
      ResponseTooLargeError,
    );
  }
  assertThrows(() => new MessageFollower(100).follow(int32(15)), Error, "15");
});

Deno.test("mongodb: parts are as long as they say, and what has a checksum passes", () => {
  const document = BSON.serialize({ ok: 1 });
  checkParts(message(OP_MSG, msg(document)));
  const summed = message(OP_MSG, Uint8Array.of(...msg(document), 1, 2, 3, 4));
  assertThrows(() => checkParts(summed));
  summed[16] = 1;
  checkParts(summed);
  checkParts(message(1, Uint8Array.of(...int32(8, 0, 0, 0, 1), ...document)));
  assertEquals(
    assertThrows(() => checkParts(message(1, int32(8, 0, 0, 0, 1)))).message,
    "the answer is not one of MongoDB: a document of 0 bytes",
  );
});
