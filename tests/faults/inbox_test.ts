/** An inbox under processes that are killed while they handle. */

import { assert, assertEquals } from "@std/assert";
import { Redis } from "ioredis";
import { createConnection, Queue } from "@dashi/mq";
import { apart } from "../support/apart.ts";
import { assertNothingLeft, resources } from "../support/leaks.ts";
import { ALL } from "../support/targets.ts";

const CHILD = new URL("inbox_child.ts", import.meta.url).pathname;
const CONFIG = new URL("../../deno.json", import.meta.url).pathname;

const REDIS = Deno.env.get("DASHI_TEST_REDIS_URL");

/** How many workers are at work at once, with so many handlers each. */
const [WORKERS, CONCURRENCY] = [3, 5];
/** How many messages there are, each published twice, and how many workers are killed. */
const [COUNT, KILLS] = ALL ? [300, 8] : [100, 3];

/** Milliseconds after which a test fails. */
const PATIENCE = 120_000;

for (
  const [name, broker, query] of [
    ["amqp", Deno.env.get("DASHI_TEST_AMQP_URL"), ""],
    // Redis gives back what a killed process held when its lease is over.
    ["redis", REDIS, "?visibility_timeout=2"],
  ] as const
) {
  const isThere = broker !== undefined && REDIS !== undefined;
  Deno.test({
    name:
      `${name}: with an inbox no message is lost over kills, and none is handled twice but by a process that was killed before it could note that${
        isThere ? "" : " (there is no broker)"
      }`,
    ignore: !isThere,
    fn: () => handleUnderKills(apart(`${broker}${query}`), REDIS ?? ""),
  });
}

async function handleUnderKills(url: string, redis: string): Promise<void> {
  const before = resources();
  const prefix = `dashi-inbox-${crypto.randomUUID()}`;
  const queue = new Queue<number>(prefix);
  const connection = createConnection(url, { operationTimeout: 60_000 });
  const client = new Redis(redis);
  const workers = new Map<number, Deno.ChildProcess>();
  const killed = new Set<number>();
  const start = () => {
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", "--config", CONFIG, CHILD].concat(
        url,
        queue.name,
        redis,
        prefix,
      ),
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    workers.set(child.pid, child);
  };
  const kill = async (pid: number) => {
    const child = workers.get(pid);
    workers.delete(pid);
    child?.kill("SIGKILL");
    await child?.status;
  };
  const journal = async () =>
    (await client.lrange(`${prefix}.journal`, 0, -1)).map((line) =>
      line.split(" ").map(Number)
    );
  const end = performance.now() + PATIENCE;
  const wait = async () => {
    assert(performance.now() < end, `${(await journal()).length} were handled`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  };
  try {
    const producer = connection.producer({ queue });
    for (let i = 0; i < 2 * COUNT; i++) {
      const id = i % COUNT;
      await producer.publish(id, { messageId: String(id) });
    }
    for (let i = 0; i < WORKERS; i++) start();
    while (killed.size < KILLS) {
      // One of those that are at work, somewhere in the middle.
      const done = await journal();
      const most = (killed.size + 1) * COUNT / (KILLS + 2);
      const at = done.slice(-20).map(([, pid = 0]) => pid)
        .find((pid) => workers.has(pid));
      if (done.length < most || at === undefined) {
        await wait();
        continue;
      }
      await kill(at);
      killed.add(at);
      start();
    }
    const ids = async () => new Set((await journal()).map(([id]) => id));
    while ((await ids()).size < COUNT) await wait();
    // The messages that are in the queue yet are copies.
    while ((await connection.declare(queue)).messageCount > 0) await wait();
    const effects = new Map<number, number[]>();
    for (const [id = NaN, pid = NaN] of await journal()) {
      effects.set(id, [...effects.get(id) ?? [], pid]);
    }
    assertEquals(effects.size, COUNT);
    const twice = [...effects].filter(([, pids]) => pids.length > 1);
    for (const [id, pids] of twice) {
      for (const pid of pids.slice(0, -1)) {
        assert(
          killed.has(pid),
          `${id} was handled by ${pids}, of ${[...killed]}`,
        );
      }
    }
    // Of one that is killed no more than were at work in it.
    for (const pid of killed) {
      const own = twice.filter(([, pids]) => pids.slice(0, -1).includes(pid));
      assert(own.length <= CONCURRENCY, `${own.length} of ${pid}`);
    }
  } finally {
    await Promise.all([...workers.keys()].map(kill));
    const channel = await connection.channel();
    await channel.deleteQueue(queue.name);
    await connection.close();
    const keys = await client.keys(`${prefix}*`);
    if (keys.length > 0) await client.del(...keys);
    await client.quit();
  }
  await assertNothingLeft(before);
}
