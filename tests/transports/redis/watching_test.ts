/** The keys of many queues, of whose changes the server is to tell. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { Queue } from "@dashi/mq";
import { Redis } from "ioredis";
import { Watching } from "../../../transports/redis/socket/watching_client.ts";
import { connectTo, pause, Raw, test } from "../../support/redis.ts";
import type { RedisServer } from "../../brokers/redis.ts";

/** Four lists each: too many keys for a script, together. */
const QUEUES = Array.from({ length: 100 }, (_, i) => new Queue(`q${i}`));

/** What is watched by one who waits: the lists, when something is due, and the declarations. */
const WATCHED = QUEUES.length * 4 + 2;

/** Waits until the server is to tell of so many keys. */
async function watched(raw: Raw, count: number): Promise<void> {
  let seen = "";
  for (let i = 0; i < 200; i++) {
    const stats = String(await raw.send("INFO", "stats"));
    seen = /tracking_total_keys:(\d+)/.exec(stats)?.[1] ?? "";
    if (Number(seen) >= count) return;
    await pause(20);
  }
  throw new Error(`${seen} keys are watched, and ${count} should be`);
}

/** Publishes one message to each queue and takes them all, twice: once they are there, and once they are waited for. */
async function assertFlows(
  server: RedisServer,
  { url, look }: {
    readonly url: string;
    /** Called when all is taken. */
    look?(): Promise<void>;
  },
): Promise<void> {
  await using raw = new Raw(server.port);
  await using sender = connectTo(server.url);
  const producer = sender.producer<number>({ declare: QUEUES });
  const publish = () =>
    Promise.all(
      QUEUES.map(({ name }, i) => producer.publish(i, { routingKey: name })),
    );
  await publish();
  await using receiver = connectTo(url);
  const seen: number[] = [];
  let { promise: all, resolve } = Promise.withResolvers<void>();
  const running = receiver.consumer<number>(QUEUES).run(({ payload }) => {
    seen.push(payload);
    if (seen.length === QUEUES.length) resolve();
  });
  const taken = async () => {
    await Promise.race([all, running]);
    const numbers = seen.splice(0).sort((a, b) => a - b);
    assertEquals(numbers, QUEUES.map((_, i) => i));
    ({ promise: all, resolve } = Promise.withResolvers<void>());
  };
  await taken();
  // Who waits is told of each of them.
  await watched(raw, WATCHED);
  await raw.send("SCRIPT", "FLUSH");
  await publish();
  await taken();
  await watched(raw, WATCHED);
  await look?.();
  await receiver.close();
  await running;
}

test("no script has the server note many keys at each command that reads: one command behind it does, once", async (server) => {
  await using raw = new Raw(server.port);
  await raw.send("CONFIG", "SET", "slowlog-max-len", 100_000);
  await raw.send("CONFIG", "SET", "slowlog-log-slower-than", 0);
  let many = 0;
  await assertFlows(server, {
    url: server.url,
    look: async () => {
      const log = await raw.send("SLOWLOG", "GET", -1) as unknown[][];
      for (const [, , , words] of log) {
        const [name = "", , keys] = Array.isArray(words)
          ? words.map(String)
          : [];
        if (!/^eval/i.test(name)) continue;
        many = Math.max(many, Number(keys));
      }
      assert(log.length > 100, `${log.length} commands were seen`);
    },
  });
  assert(many <= 256, `a script was told of ${many} keys`);
});

for (const right of ["@transaction", "multi", "exec"]) {
  test(`a user without the right to ${right} consumes a hundred queues, and is told of all`, async (server) => {
    await using raw = new Raw(server.port);
    await raw.send(
      ...["ACL", "SETUSER", "few", "on", ">pw", "~*", "&*", "+@all"] as const,
      `-${right}`,
    );
    await assertFlows(server, {
      url: server.url.replace("//", "//few:pw@"),
    });
  });
}

test(
  "a script with many watched keys runs though memory is full",
  async (server) => {
    await using raw = new Raw(server.port);
    await raw.send("CONFIG", "SET", "maxmemory", 1);
    const redis = new Redis(server.port, "127.0.0.1");
    try {
      const keys = Array.from({ length: 300 }, (_, i) => `key ${i}`);
      const reply = await new Watching(redis).call(
        "EVAL",
        "return {#KEYS, ARGV[1]}",
        keys,
        [7],
      );
      assertEquals(String(reply), "300,7");
      // The server lets nobody queue what it would run.
      const errors = String(await raw.send("INFO", "errorstats"));
      assertMatch(errors, /errorstat_EXECABORT/);
    } finally {
      const ended = new Promise((resolve) => redis.once("end", resolve));
      redis.disconnect();
      await ended;
    }
  },
  { arguments: ["--maxmemory-policy", "noeviction"] },
);
