import { assert, assertEquals, assertRejects } from "@std/assert";
import { fillDefaults, parseUrl } from "../../../url/mod.ts";
import { createTransport } from "../../../transports/redis/mod.ts";
import type { TransportConnection } from "../../../transports/transport.ts";
import { Queue } from "@dashi/mq";
import { TestClock } from "../../../testing/clock.ts";
import { connectTo, pause, Raw, test } from "../../support/redis.ts";
import { Worker } from "../../support/worker.ts";

const ENVELOPE =
  '{"body": "MQ==", "content-encoding": "utf-8", "content-type": "application/json", "headers": {}, "properties": {"delivery_mode": 2, "delivery_info": {"exchange": "", "routing_key": "q"}, "priority": 0, "body_encoding": "base64", "delivery_tag": "00000000-0000-4000-8000-000000000001"}}';

/** Returns our keys in the database, without those that test clocks have made of its time. */
async function keys(raw: Raw): Promise<string[]> {
  return (await raw.texts("KEYS", "*")).sort()
    .filter((key) => key !== "dashi.time");
}

/** The fields of the tables, but for their counters. */
async function fields(raw: Raw): Promise<string[]> {
  const all = await raw.texts("HKEYS", "dashi.topology");
  const counters = ["epoch", "count", "quiet", "layout"];
  return all.filter((each) => !counters.includes(each)).sort();
}

/** A connection that others' deaths are noticed by when its clock is told to pass. */
async function watcher(
  url: string,
  clock: TestClock,
  owner = "watcher",
): Promise<TransportConnection> {
  const transport = createTransport();
  return await transport.connect(
    fillDefaults(parseUrl(url), transport.defaults ?? {}),
    {
      heartbeat: 0,
      transportOptions: {},
      operationTimeout: 10_000,
      owner,
      clock,
    },
  );
}

/** Half a minute has passed for those who have not said that they live since. */
async function age(raw: Raw): Promise<void> {
  for (const owner of await raw.texts("ZRANGE", "dashi.owners", 0, -1)) {
    await raw.send("ZADD", "dashi.owners", Date.now() - 1, owner);
  }
}

async function until(
  what: string,
  isSo: () => Promise<boolean>,
): Promise<void> {
  const end = performance.now() + 30_000;
  while (!await isSo()) {
    assert(performance.now() < end, what);
    await pause(20);
  }
}

test("exclusive and auto-delete queues, and records of consumers, go with their killed owners (rows 4, 29)", async (server) => {
  await using raw = new Raw(server.port);
  const clock = new TestClock();
  const connection = await watcher(server.url, clock);
  const workers = Array.from(
    { length: 3 },
    (_, i) => new Worker({ mode: "own", url: server.url, queue: `w${i}` }),
  );
  try {
    await Promise.all(
      workers.map((worker) => worker.until(({ ready }) => ready === true)),
    );
    const declared = await fields(raw);
    for (const name of ["exclusive", "auto", "kept"]) {
      assert(declared.includes(`queue w0-${name}`), declared.join());
      assert(declared.includes(`consumers w0-${name}`), declared.join());
    }
    await Promise.all(workers.map((worker) => worker.kill()));
    await raw.send(
      "LPUSH",
      "w0-exclusive",
      "the messages that it had not taken",
    );
    await age(raw);
    clock.pass(10_000);
    await until(
      "they stay",
      async () => (await fields(raw)).length === 3,
    );
    assertEquals(
      await fields(raw),
      ["queue w0-kept", "queue w1-kept", "queue w2-kept"],
    );
    // A beat that is still under way takes the place of the one that is due.
    await until("the owners stay", async () => {
      clock.pass(1000);
      return await raw.number("ZCARD", "dashi.owners") === 1;
    });
    assertEquals(
      await keys(raw),
      ["dashi.owners", "dashi.topology", "dashi.topology.changes"],
    );
  } finally {
    await Promise.all(workers.map((worker) => worker.kill()));
    await connection[Symbol.asyncDispose]();
  }
  assertEquals(await raw.number("EXISTS", "dashi.owners"), 0);
});

test("a killed owner's entries go, though the one that noticed it could not remove them (row 29)", async (server) => {
  await using raw = new Raw(server.port);
  await using worker = new Worker({
    mode: "own",
    url: server.url,
    queue: "w",
  });
  await worker.until(({ ready }) => ready === true);
  await worker.kill();
  await age(raw);
  const [first, second] = [new TestClock(), new TestClock()];
  const one = await watcher(server.url, first);
  await raw.send("RENAME", "dashi.topology", "aside");
  await raw.send("SET", "dashi.topology", "not to be read");
  first.pass(10_000);
  await until(
    "it did not try",
    async () => /WRONGTYPE/.test(String(await raw.send("INFO", "errorstats"))),
  );
  await one[Symbol.asyncDispose]();
  await raw.send("RENAME", "aside", "dashi.topology");
  const two = await watcher(server.url, second);
  second.pass(10_000);
  await until(
    "they stay",
    async () => (await fields(raw)).join() === "queue w-kept",
  );
  await two[Symbol.asyncDispose]();
});

test("messages that a killed process held go back when its owner is missed, long before the visibility timeout (row 6)", async (server) => {
  await using raw = new Raw(server.port);
  await using connection = connectTo(server.url);
  const queue = new Queue("missed");
  const producer = connection.producer<number>({ declare: [queue] });
  for (let i = 0; i < 20; i++) {
    await producer.publish(i, { routingKey: queue.name });
  }
  await using holder = new Worker({
    mode: "hold",
    url: server.url,
    queue: queue.name,
    prefetch: 10,
  });
  await holder.until(({ got }) => got === 9);
  await holder.kill();
  assertEquals(await raw.number("HLEN", "unacked"), 10);
  await age(raw);
  await using other = connectTo(server.url);
  await other.connect();
  const seen: (readonly [number, boolean])[] = [];
  for await (const message of other.consumer<number>(queue)) {
    seen.push([message.payload, message.deliveryInfo.redelivered]);
    await message.ack();
    if (seen.length === 20) break;
  }
  // In the order in which they were published, for they go back in front.
  assertEquals(
    seen,
    Array.from({ length: 20 }, (_, i) => [i, i < 10] as const),
  );
  assertEquals(await raw.number("EXISTS", "unacked", "unacked_index"), 0);
});

test("a connection that was taken for dead is lost, and what it held is somebody else's (row 5)", async (server) => {
  await using raw = new Raw(server.port);
  const [first, second] = [new TestClock(), new TestClock()];
  const live = await watcher(server.url, first, "slow");
  const channel = await live.openChannel();
  await channel.declareQueue({
    name: "q",
    durable: true,
    exclusive: false,
    autoDelete: false,
    arguments: {},
  });
  await raw.send("LPUSH", "q", ENVELOPE);
  const delivery = await channel.get("q");
  assert(delivery !== undefined);
  await age(raw);
  const other = await watcher(server.url, second);
  assertEquals(await raw.number("LLEN", "q"), 1);
  second.pass(10_000);
  await until(
    "it is not forgotten",
    async () => await raw.number("ZCARD", "dashi.owners") === 1,
  );
  first.pass(10_000);
  const reason = await live.closed;
  assert(reason.type === "lost");
  assert(reason.error.message.includes("taken for dead"), reason.error.message);
  await assertRejects(() => channel.ack(delivery.deliveryTag), Error);
  assertEquals(await raw.number("LLEN", "q"), 1);
  await live[Symbol.asyncDispose]();
  await other[Symbol.asyncDispose]();
});

test(
  "thousands of messages that a killed process held go back in their order, and hold nobody up (row 6)",
  async (server) => {
    await using raw = new Raw(server.port);
    await using connection = connectTo(server.url);
    const queue = new Queue("many");
    const producer = connection.producer<number>({ declare: [queue] });
    const count = 5000;
    await Promise.all(
      Array.from(
        { length: count },
        (_, i) => producer.publish(i, { routingKey: queue.name }),
      ),
    );
    await using holder = new Worker({
      mode: "hold",
      url: server.url,
      queue: queue.name,
      prefetch: count,
    });
    await holder.until(({ got }) => got === count - 1);
    await holder.kill();
    await raw.send("CONFIG", "SET", "slowlog-log-slower-than", 1_500_000);
    await raw.send("SLOWLOG", "RESET");
    await age(raw);
    await using other = connectTo(server.url);
    await other.connect();
    const texts = await raw.texts("LRANGE", queue.name, 0, -1);
    assertEquals(
      texts.map((text) => Number(atob(JSON.parse(text).body))),
      Array.from({ length: count }, (_, i) => count - 1 - i),
    );
    assertEquals(await raw.number("SLOWLOG", "LEN"), 0);
  },
  { arguments: ["--appendonly", "no"] },
);

test("drained queues leave no key of theirs, and closed connections none at all (row 29)", async (server) => {
  await using raw = new Raw(server.port);
  const connection = connectTo(server.url);
  const queue = new Queue("drained");
  const producer = connection.producer<number>({ declare: [queue] });
  await producer.publish(1, { routingKey: queue.name, priority: 9 });
  await producer.publish(2, { routingKey: queue.name, expiration: 60_000 });
  let count = 0;
  for await (const message of connection.consumer<number>(queue)) {
    await message.ack();
    // Behind the one that may expire: while that is there the queue has a time.
    if (++count === 2) {
      await producer.publish(3, { routingKey: queue.name, delay: 50 });
    }
    if (count === 3) break;
  }
  assertEquals(
    await keys(raw),
    ["dashi.owners", "dashi.topology", "dashi.topology.changes"],
  );
  const channel = await connection.channel();
  await channel.deleteQueue(queue.name);
  await connection.close();
  assertEquals(await fields(raw), []);
  assertEquals(
    (await keys(raw)).filter((key) => !key.startsWith("dashi.topology")),
    [],
  );
});

test(
  "a busy process with visibilityTimeout keeps its messages, and one that is killed does not",
  async (server) => {
    await using raw = new Raw(server.port);
    const transportOptions = { visibilityTimeout: 3_600_000 };
    const queue = new Queue("w");
    await using publisher = connectTo(server.url);
    const producer = publisher.producer<number>({ declare: [queue] });
    await producer.publish(1, { routingKey: queue.name });
    await using busy = new Worker({
      mode: "hold",
      url: server.url,
      queue: queue.name,
      transportOptions,
    });
    await busy.until(({ got }) => got === 1);
    // Nobody hears of it for half a minute, but its sockets are there.
    busy.stop();
    const overdue = async () =>
      await raw.number("ZCOUNT", "dashi.owners", 0, Date.now()) > 0;
    while (!await overdue()) await pause(500);
    await using other = connectTo(server.url, { transportOptions });
    await other.connect();
    assertEquals(await raw.number("LLEN", queue.name), 0);
    assertEquals(await raw.number("HLEN", "unacked"), 1);
    await busy.kill();
    await until(
      "its sockets stay",
      async () => (await raw.clients()).length < 5,
    );
    await age(raw);
    await using third = connectTo(server.url, { transportOptions });
    await third.connect();
    assertEquals(await raw.number("LLEN", queue.name), 1);
    assertEquals(await raw.number("HLEN", "unacked"), 0);
  },
  { patience: 90_000 },
);
