import { assert, assertEquals, assertThrows } from "@std/assert";
import { DecodeError, EncodeError } from "../../../model/errors.ts";
import {
  EnvelopeWriter,
  readEnvelope,
} from "../../../transports/store/envelope.ts";
import { message as messageTo } from "../../support/stores.ts";
import golden from "../../golden/envelopes.json" with { type: "json" };

interface Case {
  readonly name: string;
  readonly stored?: string;
}

const cases: readonly Case[] = golden.cases;
const writer = new EnvelopeWriter();

for (const { name, stored } of cases) {
  if (stored === undefined) continue;
  Deno.test(`readEnvelope() reads what Kombu stored, and it is written alike: ${name}`, () => {
    const { message, deliveryTag } = readEnvelope(stored);
    const kombu = JSON.parse(stored);
    const ours = JSON.parse(writer.write(message, deliveryTag ?? ""));
    // Properties that AMQP lacks are not ours to keep.
    const { properties: theirs, ...rest } = kombu;
    for (const key of Object.keys(theirs)) {
      if (!(key in ours.properties)) {
        assert(!KNOWN.has(key), `${key} was lost`);
        delete theirs[key];
      }
    }
    assert(
      Number.isInteger(theirs.priority) || name.includes("priority"),
      name,
    );
    theirs.priority = message.properties.priority ?? 0;
    assertEquals(ours, { ...rest, properties: theirs });
  });
}

const KNOWN = new Set([
  "delivery_mode",
  "delivery_info",
  "priority",
  "body_encoding",
  "delivery_tag",
  "expiration",
  "correlation_id",
  "reply_to",
  "message_id",
  "timestamp",
  "type",
  "user_id",
  "app_id",
]);

Deno.test("write() and readEnvelope() carry headers and properties of every type", () => {
  const message = {
    exchange: 'e"x',
    routingKey: "r.k",
    mandatory: false,
    delay: 0,
    properties: {
      contentType: "application/json",
      contentEncoding: "utf-8",
      headers: {
        text: "x",
        n: -1,
        big: 2n ** 60n,
        bytes: Uint8Array.of(255, 0),
        date: new Date("2024-05-06T07:08:09.010Z"),
        list: [1, null, { a: true }],
      },
      deliveryMode: "transient" as const,
      priority: 7,
      correlationId: "c",
      replyTo: "r",
      expiration: 1500,
      messageId: "m",
      timestamp: new Date("2024-05-06T07:08:09Z"),
      type: "t",
      userId: "u",
      appId: "a",
    },
    body: Uint8Array.of(0, 1, 255),
  };
  const read = readEnvelope(writer.write(message, "tag"));
  assertEquals(read, { message, deliveryTag: "tag", redelivered: false });
});

Deno.test("write() escapes names that JSON cannot have as they are", () => {
  const text = 'a "name" \\ of\n\u{1f600}é\u0000';
  const properties = {
    contentType: text,
    correlationId: text,
    replyTo: text,
    messageId: text,
    type: text,
    userId: text,
    appId: text,
  };
  const message = { ...messageTo("q", "x"), properties };
  const read = readEnvelope(writer.write(message, text));
  assertEquals(read.deliveryTag, text);
  for (const [name, value] of Object.entries(properties)) {
    assertEquals(Reflect.get(read.message.properties, name), value, name);
  }
});

const FOREIGN: readonly (readonly [string, string, unknown])[] = [
  ["without body_encoding", '{"body": "text", "properties": {}}', "text"],
  [
    "with headers of null",
    '{"body": "text", "headers": null, "properties": {}}',
    "text",
  ],
  ["without properties", '{"body": "text"}', "text"],
];

for (const [name, text, expected] of FOREIGN) {
  Deno.test(`readEnvelope() reads an envelope ${name}`, () => {
    const { message } = readEnvelope(text);
    assertEquals<unknown>(new TextDecoder().decode(message.body), expected);
    assertEquals(message.properties.headers, {});
  });
}

Deno.test("readEnvelope() knows what was put back", () => {
  const texts = [
    '{"body": "", "redelivered": true}',
    '{"body": "", "headers": {"redelivered": true}}',
    '{"body": "", "properties": {"delivery_info": {"redelivered": true}}}',
  ];
  for (const text of texts) assertEquals(readEnvelope(text).redelivered, true);
});

const BAD = [
  "",
  "no json",
  "[]",
  "null",
  "7",
  '{"body": 7}',
  '{"properties": {}}',
  '{"body": "x", "properties": []}',
  '{"body": "x", "headers": "none"}',
  '{"body": "abc", "properties": {"body_encoding": "base64"}}',
  '{"body": "eyJ", "properties": {"body_encoding": "base64"}, ',
];

for (const text of BAD) {
  Deno.test(`readEnvelope() refuses ${text || "nothing"}`, () => {
    assertThrows(() => readEnvelope(text), DecodeError);
  });
}

Deno.test("readEnvelope() throws nothing but DecodeError, whatever it is given", () => {
  const good = writer.write({
    exchange: "e",
    routingKey: "k",
    mandatory: false,
    delay: 0,
    properties: { headers: { a: [1, { b: "x" }] }, priority: 3 },
    body: Uint8Array.of(1, 2, 3),
  }, "tag");
  let seed = 11;
  const random = (most: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
    return Math.floor(seed / 65_536) % most;
  };
  let refused = 0;
  for (let i = 0; i < 3000; i++) {
    const at = random(good.length);
    const length = random(4);
    const junk = String.fromCharCode(random(128));
    try {
      readEnvelope(good.slice(0, at) + junk + good.slice(at + length));
    } catch (error) {
      assert(error instanceof DecodeError, String(error));
      refused++;
    }
  }
  assert(refused > 500);
});

Deno.test("a message that is written again keeps headers that no publisher may send", () => {
  const headers = {
    n: NaN,
    list: [Infinity, { deep: -Infinity }],
    kept: "NaN",
  };
  const again = {
    ...messageTo("", "q"),
    properties: { headers },
    republished: true,
  };
  const text = new EnvelopeWriter().write(again, "tag");
  assertEquals(readEnvelope(text).message.properties.headers, headers);
  assert(text.includes('"n": NaN') || text.includes('"n":NaN'));
  assertThrows(
    () => new EnvelopeWriter().write({ ...again, republished: false }, "tag"),
    EncodeError,
  );
});

Deno.test("a timestamp that is no time is refused, and left out of what is written again", () => {
  const properties = { timestamp: new Date(NaN) };
  const bad = { ...messageTo("", "q"), properties };
  assertThrows(() => new EnvelopeWriter().write(bad, "tag"), EncodeError);
  const text = new EnvelopeWriter().write({ ...bad, republished: true }, "tag");
  assertEquals(readEnvelope(text).message.properties.timestamp, undefined);
});

Deno.test("readEnvelope() takes a number for a name, as Kombu does, and says what is no object", () => {
  const written = JSON.parse(writer.write(messageTo("", "q"), "tag"));
  written.properties.correlation_id = 17;
  const read = readEnvelope(JSON.stringify(written));
  assertEquals(read.message.properties.correlationId, "17");
  for (
    const [value, kind] of [[[1], "a list"], ["x", "a string"], [
      5,
      "a number",
    ]] as const
  ) {
    assertThrows(
      () => readEnvelope(JSON.stringify({ ...written, properties: value })),
      DecodeError,
      `is ${kind} and no object`,
    );
  }
});

Deno.test("an envelope is the same whatever was written before it, and is ASCII only where that is said", () => {
  const plain = messageTo("queue", "text");
  const { properties } = plain;
  const all = [
    plain,
    { ...plain, routingKey: "other" },
    { ...plain, routingKey: "größe" },
    { ...plain, exchange: "ex" },
    ...[
      { contentType: "text/größe" },
      { contentEncoding: "utf-8", contentType: "text/plain" },
      { deliveryMode: "transient" as const },
      { priority: 3 },
      { priority: 0 },
      { messageId: 'with "quotes" and \n' },
      { messageId: "größe" },
      { headers: { word: "größe" } },
      { correlationId: "a.b:c-d_e" },
    ].map((each) => ({ ...plain, properties: { ...properties, ...each } })),
  ];
  const shared = new EnvelopeWriter();
  for (const first of all) {
    for (const second of all) {
      shared.writeTail(first, "tag");
      const tail = shared.writeTail(second, "tag");
      assertEquals(tail, new EnvelopeWriter().writeTail(second, "tag"));
      const bytes = new TextEncoder().encode(tail).length;
      if (shared.isAscii) assertEquals(bytes, tail.length);
      else assert(bytes > tail.length || second.properties.headers, tail);
    }
  }
});
