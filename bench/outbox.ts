/** An outbox in SQLite and in PostgreSQL, and its relay, beside publishes that go to the same broker at once. */

import { createConnection, Queue } from "@dashi/mq";
import { createOutbox } from "@dashi/mq/outbox";
import { openDatabase } from "../tests/messaging/outbox/databases.ts";
import { compare, rate } from "./measure.ts";
import { BODY, publishRate } from "./publish.ts";

/** Messages of one transaction. */
const BATCH = 100;

/** As many on their way at once as a relay has by itself. */
const WINDOW = 500;

const OPTIONS = { count: 5000, rounds: 5 };

/**
 * Compares them for one broker.
 *
 * @param url The broker.
 * @param postgres The database besides a file of SQLite, where there is one.
 */
export async function benchOutbox(
  url: string,
  postgres: string | undefined,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "dashi-bench-" });
  try {
    await benchOne(url, `sqlite:${folder}/outbox.db`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  if (postgres !== undefined) await benchOne(url, postgres);
}

async function benchOne(url: string, databaseUrl: string): Promise<void> {
  const id = `bench-${crypto.randomUUID()}`;
  const queue = new Queue(id);
  await using broker = createConnection(url);
  await using database = createConnection(databaseUrl);
  await Promise.all([broker.declare(queue), database.connect()]);
  const producer = broker.producer();
  const outbox = createOutbox(database, { name: id });
  const shop = await openDatabase(databaseUrl);
  const write = async (count: number, isAtOnce: boolean) => {
    const began = performance.now();
    for (let written = 0; written < count; written += BATCH) {
      await shop.transact(async (transaction) => {
        const writing: Promise<string>[] = [];
        for (let i = written; i < Math.min(count, written + BATCH); i++) {
          writing.push(outbox.publish(BODY, { queue, transaction }));
          if (!isAtOnce) await writing.pop();
        }
        await Promise.all(writing);
      });
    }
    return rate(count, began);
  };
  const relay = async (count: number) => {
    const end = new AbortController();
    let published = 0;
    const began = performance.now();
    await outbox.relay(broker, {
      maxInFlight: WINDOW,
      signal: end.signal,
      onEvent: (event) => {
        if (event.type !== "published") return;
        published += event.messageIds.length;
        if (published >= count) end.abort();
      },
    });
    return rate(count, began);
  };
  const names = [broker, database].map((each) => each.info().transport);
  try {
    await compare(`Outbox: 1 KiB, ${names[1]} to ${names[0]}`, [
      {
        name: `publish, ${WINDOW} at once`,
        run: (count) =>
          publishRate(producer, count, { routingKey: id }, WINDOW),
      },
      ...[false, true].map((isAtOnce) => ({
        name: `rows, ${BATCH} a transaction${isAtOnce ? ", at once" : ""}`,
        run: async (count: number) => {
          const written = await write(count, isAtOnce);
          await relay(count);
          return written;
        },
      })),
      {
        name: "relay",
        run: async (count) => {
          await write(count, true);
          return await relay(count);
        },
      },
    ], OPTIONS);
  } finally {
    await shop.close();
    await broker.delete(queue);
  }
}
