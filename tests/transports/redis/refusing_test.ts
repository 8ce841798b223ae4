/** Connections that begin while the server, or a node of a cluster, takes no writes. */

import { assert, assertEquals } from "@std/assert";
import { type Connection, Queue } from "@dashi/mq";
import { startRedisCluster } from "../../brokers/redis_cluster.ts";
import { until } from "../../brokers/server.ts";
import { rejectsWith } from "../../conformance/support.ts";
import { refuseWrites } from "../../support/no_writes.ts";
import { nodesOf } from "../../support/redis_nodes.ts";
import { connectTo, Raw, test, testAlone } from "../../support/redis.ts";

/** Notes the states of a connection, and whether it is blocked. */
function listen(connection: Connection): string[] {
  const told: string[] = [];
  const events = connection.events();
  (async () => {
    for await (const event of events) {
      if (event.type === "state") told.push(event.state.type);
      else if (/blocked/.test(event.type)) told.push(event.type);
    }
  })();
  return told;
}

/** Waits until a publish is refused with a word of the server's: the first may be late for another reason. */
function isRefused(connection: Connection, word: string): Promise<void> {
  return until(word, 30_000, async () => {
    let message = "";
    await connection.send("jobs", "refused", { timeout: 1000 })
      .catch((error) => message = error.message);
    return message.includes(word);
  });
}

function has(list: readonly string[], wanted: string): Promise<void> {
  return until(
    wanted,
    60_000,
    () => Promise.resolve(list.includes(wanted)),
  );
}

test("a worker that starts while the server takes no writes is connected, looks, and works as soon as it does again", async (server) => {
  await using raw = new Raw(server.port);
  await using sender = connectTo(server.url);
  const queue = new Queue<string>("jobs");
  await sender.send(queue, "first");
  await using worker = connectTo(server.url);
  const told = listen(worker);
  const handled: string[] = [];
  const consumer = worker.consumer(queue);
  let running: Promise<void>;
  {
    await using _ = await refuseWrites(server);
    running = consumer.run(({ payload }) => {
      handled.push(payload);
    });
    await has(told, "open");
    await has(told, "blocked");
    assertEquals((await worker.inspect().queue(queue)).ready, 1);
    await isRefused(worker, "MISCONF");
    assertEquals(await raw.number("ZCARD", "dashi.owners"), 1);
    assertEquals(told, ["connecting", "blocked", "open"]);
  }
  await has(handled, "first");
  await has(told, "unblocked");
  await until(
    "The owner, and its consumer",
    60_000,
    async () =>
      await raw.number("ZCARD", "dashi.owners") === 2 &&
      (await worker.inspect().queue(queue)).consumers === 1,
  );
  assertEquals(told, ["connecting", "blocked", "open", "unblocked"]);
  await consumer.close();
  await running;
});

test("a server that misses its replicas keeps its connections, and they what they hold, and others begin", async (server) => {
  await using raw = new Raw(server.port);
  await using worker = connectTo(server.url);
  const queue = new Queue<string>("jobs");
  await worker.send(queue, "held");
  const consumer = worker.consumer(queue, { prefetch: 1 });
  const messages = consumer[Symbol.asyncIterator]();
  const { value: held } = await messages.next();
  assertEquals(held?.payload, "held");
  const told = listen(worker);
  await raw.send("CONFIG", "SET", "min-replicas-to-write", 1);
  await isRefused(worker, "NOREPLICAS");
  await using late = connectTo(server.url);
  const toldLate = listen(late);
  await late.connect();
  await has(toldLate, "open");
  assertEquals(toldLate, ["connecting", "blocked", "open"]);
  assertEquals((await late.inspect().queue(queue)).ready, 0);
  await raw.send("CONFIG", "SET", "min-replicas-to-write", 0);
  await held?.ack();
  await has(toldLate, "unblocked");
  assert(!told.includes("connecting"), told.join());
  assertEquals((await late.inspect().queue(queue)).unacked, 0);
  await consumer.close();
});

test("what a connection held that was lost while the server took no writes comes again with the next one", async (server) => {
  await using worker = connectTo(server.url);
  const queue = new Queue<string>("jobs");
  await worker.send(queue, "held");
  const consumer = worker.consumer(queue);
  const messages = consumer[Symbol.asyncIterator]();
  const { value: first } = await messages.next();
  assertEquals(first?.payload, "held");
  const told = listen(worker);
  const second = messages.next();
  {
    await using _ = await refuseWrites(server);
    await server.command("CLIENT", "KILL", "TYPE", "normal");
    await has(told, "open");
  }
  const { value } = await second;
  assertEquals(value?.payload, "held");
  await value?.ack();
  await consumer.close();
});

for (const refused of ["{dashi.topology}", "{bills}"]) {
  testAlone(
    `in a cluster a worker that starts while the node of "${refused}" takes no writes has the queues of others`,
    async () => {
      const cluster = await startRedisCluster({ replicas: false });
      try {
        const names = ["orders", "mails", "bills"];
        const queues = names.map((name) => new Queue<string>(name));
        await using sender = connectTo(cluster.url);
        for (const each of queues) await sender.declare(each);
        const { holder } = await nodesOf(cluster, refused);
        await using worker = connectTo(cluster.url);
        const told = listen(worker);
        const handled: string[] = [];
        const consumer = worker.consumer<string>(queues);
        let running: Promise<void>;
        {
          await using _ = await refuseWrites(holder);
          running = consumer.run(({ payload }) => {
            handled.push(payload);
          });
          await sender.send("orders", "elsewhere");
          await has(handled, "elsewhere");
          await has(told, "blocked");
          assert(!told.includes("waiting"), told.join());
        }
        await sender.send("bills", "last", { timeout: 60_000 });
        await has(handled, "last");
        await has(told, "unblocked");
        await until(
          "Its consumers",
          60_000,
          async () =>
            (await worker.inspect().queue("bills")).consumers === 1 &&
            (await worker.inspect().queue("orders")).consumers === 1,
        );
        await consumer.close();
        await running;
        assertEquals((await worker.inspect().queue("bills")).consumers, 0);
      } finally {
        await cluster.stop();
      }
    },
    120_000,
  );
}

/** Keeps a server busy with a script until it is disposed of. */
async function keepBusy(port: number): Promise<AsyncDisposable> {
  const raw = new Raw(port);
  const stuck = new Raw(port);
  await raw.send("CONFIG", "SET", "lua-time-limit", 50);
  const looping = stuck.send("EVAL", "while true do end", 0).catch(() => {});
  await until(
    "BUSY",
    30_000,
    () => raw.send("PING").then(() => false, () => true),
  );
  return {
    async [Symbol.asyncDispose]() {
      await raw.send("SCRIPT", "KILL");
      await looping;
      await raw[Symbol.asyncDispose]();
      await stuck[Symbol.asyncDispose]();
    },
  };
}

test("a server that is busy with a script cannot be connected to, and hears all when it is done", async (server) => {
  await using raw = new Raw(server.port);
  await using worker = connectTo(server.url);
  {
    await using _ = await keepBusy(server.port);
    await using once = connectTo(server.url, { reconnect: false });
    await rejectsWith(once.connect(), "connection-failed", "BUSY");
    worker.connect().catch(() => {});
  }
  await worker.connect();
  const clients = String(await raw.send("CLIENT", "LIST"));
  assert(/ flags=t /.test(clients), clients);
});

testAlone(
  "a node of a cluster that is busy with a script is no reason not to try again",
  async () => {
    const cluster = await startRedisCluster({ replicas: false });
    try {
      await using worker = connectTo(cluster.url);
      const [first] = cluster.primaries;
      assert(first !== undefined);
      {
        await using _ = await keepBusy(first.port);
        await using once = connectTo(cluster.url, { reconnect: false });
        await rejectsWith(once.connect(), "connection-failed", "BUSY");
        worker.connect().catch(() => {});
      }
      await worker.connect();
    } finally {
      await cluster.stop();
    }
  },
);
