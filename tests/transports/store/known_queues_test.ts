/** Queues that the tables do not name. */

import { assertEquals } from "@std/assert";
import { lookForQueue } from "../../../transports/store/known_queues.ts";
import { open, QUEUE } from "../../support/stores.ts";

Deno.test("the name that was meant may be one that only the broker knows", async () => {
  const opened = await open(() => ({
    topology: {
      findQueue: (name) =>
        Promise.resolve({
          isThere: name === "foreign",
          names: ["foreign", "invoices"],
        }),
    },
  }));
  const { channel, connection, store } = opened;
  await channel.declareQueue({ ...QUEUE, name: "orders" });
  assertEquals(await lookForQueue(store, "foreign"), {
    isThere: true,
    nearest: undefined,
  });
  assertEquals((await lookForQueue(store, "orders")).isThere, true);
  for (
    const [given, nearest] of [["order", "orders"], ["invoice", "invoices"]]
  ) {
    assertEquals(await lookForQueue(store, given ?? ""), {
      isThere: false,
      nearest,
    });
  }
  await connection[Symbol.asyncDispose]();
});
