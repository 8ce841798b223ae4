import { assert, assertEquals } from "@std/assert";
import type { FieldTable } from "../../../model/field_table.ts";
import type { Publishing } from "../../../model/message.ts";
import {
  orderedQueue,
  orderedSteps,
  sharesOf,
  withoutSlots,
  withSlots,
} from "../../../transports/amqp_protocol/ordered_layout.ts";

function messageWith(headers: FieldTable | undefined): Publishing {
  return {
    exchange: "",
    routingKey: "o",
    mandatory: true,
    delay: 0,
    properties: { headers },
    body: new Uint8Array(0),
  };
}

Deno.test("the prefetch of a consumer is shared out to the partitions, of which each has one message at least", () => {
  assertEquals(sharesOf(10, 4), [3, 3, 2, 2]);
  assertEquals(sharesOf(4, 4), [1, 1, 1, 1]);
  assertEquals(sharesOf(1, 3), [1, 1, 1]);
  assertEquals(sharesOf(65_535, 2), [32_768, 32_767]);
});

for (const [count, slots] of [[3, 16], [16, 16], [17, 256]] as const) {
  Deno.test(`an ordered queue of ${count} partitions has a binding for each of ${slots} slots, and one for what has none`, () => {
    const declaration = {
      name: "o",
      durable: true,
      exclusive: false,
      autoDelete: false,
      arguments: { "x-ordered": count, "x-message-ttl": 5 },
    };
    const queue = orderedQueue("o", count);
    const steps = orderedSteps(declaration, queue);
    assertEquals(steps.exchanges.map(({ name }) => name), [
      "o.keys",
      `o.keys.${count}`,
    ]);
    assertEquals(steps.queues.at(-1), {
      ...declaration,
      name: "o.1",
      arguments: { "x-message-ttl": 5, "x-single-active-consumer": true },
    });
    assertEquals(steps.bindings.length, slots + 1);
    assertEquals(steps.bindings[slots - 1], {
      source: "o.keys",
      destination: {
        kind: "queue",
        name: `o.${(slots - 1) % count + 1}`,
      },
      routingKey: "",
      arguments: { "x-match": "all", [`dashi_key_${slots}`]: slots - 1 },
    });
    assertEquals(steps.bindings.at(-1)?.source, `o.keys.${count}`);
    assertEquals(steps.bindings.at(-1)?.destination.name, "o.1");
  });
}

Deno.test("a key has the same slots in every version, and they are taken off", () => {
  for (
    const [key, few, many] of [
      ["user-7", 13, 29],
      ["é", 12, 92],
      ["a", 0, 32],
    ] as const
  ) {
    const headers = { other: 1, "x-key": key };
    const sent = withSlots(messageWith(headers)).properties.headers ?? {};
    assertEquals([key, sent.dashi_key_16, sent.dashi_key_256], [
      key,
      few,
      many,
    ]);
    assertEquals(withoutSlots(sent), headers);
  }
  for (const headers of [undefined, {}, { "x-key": 5 }, { "x-key": "" }]) {
    const message = messageWith(headers);
    assertEquals(withSlots(message), message);
  }
});

Deno.test("a thousand keys are spread evenly over sixteen partitions", () => {
  const found = new Array<number>(16).fill(0);
  for (let i = 0; i < 1000; i++) {
    const { headers } = withSlots(messageWith({ "x-key": `user-${i}` }))
      .properties;
    const slot = Number(headers?.dashi_key_16);
    found[slot] = (found[slot] ?? 0) + 1;
  }
  assert(Math.max(...found) < 100 && Math.min(...found) > 35, `${found}`);
});
