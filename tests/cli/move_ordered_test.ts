import { assertEquals } from "@std/assert";
import { Queue } from "@dashi/mq";
import { BROKERS, Pair } from "./moving.ts";

const PAIRS = [
  ["Redis", "RabbitMQ"],
  ["RabbitMQ", "Redis"],
  ["Redis", "Redis Cluster"],
  ["MongoDB", "PostgreSQL"],
  ["PostgreSQL", "SQLite"],
  ["SQLite", "MongoDB"],
] as const;

for (const [a, b] of PAIRS) {
  const [from, to] = [BROKERS[a], BROKERS[b]];
  Deno.test({
    name: `dashi move keeps the order of each key from ${a} to ${b}${
      from && to ? "" : " (there is no broker)"
    }`,
    ignore: !from || !to,
    fn: () => moveOrdered(from ?? "", to ?? ""),
  });
}

async function moveOrdered(from: string, to: string): Promise<void> {
  const [count, keys] = [40, 4];
  await using pair = new Pair(from, to);
  const queue = new Queue<number>(pair.name, { ordered: true });
  await pair.open(queue);
  for (let i = 0; i < count; i++) {
    await pair.source.send(queue, i, { key: `${i % keys}` });
  }
  await pair.target.declare(queue);
  const { code, rows, err } = await pair.move();
  assertEquals([code, rows.at(-1).moved], [0, count], err);
  const arrived = new Map<number, number[]>();
  let left = count;
  await using consumer = pair.target.consumer(queue);
  for await (const message of consumer) {
    const { payload } = message;
    arrived.set(payload % keys, [
      ...(arrived.get(payload % keys) ?? []),
      payload,
    ]);
    await message.ack();
    if (--left === 0) break;
  }
  for (const [key, payloads] of arrived) {
    assertEquals(
      payloads,
      Array.from({ length: count / keys }, (_, i) => i * keys + key),
    );
  }
}
