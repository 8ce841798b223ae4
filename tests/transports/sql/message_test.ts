import { assert, assertEquals } from "@std/assert";
import { HeadWriter, messageOf } from "../../../transports/sql/message.ts";
import { isMalformed } from "../../../transports/store/quarantine.ts";
import type { MessageProperties, Publishing } from "../../../model/message.ts";

const body = new Uint8Array([1, 2, 3]);

function publishing(
  properties: MessageProperties,
  routingKey = "orders",
): Publishing {
  return {
    exchange: routingKey === "orders" ? "" : "shop",
    routingKey,
    mandatory: false,
    delay: 0,
    properties: {
      deliveryMode: "persistent",
      priority: 0,
      headers: {},
      ...properties,
    },
    body,
  };
}

function read(head: string): Publishing {
  const message = messageOf({ head, body });
  assert(!isMalformed(message), head);
  return message;
}

const MESSAGES: readonly Publishing[] = [
  publishing({ messageId: "a-1", contentType: "text/plain" }),
  publishing({ messageId: "a-2", contentType: "text/plain" }),
  publishing({ messageId: 'a "quoted" \\ name', contentType: "text/plain" }),
  publishing({ messageId: "ü", contentType: "text/plain" }),
  publishing({ messageId: "", contentType: "text/plain" }),
  publishing({}),
  publishing({ messageId: "a-3" }, ',"message_id":"trap"}'),
  publishing({ messageId: "a-4", headers: { message_id: "other", n: 2 } }),
  publishing({
    messageId: "a-5",
    timestamp: new Date(1_700_000_000_000),
    deliveryMode: "transient",
    priority: 4,
    expiration: 60_000,
    correlationId: "c",
    replyTo: "r",
    type: "t",
    userId: "u",
    appId: "a",
    contentEncoding: "utf-8",
  }),
];

Deno.test("a head that is written is read as it was, whichever was before it", () => {
  const writer = new HeadWriter();
  const heads = MESSAGES.map((each) => writer.write(each));
  for (const [i, first] of heads.entries()) {
    for (const [j, second] of heads.entries()) {
      read(first);
      const { properties, ...rest } = read(second);
      const expected = MESSAGES[j];
      assert(expected !== undefined);
      const { properties: known, ...others } = expected;
      assertEquals(rest, others, `${j} after ${i}`);
      const given = Object.entries(properties).filter(([, value]) =>
        value !== undefined
      );
      assertEquals(Object.fromEntries(given), known);
    }
  }
});

Deno.test("messages whose heads begin alike share nothing that can be changed", () => {
  const head = '{"routing_key":"orders","message_id":"1"}';
  const first = read(head).properties;
  Object.assign(first.headers ?? {}, { changed: true });
  assertEquals(read(head).properties.headers, {});
  const other = '{"routing_key":"orders","headers":{"a":1},"message_id":"2"}';
  Object.assign(read(other).properties.headers ?? {}, { changed: true });
  assertEquals(read(other).properties.headers, { a: 1 });
});

Deno.test("a head that is no JSON is malformed, before and after one that is", () => {
  const bad = [
    '{,"message_id":"1"}',
    '{"routing_key":"orders","headers":{"a":1,"message_id":"1"}',
    '{"routing_key":"orders,"message_id":"1"}',
    '["a","message_id":"1"}',
    "",
  ];
  for (const head of [...bad, ...bad]) {
    assert(isMalformed(messageOf({ head, body })), head);
    read('{"routing_key":"orders","message_id":"1"}');
  }
});
