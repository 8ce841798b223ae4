import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { plainQueue } from "../../model/queue.ts";
import { failedQueue, SHARED_FAILED_QUEUE } from "../../virtual/mod.ts";

Deno.test("failedQueue() names a queue of its own for what lasts, and one for all that does not", () => {
  assertEquals(failedQueue("orders"), "orders.failed");
  assertEquals(failedQueue("orders", plainQueue("orders")), "orders.failed");
  // SQS would forget a message that comes twice to a queue of that kind.
  assertEquals(failedQueue("orders.fifo"), "orders.fifo.failed");
  for (
    const [name, more] of [
      ["amq.gen-Xa2", {}],
      ["mine", { exclusive: true }],
      ["mine", { autoDelete: true }],
    ] as const
  ) {
    const declared = { ...plainQueue(name), ...more };
    assertEquals(failedQueue(name, declared), SHARED_FAILED_QUEUE);
  }
});

Deno.test("failedQueue() keeps to the bytes that a name may have, and tells apart what begins alike", () => {
  for (const most of [80, 255]) {
    const names = ["ä".repeat(125), `${"ä".repeat(125)}b`].map((name) =>
      failedQueue(name, undefined, most)
    );
    for (const name of names) {
      assert(new TextEncoder().encode(name).length <= most, name);
      assert(/^ä+-[0-9a-f]{8}\.failed$/.test(name), name);
    }
    assertNotEquals(names[0], names[1]);
  }
});
