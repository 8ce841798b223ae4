import { assert, assertEquals, assertExists, assertThrows } from "@std/assert";
import { Buffer } from "node:buffer";
import { createRequire } from "node:module";
import type { MessageProperties } from "../../../model/message.ts";
import { readFrame } from "../../../transports/amqp/frames.ts";
import { FrameWriter } from "../../../transports/amqp_client/frame_writer.ts";
import { writeProperties } from "../../../transports/amqp_client/properties.ts";
import { fromFields } from "../../../transports/amqp_protocol/fields.ts";

const amqplib: {
  parseFrame(bytes: Uint8Array, most: number): object;
  decodeFrame(frame: object): Record<string, unknown>;
} = createRequire(import.meta.resolve("amqplib"))("./lib/frame.js");

const PROPERTIES: readonly MessageProperties[] = [
  {},
  { contentType: "text/plain", headers: {}, deliveryMode: "transient" },
  {
    contentType: "application/json",
    contentEncoding: "utf-8",
    headers: { n: 1, name: "Größe", list: [1, "two", true] },
    deliveryMode: "persistent",
    priority: 9,
    correlationId: "c-1",
    replyTo: "réponses",
    expiration: 60_000,
    messageId: crypto.randomUUID(),
    timestamp: new Date(1_700_000_000_000),
    type: "order",
    userId: "guest",
    appId: "shop",
  },
];

/** The properties that AMQP has. */
const NAMES = [
  "contentType",
  "contentEncoding",
  "headers",
  "deliveryMode",
  "priority",
  "correlationId",
  "replyTo",
  "expiration",
  "messageId",
  "timestamp",
  "type",
  "userId",
  "appId",
];

/** Returns the fields of a header or a method that are set: ours are read when they are looked at. */
function fieldsOf(fields: object): Record<string, unknown> {
  const read = NAMES.map((name) => [name, Reflect.get(fields, name)]);
  return { ...fields, ...Object.fromEntries(read) };
}

/** The frames of a delivery, each by itself. */
function framesOf(properties: MessageProperties, body: Uint8Array) {
  const written: Uint8Array[] = [];
  const writer = new FrameWriter((bytes) => written.push(bytes));
  writer.message(
    7,
    [60, 60],
    () => {
      writer.shortString("ctag-1");
      writer.longlong(2 ** 40 + 3);
      writer.octet(1);
      writer.shortString("shop");
      writer.shortString("orders.größer");
    },
    body,
    () => writeProperties(writer, properties),
  );
  writer.flush();
  const all = Buffer.concat(written);
  const frames: { start: number; size: number }[] = [];
  for (let start = 0; start < all.byteLength;) {
    const size = 8 + all.readUInt32BE(start + 3);
    frames.push({ start, size });
    start += size;
  }
  return { all, frames };
}

/** With what is undefined left out, tables as values and bodies as plain bytes. */
function plain(frame: Record<string, unknown>): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(frame)) {
    if (value === undefined) continue;
    result[name] = value instanceof Uint8Array
      ? new Uint8Array(value)
      : name === "fields" && typeof value === "object" && value !== null
      ? plain(fieldsOf(value))
      : name === "headers" && typeof value === "object" && value !== null
      ? fromFields(value)
      : value;
  }
  return result;
}

Deno.test("amqp: frames of deliveries are read as amqplib reads them", () => {
  for (const properties of PROPERTIES) {
    const { all, frames } = framesOf(properties, Uint8Array.of(1, 2, 3));
    assertEquals(frames.length, 3);
    for (const { start, size } of frames) {
      const read = readFrame(all, start, size);
      assertExists(read);
      const theirs = amqplib.decodeFrame(
        amqplib.parseFrame(all.subarray(start, start + size), 0),
      );
      const ours = plain({ ...read });
      // amqplib reads small numbers into a table of its own kinds.
      assertEquals(ours, plain(theirs));
    }
  }
});

Deno.test("amqp: properties that are cut off are refused before anybody looks at them", () => {
  let refused = 0;
  for (const [name, value] of Object.entries(PROPERTIES[2] ?? {})) {
    const { all, frames } = framesOf({ [name]: value }, new Uint8Array(0));
    const header = frames[1];
    assertExists(header);
    const { start, size } = header;
    for (let cut = 1; cut <= size - 8 - 14; cut++) {
      const shorter = Buffer.from(all.subarray(start, start + size - cut));
      shorter.writeUInt32BE(size - 8 - cut, 3);
      shorter[shorter.byteLength - 1] = 206;
      assertThrows(() => readFrame(shorter, 0, shorter.byteLength), RangeError);
      refused++;
    }
  }
  assert(refused >= 13);
});

Deno.test("amqp: a confirm is read as amqplib reads it", () => {
  for (const multiple of [0, 1]) {
    const written: Uint8Array[] = [];
    const writer = new FrameWriter((bytes) => written.push(bytes));
    writer.method(3, [60, 80], () => {
      writer.longlong(2 ** 33 + 1);
      writer.octet(multiple);
    });
    writer.flush();
    const all = Buffer.concat(written);
    const read = readFrame(all, 0, all.byteLength);
    assertExists(read);
    assertEquals(
      plain({ ...read }),
      plain(amqplib.decodeFrame(amqplib.parseFrame(all, 0))),
    );
  }
});

Deno.test("amqp: a frame whose parts have more bytes than it is refused, and one without its end is amqplib's to refuse", () => {
  const { all, frames: [method, header] } = framesOf(
    { contentType: "text/plain" },
    new Uint8Array(0),
  );
  assertExists(method);
  assertExists(header);
  for (const { start, size } of [method, header]) {
    const broken = Buffer.from(all);
    // The length of the first short string.
    broken[start === 0 ? 11 : start + 7 + 14] = 255;
    assertThrows(() => readFrame(broken, start, size), RangeError);
    broken[start + size - 1] = 0;
    assertEquals(readFrame(broken, start, size), undefined);
  }
});
