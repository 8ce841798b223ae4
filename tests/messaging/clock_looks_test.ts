/**
 * How often the clock is looked at for a message: on memory a look costs a tenth of what the
 * message does.
 */

import { assert } from "@std/assert";
import { type Connection, createConnection, Queue } from "@dashi/mq";
import { TARGETS } from "../support/targets.ts";

const COUNT = 3000;

/** How many looks at the clock each message takes at most, with those that a batch takes. */
interface Most {
  readonly publish: number;
  readonly settle: number;
}

/** Says how often the clock is looked at for each of `COUNT` messages. */
async function looksIn(work: () => Promise<void>): Promise<number> {
  const { now } = performance;
  let looks = 0;
  performance.now = () => {
    looks++;
    return now.call(performance);
  };
  try {
    await work();
  } finally {
    performance.now = now;
  }
  return looks / COUNT;
}

async function handle(connection: Connection, queue: Queue): Promise<void> {
  let left = COUNT;
  const consumer = connection.consumer(queue, { prefetch: 200 });
  await consumer.run(() => {
    if (--left === 0) void consumer.cancel();
  }, { concurrency: 50 });
}

async function iterate(connection: Connection, queue: Queue): Promise<void> {
  let left = COUNT;
  const acks: Promise<void>[] = [];
  for await (const message of connection.consumer(queue, { prefetch: 200 })) {
    acks.push(message.ack());
    if (--left === 0) break;
  }
  await Promise.all(acks);
}

async function look(url: string, most: Most): Promise<void> {
  await using connection = createConnection(url);
  const queue = new Queue(`looks-${crypto.randomUUID()}`);
  const producer = connection.producer({ queue, maxInFlight: COUNT });
  await producer.publish("the first one waits for its queue");
  await connection.purge(queue.name);
  for (const consume of [handle, iterate]) {
    const published = await looksIn(async () => {
      await Promise.all(
        Array.from({ length: COUNT }, (_, i) => producer.publish(i)),
      );
    });
    assert(published <= most.publish, `${published} looks to publish one`);
    const settled = await looksIn(() => consume(connection, queue));
    assert(settled <= most.settle, `${settled} looks to settle one`);
  }
  await connection.delete(queue);
}

Deno.test("memory: a message is published with one look at the clock, and settled with none", () =>
  look("memory://looks", { publish: 1.1, settle: 0.3 }));

for (const { name, url, reason } of TARGETS) {
  // Of Redis a batch takes several.
  if (!["amqp", "amqp-client", "redis"].includes(name)) continue;
  Deno.test({
    name:
      `${name}: a message is published with few looks at the clock, and settled with fewer${
        url === undefined ? ` (skipped: ${reason})` : ""
      }`,
    ignore: url === undefined,
    fn: () => look(url ?? "", { publish: 1.9, settle: 1.5 }),
  });
}
