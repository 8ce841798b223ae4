/** Sets of bindings that are gone: evicted, deleted by hand, or swept. */

import { assertEquals } from "@std/assert";
import { Exchange, Queue } from "@dashi/mq";
import { connectTo, pause, Raw, test } from "../../support/redis.ts";

for (const type of ["topic", "direct"] as const) {
  test(`a set of bindings that is evicted comes back, also for a publisher that knows the exchange alone (${type})`, async (server) => {
    await using raw = new Raw(server.port);
    const exchange = new Exchange("media", { type });
    const queues = ["one", "two", "three"].map((name) =>
      new Queue(name, { exchange, routingKey: "key" })
    );
    await using consumer = connectTo(server.url);
    await consumer.declare(queues);
    await using publisher = connectTo(server.url);
    const producer = publisher.producer<number>({ exchange });
    await producer.publish(0, { routingKey: "key" });
    const sets = ["_kombu.binding.media", "_kombu.binding_permanent.media"];
    for (let i = 1; i <= 3; i++) {
      await raw.send("DEL", ...sets.slice(0, i));
      await producer.publish(i, { routingKey: "key" });
      for (const { name } of queues) {
        assertEquals(await raw.number("LLEN", name), i + 1);
      }
      assertEquals(await raw.number("SCARD", sets[0] ?? ""), 3);
      assertEquals(await raw.number("SCARD", sets[1] ?? ""), 3);
    }
    // One that somebody took out of a set that is there stays out.
    const members = await raw.texts("SMEMBERS", sets[0] ?? "");
    const two = members.find((each) => each.endsWith("two")) ?? "";
    for (const set of sets) await raw.send("SREM", set, two);
    while (await raw.number("LLEN", "one") < 5) {
      await producer.publish(4, { routingKey: "key" });
      await pause(20);
    }
    assertEquals(await raw.number("LLEN", "two"), 4);
  });
}
