/** A redrive that is killed in the middle, and run again. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import {
  type Connection,
  createConnection,
  type Message,
  Queue,
} from "@dashi/mq";
import { apart } from "../support/apart.ts";
import { ALL } from "../support/targets.ts";
import { dashi, started } from "./running.ts";

/** So many dead letters. */
const COUNT = ALL ? 10_000 : 500;

for (
  // By short leases what a killed process held comes back within seconds.
  const [broker, variable, query] of [
    ["RabbitMQ", "DASHI_TEST_AMQP_URL", ""],
    ["Redis", "DASHI_TEST_REDIS_URL", "?visibility_timeout=3"],
    [
      "Redis Cluster",
      "DASHI_TEST_REDIS_CLUSTER_URL",
      "&visibility_timeout=3&global_keyprefix=redriven.",
    ],
  ] as const
) {
  const url = Deno.env.get(variable);
  Deno.test({
    name:
      `${COUNT} dead letters are redriven, killed on its way and run again: none is lost on ${broker}${
        url === undefined ? " (there is no broker)" : ""
      }`,
    ignore: url === undefined,
    fn: () => redriveTwice(apart(url ?? "") + query),
  });
}

async function redriveTwice(url: string): Promise<void> {
  const name = `dashi-redriven-${crypto.randomUUID()}`;
  const queue = new Queue(name, { deadLetter: `${name}.dead` });
  const variables = { DASHI_URL: url };
  await using connection = createConnection(url, { onUnhandled: () => {} });
  const left = async (of: string) =>
    (await connection.queueStatus(of)).messageCount;
  try {
    await letDie(connection, queue);
    // Ten seconds for all: it is not done before it is killed.
    const redriving = started(
      ["dlq", "redrive", `${name}.dead`, "--rate", `${COUNT / 10}/s`],
      variables,
    );
    while (await left(name) < COUNT / 5) await pause(20);
    redriving.kill("SIGKILL");
    const { code } = await redriving.output();
    assertEquals(code, 137);
    const moved = await left(name);
    assert(moved < COUNT, `it was killed on its way, and not after ${moved}`);
    // What the killed one held comes back when the broker knows that it is dead.
    while (await left(name) < COUNT || await left(`${name}.dead`) > 0) {
      const { code, err, rows } = await dashi(
        ["dlq", "redrive", `${name}.dead`],
        variables,
      );
      // What the killed one held may not be back yet.
      const none = "dashi: queue .* has no message that is ready\n";
      const told = rows.at(-1).moved === 0 ? none : "";
      assertEquals(code, 0);
      assertMatch(err, new RegExp(`^${told}$`));
      if (told !== "") await pause(1000);
    }
    const all = await left(name);
    const counts = new Map<unknown, number>();
    await each(connection, queue, all, (message) => {
      counts.set(message.payload, (counts.get(message.payload) ?? 0) + 1);
      return message.ack();
    });
    assertEquals(counts.size, COUNT);
    // A hundred at most were published, and not acked yet.
    assert(all - COUNT <= 100, `${all - COUNT} duplicates`);
    assertEquals(await left(`${name}.dead`), 0);
  } finally {
    await connection.delete(name);
    await connection.delete(`${name}.dead`);
  }
}

/** Publishes them, and rejects each. */
async function letDie(connection: Connection, queue: Queue): Promise<void> {
  await using producer = connection.producer({ queue });
  await producer.publishAll(Array.from({ length: COUNT }, (_, id) => id));
  await each(connection, queue, COUNT, (message) => message.reject());
}

/** Settles so many messages. */
async function each(
  connection: Connection,
  queue: Queue,
  count: number,
  settle: (message: Message<unknown>) => Promise<void>,
): Promise<void> {
  const consumer = connection.consumer(queue, { prefetch: 100 });
  const settling: Promise<void>[] = [];
  for await (const message of consumer) {
    if (settling.push(settle(message)) === count) break;
  }
  await Promise.all(settling);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
