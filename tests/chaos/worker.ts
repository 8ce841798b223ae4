// deno-lint-ignore-file no-top-level-await -- a process of its own
/** A process to be killed: `worker.ts produce URL QUEUE FROM COUNT`, or `worker.ts consume URL QUEUE`. */

import { createConnection, MessagingError, Queue } from "@dashi/mq";

const OPTIONS = {
  reconnect: { initialDelay: 20, maxDelay: 200 },
  heartbeat: 2000,
};

/** Before anything else may happen: a line that was written outlives the process. */
function say(word: string, id: number): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${word} ${id}\n`));
}

async function produce(
  url: string,
  queue: string,
  from: number,
  count: number,
): Promise<void> {
  const connection = createConnection(url, OPTIONS);
  const producer = connection.producer<number>({ maxInFlight: 10 });
  await Promise.all(Array.from({ length: count }, async (_, i) => {
    try {
      await producer.publish(from + i, { routingKey: queue });
      say("confirmed", from + i);
    } catch (error) {
      if (!(error instanceof MessagingError)) throw error;
    }
  }));
  await connection.close();
}

async function consume(url: string, queue: string): Promise<void> {
  const connection = createConnection(url, OPTIONS);
  const consumer = connection.consumer<number>(new Queue(queue), {
    prefetch: 20,
  });
  await consumer.run(({ payload }) => say("delivered", payload), {
    concurrency: 4,
  });
}

if (import.meta.main) {
  const [role, url = "", queue = "", from, count] = Deno.args;
  await (role === "produce"
    ? produce(url, queue, Number(from), Number(count))
    : consume(url, queue));
}
