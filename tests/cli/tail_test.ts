import { assertEquals, assertMatch } from "@std/assert";
import { createConnection, Exchange, Queue } from "@dashi/mq";
import { unique } from "../conformance/support.ts";
import { BROKERS, dashiHere } from "./moving.ts";

for (const broker of ["memory", "Redis", "RabbitMQ", "MongoDB"]) {
  const url = BROKERS[broker];
  Deno.test({
    name:
      `dashi tail follows an exchange and takes nothing from others on ${broker}${
        url ? "" : " (there is no broker)"
      }`,
    ignore: !url,
    fn: () => follow(url ?? ""),
  });
}

async function follow(url: string): Promise<void> {
  const exchange = new Exchange(unique("tail"), { type: "topic" });
  const queue = new Queue(unique("tail"), { exchange, routingKey: "video.#" });
  await using connection = createConnection(url, { onUnhandled: () => {} });
  await connection.declare(queue);
  try {
    const publish = () =>
      connection.producer({ exchange }).publishAll([1, 2, 3], {
        each: (n) => ({ routingKey: n === 2 ? "audio" : "video.new" }),
      });
    const begun: Promise<unknown>[] = [];
    const { code, rows } = await dashiHere(
      ["tail", exchange.name, "video.*", "-n", "2"],
      { from: url, onTold: () => begun.push(publish()) },
    );
    await Promise.all(begun);
    assertEquals([code, rows.map(({ payload }) => payload)], [0, [1, 3]]);
    assertEquals(rows[0].exchange, exchange.name);
    assertEquals((await connection.queueStatus(queue)).messageCount, 2);
  } finally {
    await connection.delete(queue);
    await connection.delete(exchange);
  }
}

Deno.test("dashi tail follows the bindings of a queue until it is interrupted", async () => {
  const url = "memory://tail-of-a-queue";
  await using connection = createConnection(url, { onUnhandled: () => {} });
  const exchange = new Exchange("media", { type: "direct" });
  const queue = new Queue("video", { exchange, routingKey: "new" });
  await connection.declare(queue);
  let interrupt = () => {};
  let sent: Promise<unknown> | undefined;
  const { code, rows } = await dashiHere(["tail", "video"], {
    from: url,
    onInterrupt: (callback) => interrupt = callback,
    onTold: () => {
      sent = connection.producer({ exchange, routingKey: "new" }).publish("a");
    },
    onWritten: () => interrupt(),
  });
  await sent;
  assertEquals([code, rows.length, rows[0].payload], [0, 1, "a"]);
  const names: string[] = [];
  for await (const { name } of connection.inspect().queues()) names.push(name);
  assertEquals(names, ["video"]);
});

Deno.test("dashi tail says why it cannot follow", async () => {
  const url = "memory://tail-says-why";
  await using connection = createConnection(url);
  const exchange = new Exchange("media", { type: "direct" });
  await connection.declare(exchange);
  await connection.declare(new Queue("jobs"));
  for (
    const [args, code, words] of [
      [["jobs"], 1, /no binding of it.*dashi peek jobs/],
      [["none"], 1, /"none": there is no exchange of that name, and no queue/],
      [["none", "key"], 1, /exchange "none": there is no such exchange/],
      [["media"], 2, /direct: give the key/],
    ] as const
  ) {
    const ended = await dashiHere(["tail", ...args], { from: url });
    assertEquals([ended.code, ended.out], [code, ""]);
    assertMatch(ended.err, words);
  }
});
