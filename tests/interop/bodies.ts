/** Bodies: every content type and compression that both sides know. */

import { assertEquals, assertThrows } from "@std/assert";
import { type PublishOptions, TypedValue } from "@dashi/mq";
import { HEADERS, shown } from "./peer.ts";
import { type InteropCase, spec, take } from "./stage.ts";

/** A payload, how it is written, and how the other side reads it. */
interface Body {
  readonly name: string;
  readonly payload: unknown;
  readonly ours: PublishOptions;
  readonly theirs: Readonly<Record<string, unknown>>;
  readonly type: string;
  readonly encoding: string;
}

const TREE = {
  a: [1, 2.5, null, true, "é", [], {}],
  when: new Date("2024-05-06T07:08:09Z"),
  data: Uint8Array.of(0, 255),
};

/** Texts that one side must quote, or the other takes them for something else. */
const TEXTS = [
  ..."yes no on off y n ~ null NaN .nan .inf 012 0o7 0x1f 1_000 1:20".split(
    " ",
  ),
  ..."1e3 1.e+3 +1 -.5 . - -- = << 2024-05-06 2024-05-06T07:08:09Z".split(" "),
  "",
  " ",
  "a: b",
  "# a",
  "- a",
  "[a",
  "%a",
  "@a",
  "'a'",
  '"a"',
  "line\nbreak\n",
  "tab\t",
  "\u0007",
  "\u2028",
  "😀",
];
const NUMBERS = [
  ...[0, -1, 127, 128, 255, 256, 65_536, 2 ** 31, -(2 ** 31), 2 ** 40],
  ...[2 ** 53 - 1, -(2 ** 53) + 1, 0.1, -1.5, 1e-7, 1.5e300, 5e-324],
];
const BIG = [2n ** 53n + 1n, -(2n ** 63n), 2n ** 64n - 1n];

const JSON_TYPE = "application/json";
const YAML = "application/x-yaml";
const MSGPACK = "application/x-msgpack";

function serialized(
  name: string,
  payload: unknown,
  type: string,
  encoding: string,
): Body {
  const options = { serializer: name.split(" ")[0] ?? name };
  return { name, payload, ours: options, theirs: options, type, encoding };
}

const BODIES: readonly Body[] = [
  serialized("json tree", TREE, JSON_TYPE, "utf-8"),
  serialized("json texts", TEXTS, JSON_TYPE, "utf-8"),
  serialized("json numbers", [...NUMBERS, ...BIG], JSON_TYPE, "utf-8"),
  serialized(
    "json types",
    {
      date: new TypedValue("date", "2024-05-06"),
      time: new TypedValue("time", "07:08:09"),
      decimal: new TypedValue("decimal", "1.10"),
      uuid: new TypedValue("uuid", { hex: "0123456789abcdef0123456789abcdef" }),
    },
    JSON_TYPE,
    "utf-8",
  ),
  serialized("yaml tree", TREE, YAML, "utf-8"),
  serialized("yaml texts", TEXTS, YAML, "utf-8"),
  serialized("yaml numbers", [...NUMBERS, ...BIG], YAML, "utf-8"),
  serialized("msgpack tree", { ...TREE, when: null }, MSGPACK, "binary"),
  serialized("msgpack texts", TEXTS, MSGPACK, "binary"),
  serialized("msgpack numbers", [...NUMBERS, ...BIG], MSGPACK, "binary"),
  serialized("raw text", "é", "application/data", "utf-8"),
  serialized("raw bytes", Uint8Array.of(255), "application/data", "binary"),
  {
    name: "a text",
    payload: "plain é",
    ours: {},
    theirs: {},
    type: "text/plain",
    encoding: "utf-8",
  },
  {
    name: "bytes",
    payload: Uint8Array.of(0, 255),
    ours: {},
    theirs: {},
    type: "application/data",
    encoding: "binary",
  },
  {
    name: "an object",
    payload: { hello: "world" },
    ours: {},
    theirs: {},
    type: JSON_TYPE,
    encoding: "utf-8",
  },
  {
    name: "a text of a type",
    payload: "<a/>",
    ours: { contentType: "application/xml" },
    theirs: { content_type: "application/xml" },
    type: "application/xml",
    encoding: "utf-8",
  },
];

const ACCEPT = [
  "json",
  "yaml",
  "msgpack",
  "text/plain",
  "application/data",
  "application/xml",
];
const COMPRESSIONS = ["gzip", "zlib", "brotli", "zstd", "zstandard"];
const REFUSED = ["bzip2", "lzma"];

/** The lines of the table about bodies. */
export const BODY_CASES: readonly InteropCase[] = [
  {
    name: "Kombu reads every content type that we write",
    run: async (stage) => {
      const { connection, peer } = stage;
      const queue = stage.queue();
      const producer = connection.producer({ declare: [queue] });
      for (const { name, payload, ours } of BODIES) {
        await producer.publish(payload, {
          ...ours,
          routingKey: queue.name,
          headers: { name },
        });
      }
      const messages = await peer.receive(spec(queue), BODIES.length, {
        accept: ACCEPT,
      });
      for (const { name, payload, type, encoding } of BODIES) {
        const seen = messages.find(({ headers }) => headers.name === name);
        assertEquals([
          name,
          seen?.error ?? seen?.payload,
          seen?.content_type,
          seen?.content_encoding,
        ], [name, shown(payload), type, encoding]);
      }
    },
  },
  {
    name: "we read every content type that Kombu writes",
    run: async (stage) => {
      const { connection, peer } = stage;
      const queue = stage.queue();
      for (const { name, payload, theirs } of BODIES) {
        await peer.publish({
          ...theirs,
          body: shown(payload),
          headers: { name },
          routing_key: queue.name,
          declare: [spec(queue)],
        });
      }
      const messages = await take(connection, queue, BODIES.length, {
        accept: ACCEPT,
      });
      for (const { name, payload, type, encoding } of BODIES) {
        const message = messages.find(({ headers }) => headers.name === name);
        assertEquals([
          name,
          message?.payload,
          message?.contentType,
          message?.properties.contentEncoding,
        ], [name, payload, type, encoding]);
      }
    },
  },
  {
    name: "Kombu reads every compression that we write",
    run: async (stage) => {
      const { connection, peer } = stage;
      const queue = stage.queue();
      const payload = { text: "again ".repeat(100) };
      const producer = connection.producer({ declare: [queue] });
      for (const compression of COMPRESSIONS) {
        await producer.publish(payload, {
          compression,
          routingKey: queue.name,
        });
      }
      const messages = await peer.receive(spec(queue), COMPRESSIONS.length);
      assertEquals(
        messages.map((each) => each.error ?? each.payload),
        COMPRESSIONS.map(() => payload),
      );
    },
  },
  {
    name: "we read every compression that Kombu writes, or say why not",
    run: async (stage) => {
      const { connection, peer } = stage;
      const queue = stage.queue();
      const payload = { text: "again ".repeat(100) };
      for (const compression of [...COMPRESSIONS, ...REFUSED]) {
        await peer.publish({
          compression,
          body: payload,
          routing_key: queue.name,
          declare: [spec(queue)],
        });
      }
      const messages = await take(connection, queue, COMPRESSIONS.length + 2);
      for (const message of messages) {
        if (/bz2|lzma/.test(String(message.headers.compression))) {
          assertThrows(() => message.payload, Error, "registerCompression");
        } else assertEquals(message.payload, payload);
      }
      assertEquals(
        new Set(messages.map(({ headers }) => headers.compression)).size,
        5,
      );
    },
  },
  {
    name: "headers of every type and all properties come to Kombu",
    run: async (stage) => {
      const { connection, peer, meeting: { lacks = {} } } = stage;
      const queue = stage.queue();
      const producer = connection.producer({ declare: [queue] });
      await producer.publish("x", {
        routingKey: queue.name,
        headers: HEADERS,
        correlationId: "c",
        replyTo: "r",
        messageId: "m",
        type: "t",
        ...(lacks.priority === undefined ? { priority: 3 } : {}),
        ...(lacks.expiration === undefined ? { expiration: 60_000 } : {}),
      });
      const [message] = await peer.receive(spec(queue), 1);
      assertEquals(message?.headers, shown(HEADERS));
      assertEquals(message?.properties, {
        correlation_id: "c",
        reply_to: "r",
        message_id: "m",
        type: "t",
        delivery_mode: 2,
        priority: lacks.priority === undefined ? 3 : 0,
        expiration: lacks.expiration === undefined ? "60000" : null,
      });
    },
  },
  {
    name: "headers of every type and all properties come from Kombu",
    run: async (stage) => {
      const { connection, peer } = stage;
      const queue = stage.queue();
      await peer.publish({
        body: "x",
        routing_key: queue.name,
        declare: [spec(queue)],
        headers: shown(HEADERS),
        correlation_id: "c",
        reply_to: "r",
        message_id: "m",
        type: "t",
        priority: 3,
        expiration: 60,
      });
      const [message] = await take(connection, queue, 1);
      assertEquals<unknown>(message?.headers, HEADERS);
      const { contentType: _, contentEncoding: __, headers: ___, ...rest } =
        message?.properties ?? {};
      assertEquals<unknown>(
        Object.fromEntries(
          Object.entries(rest).filter(([, value]) => value !== undefined),
        ),
        {
          correlationId: "c",
          replyTo: "r",
          messageId: "m",
          type: "t",
          deliveryMode: "persistent",
          priority: 3,
          expiration: 60_000,
        },
      );
    },
  },
];
