/** A move beside another one, beside consumers, and while a broker goes away. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import type { Message } from "@dashi/mq";
import { lastingServer } from "../brokers/mod.ts";
import { BROKERS, Pair } from "./moving.ts";

const COUNT = 600;
const IDS = Array.from({ length: COUNT }, (_, i) => `id-${i}`).toSorted();
/** So many are on their way at once: the most that may be there twice. */
const IN_FLIGHT = 64;

/** A broker to move from, and one to move to. */
const PAIRS = [
  ["memory", "memory"],
  ["Redis", "RabbitMQ"],
  ["RabbitMQ", "Redis"],
] as const;

for (const [a, b] of PAIRS) {
  const [from, to] = [BROKERS[a], a === b ? "memory://beside" : BROKERS[b]];
  const ignore = !from || !to;
  const name = `from ${a} to ${b}${ignore ? " (there is no broker)" : ""}`;
  Deno.test({
    name: `dashi move twice at once moves each message once ${name}`,
    ignore,
    fn: () => twiceAtOnce(from ?? "", to ?? ""),
  });
  Deno.test({
    name: `dashi move and consumers beside it share the messages ${name}`,
    ignore,
    fn: () => besideConsumers(from ?? "", to ?? ""),
  });
}

async function twiceAtOnce(from: string, to: string): Promise<void> {
  await using pair = new Pair(from, to);
  await pair.open();
  await pair.fill(COUNT);
  const args = ["--in-flight", `${IN_FLIGHT}`];
  const ends = await Promise.all([pair.move(args), pair.move(args)]);
  assertEquals(ends.map(({ code }) => code), [0, 0]);
  const moved = ends.map(({ rows }) => rows.at(-1).moved);
  assertEquals(moved.reduce((sum, each) => sum + each, 0), COUNT);
  expectOnce(await pair.arrived());
}

async function besideConsumers(from: string, to: string): Promise<void> {
  await using pair = new Pair(from, to);
  await pair.open();
  await pair.fill(COUNT);
  const all = new Map<string, number>();
  const consumer = pair.source.consumer(pair.name, { prefetch: 5 });
  const running = consumer.run(({ properties }: Message<unknown>) => {
    const { messageId = "" } = properties;
    all.set(messageId, (all.get(messageId) ?? 0) + 1);
  });
  const { code, rows, err } = await pair.move(["--rate", "600/s"]);
  await consumer.close();
  await running;
  assertEquals([code, rows.at(-1).moved + all.size], [0, COUNT], err);
  for (const [id, count] of await pair.arrived()) {
    all.set(id, (all.get(id) ?? 0) + count);
  }
  expectOnce(all);
}

function expectOnce(counts: ReadonlyMap<string, number>): void {
  assertEquals([...counts.keys()].toSorted(), IDS);
  assertEquals([...counts].filter(([, count]) => count > 1), []);
}

const redis = lastingServer("REDIS");
for (const side of ["source", "target"] as const) {
  Deno.test({
    name:
      `dashi move whose ${side} restarts says so, and goes on when it is run again`,
    ignore: "reason" in redis,
    fn: async () => {
      assert(!("reason" in redis));
      const server = await redis.start();
      try {
        // What the restart left unacked comes back after two seconds.
        const url = `${server.url}?visibility_timeout=2`;
        await restarting(side, url, () => server.restart());
      } finally {
        await server.stop();
      }
    },
  });
}

async function restarting(
  side: "source" | "target",
  url: string,
  restart: () => Promise<void>,
): Promise<void> {
  const other = `memory://${crypto.randomUUID()}`;
  await using pair = side === "source"
    ? new Pair(url, other)
    : new Pair(other, url);
  await pair.open();
  await pair.fill(COUNT);
  let restarted: Promise<void> | undefined;
  const args = ["--in-flight", `${IN_FLIGHT}`];
  const first = await pair.move([...args, "--rate", "100/s"], {
    onWritten: () => restarted ??= restart(),
  });
  await restarted;
  assertEquals(first.code, 1);
  assertMatch(first.err, /are moved.*run it again.*(was lost|ECONNREFUSED)/);
  const again = await pair.move(args);
  assertEquals(again.code, 0, again.err);
  const counts = await pair.arrived();
  assertEquals([...counts.keys()].toSorted(), IDS);
  const copies = [...counts.values()].reduce((sum, each) => sum + each, 0);
  assert(copies - COUNT <= IN_FLIGHT, `${copies - COUNT} are there twice`);
}
