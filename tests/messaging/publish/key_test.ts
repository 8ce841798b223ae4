/** The key of a message, by each of the calls that publish, and where it goes. */

import { assertEquals, assertRejects } from "@std/assert";
import {
  type Connection,
  createConnection,
  OptionError,
  Queue,
} from "@dashi/mq";

function open(): Connection {
  return createConnection(`memory://${crypto.randomUUID()}`, {
    onUnhandled: () => {},
  });
}

Deno.test("publish, publishAll, send, request and a producer's defaults give a message its key", async () => {
  await using connection = open();
  const queue = new Queue<string>("orders", { ordered: true });
  const producer = connection.producer({ queue, key: "default" });
  await producer.publish("default");
  await producer.publish("own", { key: "own", headers: { a: 1 } });
  await producer.publishAll(["all 0", "all 1"], {
    each: (payload) => ({ key: payload }),
  });
  await connection.send(queue, "sent", { key: "sent" });
  await connection.send(queue, "compressed", { key: "c", compression: "gzip" });
  await connection.send(queue, "by hand", { headers: { "x-key": "by hand" } });
  await connection.send(queue, "without");
  const answer = connection.request("asked", {
    routingKey: "orders",
    key: "asked",
    timeout: 10_000,
  });
  const keys: Record<string, string | undefined> = {};
  const consumer = connection.consumer(queue);
  const headersOf: Record<string, unknown> = {};
  const serving = consumer.serve(({ payload, key, headers }) => {
    headersOf[payload] = headers["x-key"];
    keys[payload] = key;
    return key;
  });
  assertEquals(await answer, "asked");
  while (Object.keys(keys).length < 9) await new Promise((r) => setTimeout(r));
  await consumer.close();
  await serving;
  assertEquals(headersOf, keys);
  assertEquals(keys, {
    default: "default",
    own: "own",
    "all 0": "all 0",
    "all 1": "all 1",
    sent: "sent",
    compressed: "c",
    "by hand": "by hand",
    without: undefined,
    asked: "asked",
  });
});

Deno.test("a key goes with a message that is parked and redriven, and is carried by a queue without order", async () => {
  await using connection = open();
  const queue = new Queue<string>("orders");
  await connection.send(queue, "x", { key: "user-7" });
  const seen: unknown[] = [];
  const consumer = connection.consumer(queue);
  const running = consumer.run(({ key }) => {
    if (seen.push(key) === 1) throw new Error("parked");
    void consumer.cancel();
  }, { retry: false });
  const failed = connection.queue("orders.failed");
  for (;;) {
    const status = await failed.status().catch(() => undefined);
    if (status?.messageCount === 1) break;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  assertEquals(await connection.redrive("orders.failed"), {
    moved: 1,
    kept: 0,
  });
  await running;
  assertEquals(seen, ["user-7", "user-7"]);
});

Deno.test("a publish refuses what is no key, and sends nothing", async () => {
  await using connection = open();
  const queue = new Queue("orders");
  const producer = connection.producer({ queue });
  for (const key of ["", "x".repeat(129), "\ud800"]) {
    await assertRejects(
      () => producer.publish("x", { key }),
      OptionError,
      "key",
    );
  }
  assertEquals((await connection.declare(queue)).messageCount, 0);
});
