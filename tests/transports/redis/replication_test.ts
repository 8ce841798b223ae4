/** What is confirmed when replicas have it (`waitForReplicas`). */

import { assertEquals, assertRejects } from "@std/assert";
import { Queue } from "@dashi/mq";
import { inTime, rejectsWith, unique } from "../../conformance/support.ts";
import { startRedis } from "../../brokers/redis.ts";
import { until } from "../../brokers/server.ts";
import { connectTo, Raw, test } from "../../support/redis.ts";

const ORDERS = new Queue("orders");

test("with waitForReplicas a declaration and a publish say how many replicas have them, and how many there are", async (server) => {
  await using connection = connectTo(`${server.url}?wait_for_replicas=9`);
  await connection.connect();
  const why = "0 of the 9 replicas that waitForReplicas asks for have it; " +
    "the server has 0, and waitForReplicas may be no more than that";
  const sent = new Queue("sent");
  await assertRejects(() => connection.declare(sent, { timeout: 500 }));
  for (
    const call of [
      // What is declared already is not written again.
      (timeout: number) =>
        connection.declare(new Queue(unique("orders")), { timeout }),
      (timeout: number) => connection.send(sent, 1, { timeout }),
    ]
  ) {
    // A machine that stands still just before the deadline gets no answer of the server.
    await inTime([1500, 3000, 6000, 6000], async (timeout) => {
      await rejectsWith(call(timeout), "timed-out", why);
    });
  }
});

test("with waitForReplicas what a replica has late is confirmed then, and is there once", async (server) => {
  const replica = await startRedis({
    arguments: ["--replicaof", `127.0.0.1 ${server.port}`],
  });
  try {
    await until(
      "The replica",
      20_000,
      async () => (await replica.command("INFO", "replication")).includes("up"),
    );
    await using connection = connectTo(`${server.url}?wait_for_replicas=1`);
    await connection.declare(ORDERS);
    await using raw = new Raw(server.port);
    const waits = async () =>
      Number(
        /cmdstat_wait:calls=(\d+)/.exec(
          String(await raw.send("INFO", "commandstats")),
        )?.[1] ?? 0,
      );
    const before = await waits();
    Deno.kill(replica.pid, "SIGSTOP");
    const sends = Array.from(
      { length: 20 },
      (_, number) => connection.send(ORDERS, number),
    );
    // A second is over, and another has begun.
    await until("The waits", 20_000, async () => await waits() > before + 1);
    Deno.kill(replica.pid, "SIGCONT");
    await Promise.all(sends);
    assertEquals(await raw.number("LLEN", "orders"), 20);
  } finally {
    await replica.stop();
  }
});
