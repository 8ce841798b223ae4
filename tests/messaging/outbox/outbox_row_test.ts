/** What a message of an outbox is as a row. */

import { assertEquals } from "@std/assert";
import { createCodecRegistry } from "../../../codec/mod.ts";
import {
  makeMessage,
  readRow,
  rowOf,
} from "../../../messaging/outbox/outbox_row.ts";
import type { OutboxPublishOptions } from "../../../messaging/outbox/outbox_options.ts";

Deno.test("a row has the delay, the key and the destination that its message was published with", async () => {
  const given = {
    queue: "orders",
    delay: 1500,
    key: "customer 7",
    headers: { tenant: "t7" },
  } as Omit<OutboxPublishOptions, "transaction"> as OutboxPublishOptions;
  const message = await makeMessage(createCodecRegistry(), { n: 1 }, given);
  assertEquals([message.delay, message.mandatory], [1500, false]);
  const row = rowOf(message, given);
  const { delay, key, exchange, routingKey, headers, persistent } = readRow(
    row,
  );
  assertEquals(
    { delay, key, exchange, routingKey, headers, persistent },
    {
      delay: 1500,
      key: "customer 7",
      exchange: "",
      routingKey: "orders",
      headers: { tenant: "t7", "x-key": "customer 7" },
      persistent: true,
    },
  );
  assertEquals(new TextDecoder().decode(row.body), '{"n":1}');
});

Deno.test("a row of a message without a delay has none", async () => {
  const given = { queue: "orders" } as OutboxPublishOptions;
  const message = await makeMessage(createCodecRegistry(), 1, given);
  assertEquals(readRow(rowOf(message, given)).delay, 0);
});
