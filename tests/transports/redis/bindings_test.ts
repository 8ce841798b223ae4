/** Sets of bindings that are gone: evicted, deleted by hand, or swept. */

import { assert, assertEquals } from "@std/assert";
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

test("one more binding of a headers exchange is sent alone, whatever its arguments are, and is there once", async (server) => {
  await using raw = new Raw(server.port);
  const exchange = new Exchange("media", { type: "headers" });
  const queueOf = (tenant: number) =>
    new Queue("media", {
      exchange,
      bindingArguments: { tenant, exclusive: true },
    });
  await using connection = connectTo(server.url);
  const tenants = [...Array(500).keys()];
  await Promise.all(tenants.map((each) => connection.declare(queueOf(each))));
  const received = async () => {
    const stats = String(await raw.send("INFO", "stats"));
    return Number(/total_net_input_bytes:(\d+)/.exec(stats)?.[1]);
  };
  const before = await received();
  for (let i = 500; i < 510; i++) await connection.declare(queueOf(i));
  const bytes = await received() - before;
  assert(bytes < 50_000, `${bytes} bytes for ten of them`);
  // Two that bind at once, and one that unbinds beside one that binds.
  await using other = connectTo(server.url);
  const both = [connection, other];
  await Promise.all(both.map((each) => each.declare(queueOf(510))));
  await Promise.all([
    connection.declare(queueOf(511)),
    connection.unbind("media", {
      exchange,
      routingKey: "",
      arguments: { tenant: 0, exclusive: true },
    }),
    other.declare(queueOf(512)),
  ]);
  const [list = ""] = await raw.texts(
    "HMGET",
    "dashi.topology",
    "bindings media",
  );
  const found: { arguments: { tenant: number } }[] = JSON.parse(list);
  assertEquals(
    found.map((each) => each.arguments.tenant).sort((a, b) => a - b),
    [...Array(512).keys()].map((each) => each + 1),
  );
  await using fresh = connectTo(server.url);
  for (const each of [...both, fresh]) {
    const producer = each.producer({ exchange });
    for (const tenant of [0, 1, 510, 511, 512]) {
      const headers = { tenant, exclusive: true };
      await producer.publish(tenant, { headers, mandatory: false });
    }
  }
  assertEquals(await raw.number("LLEN", "media"), 12);
});
