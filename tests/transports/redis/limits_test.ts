/** Servers that refuse what others do: memory that is full, rights that are few. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { ChannelError, Exchange, PublishError, Queue } from "@dashi/mq";
import { nativeClient } from "@dashi/mq/redis";
import { until } from "../../conformance/support.ts";
import { connectTo, pause, Raw, test } from "../../support/redis.ts";
import { hold } from "../../support/redis_held.ts";

/** Fills the server beyond its memory. */
async function fill(raw: Raw): Promise<void> {
  const used = /used_memory:(\d+)/.exec(String(await raw.send("INFO")))?.[1];
  await raw.send("CONFIG", "SET", "maxmemory", Number(used) - 500_000);
}

test(
  "publishing is refused when memory is full, and consumers that start then drain, ack, requeue, retry and dead-letter",
  async (server) => {
    await using raw = new Raw(server.port);
    const dead = new Queue("dead");
    const jobs = new Queue("jobs", {
      deadLetterExchange: "",
      deadLetterRoutingKey: "dead",
      expires: 3_600_000,
    });
    await using sender = connectTo(server.url);
    const producer = sender.producer<string>({ declare: [jobs, dead] });
    const body = "x".repeat(20_000);
    for (let i = 0; i < 100; i++) {
      await producer.publish(`${i} ${body}`, { routingKey: "jobs" });
    }
    await fill(raw);
    for (const delay of [0, 1000]) {
      const error = await assertRejects(
        () =>
          producer.publish(body, { routingKey: "jobs", delay, timeout: 3000 }),
        PublishError,
      );
      assert(error.retryable, error.message);
    }

    await using receiver = connectTo(server.url, { name: "late" });
    const iterator = receiver.consumer<string>(jobs)[Symbol.asyncIterator]();
    const { value: first } = await iterator.next();
    assert(first !== undefined);
    await first.requeue();
    await iterator.return?.();
    const calls = new Map<number, number>();
    const { promise: done, resolve } = Promise.withResolvers<void>();
    const consumer = receiver.consumer<string>(jobs, { prefetch: 10 });
    const running = consumer.run(({ payload }) => {
      const number = parseInt(payload);
      calls.set(number, (calls.get(number) ?? 0) + 1);
      if (calls.size === 100 && calls.get(50) === 2) resolve();
      if (number === 50) throw new Error("it fails twice");
    }, { retry: { attempts: 2, backoff: 0 }, concurrency: 5 });
    await Promise.race([done, running]);
    await receiver.close();
    await running;
    assertEquals(await raw.number("LLEN", "dead"), 1);
    assertEquals(await raw.number("LLEN", "jobs"), 0);
    assertEquals(await raw.number("EXISTS", "unacked"), 0);
  },
  { arguments: ["--maxmemory-policy", "noeviction"] },
);

test("a server that is busy with a script is waited for, and what is worked on stays there", async (server) => {
  await using raw = new Raw(server.port);
  await using stuck = new Raw(server.port);
  await using connection = connectTo(server.url);
  const queue = new Queue<string>("jobs");
  await connection.send(queue, "held");
  const native = await connection.native(nativeClient);
  const told: string[] = [];
  const hearing = (async () => {
    for await (const event of connection.events()) {
      if (event.type === "blocked") told.push(event.reason.slice(0, 4));
      if (event.type === "unblocked") told.push(event.type);
    }
  })();
  const held = hold(connection, queue);
  await held.working;
  await raw.send("CONFIG", "SET", "lua-time-limit", 50);
  const looping = stuck.send("EVAL", "while true do end", 0).catch(() => {});
  let refusal = "";
  await until(async () => {
    await connection.send(queue, "more", { timeout: 1000 })
      .catch((error) => refusal = error.message);
    return refusal.includes("BUSY");
  }, "a refusal");
  await until(() => told.length > 0, "the event");
  assertEquals(connection.health().ready, false);
  held.goOn();
  await raw.send("SCRIPT", "KILL");
  await looping;
  await connection.send(queue, "last", { timeout: 30_000 });
  await held.last;
  assertEquals(held.aborted(), 0);
  await held.end();
  assertEquals(held.count("held"), 1);
  assert(await connection.native(nativeClient) === native);
  await until(() => told.length > 1, "the end of it");
  assertEquals(told.slice(0, 2), ["BUSY", "unblocked"]);
  await connection.close();
  await hearing;
});

test(
  "a server that cannot write its snapshots is looked at, with what is due, and takes no writes",
  async (server) => {
    await using raw = new Raw(server.port);
    await using connection = connectTo(server.url);
    const jobs = new Queue<string>("jobs");
    const ordered = new Queue<string>("ordered", { ordered: true });
    for (const each of [jobs, ordered]) await connection.declare(each);
    await connection.send(jobs, "due", { delay: 1 });
    await connection.send(jobs, "delayed", { delay: 3_600_000 });
    await connection.send(ordered, "first", { key: "one" });
    await raw.send("CONFIG", "SET", "save", "3600 1000000");
    const [, folder] = await raw.texts("CONFIG", "GET", "dir");
    // Who cannot save does not end, either.
    await using _ = {
      async [Symbol.asyncDispose]() {
        await raw.send("CONFIG", "SET", "save", "");
      },
    };
    await Deno.mkdir(`${folder}/dump.rdb/in the way`, { recursive: true });
    await raw.send("BGSAVE");
    await until(
      () => raw.send("SET", "a", 1).then(() => false, () => true),
      "a server that takes no writes",
    );
    const { messageCount } = await connection.queueStatus(jobs);
    const { ready, delayed } = await connection.inspect().queue(jobs);
    assertEquals([messageCount, ready, delayed], [1, 1, 1]);
    const names: string[] = [];
    for await (const { name } of connection.inspect().queues()) {
      names.push(name);
    }
    assertEquals(names.sort(), ["jobs", "ordered"]);
    const peeked = await connection.queue(ordered).peek();
    assertEquals(peeked.map(({ payload }) => payload), ["first"]);
    const exchanges = await connection.inspect().exchanges();
    assert(exchanges.length > 0);
    await assertRejects(
      () => connection.send(jobs, "next", { timeout: 1000 }),
      ChannelError,
      "MISCONF",
    );
    await Deno.remove(`${folder}/dump.rdb`, { recursive: true });
    await raw.send("BGSAVE");
    await connection.send(jobs, "next", { timeout: 60_000 });
    assertEquals((await connection.queueStatus(jobs)).messageCount, 2);
  },
);

/** The rights that a user may lack, and still get its messages. */
const USERS: Readonly<Record<string, readonly string[]>> = {
  "SELECT": ["-select"],
  "CLIENT": ["-client"],
  "CLIENT CACHING": ["-client|caching"],
  "CLIENT TRACKING": ["-client|tracking"],
  "INFO": ["-info"],
  "SCRIPT": ["-script"],
  "EVALSHA": ["-evalsha"],
  "PING": ["-ping"],
  "PSUBSCRIBE": ["-psubscribe"],
  "whatever is dangerous": ["-@admin", "-@dangerous"],
};
for (const [name, rules] of Object.entries(USERS)) {
  test(`a user without the right to ${name} publishes, consumes and gets fanout`, async (server) => {
    await using raw = new Raw(server.port);
    await raw.send(
      ...["ACL", "SETUSER", "few", "on", ">pw", "~*", "&*", "+@all"] as const,
      ...rules,
    );
    await assertWorks(
      server.url.replace("//", "//few:pw@"),
      name === "PSUBSCRIBE" ? "key" : "",
    );
  });
}

for (const patterns of [true, false]) {
  test(`a user of the keys and channels under a prefix alone gets fanout, with patterns ${patterns}`, async (server) => {
    await using raw = new Raw(server.port);
    await raw.send(
      ...["ACL", "SETUSER", "few", "on", ">pw", "resetkeys"] as const,
      ...["~app:*", "resetchannels", "&app:*", "+@all", "-@dangerous"],
    );
    await assertWorks(
      server.url.replace("//", "//few:pw@") +
        `?global_keyprefix=app:&fanout_patterns=${patterns}`,
    );
    const keys = await raw.texts("KEYS", "*");
    assertEquals(keys.filter((each) => !each.startsWith("app:")), []);
  });
}

test("a connection that may listen on no pattern listens on the channels of the bindings", async (server) => {
  await using raw = new Raw(server.port);
  await raw.send(
    ...["ACL", "SETUSER", "few", "on", ">pw", "~*", "resetchannels"] as const,
    ...["&/0.news", "&/0.news/key", "+@all"],
  );
  await assertWorks(server.url.replace("//", "//few:pw@"), "key");
});

async function assertWorks(url: string, key = ""): Promise<void> {
  await using connection = connectTo(url, { name: "billing", heartbeat: 500 });
  const news = new Exchange("news", { type: "fanout" });
  const mine = new Queue("mine", {
    exchange: news,
    routingKey: key,
    autoDelete: true,
  });
  const jobs = new Queue("jobs");
  const got = new Set<string>();
  const { promise: all, resolve } = Promise.withResolvers<void>();
  const running = [jobs, mine].map((queue) =>
    connection.consumer<string>(queue).run(({ payload }) => {
      got.add(payload);
      if (got.size === 3) resolve();
    })
  );
  const ended = Promise.race([all, ...running]);
  const producer = connection.producer<string>({ declare: [jobs, mine] });
  await producer.publish("a job", { routingKey: "jobs" });
  let over = false;
  ended.finally(() => over = true).catch(() => {});
  // Until it listens nobody hears it.
  for (let i = 0; i < 500 && !over; i++) {
    await producer.publish("no key", { exchange: news });
    await producer.publish("a key", { exchange: news, routingKey: "key" });
    await pause(20);
  }
  assert(over, [...got].join());
  await ended;
  await connection.close();
  await Promise.all(running);
  assertEquals([...got].sort(), ["a job", "a key", "no key"]);
}
