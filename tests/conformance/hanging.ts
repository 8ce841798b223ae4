import { Queue } from "../../mod.ts";
import { isStoreTransport, type Store } from "../../transports/store/mod.ts";
import { Broker, connect } from "./broker.ts";
import { type ConformanceCase, onHarness } from "./case.ts";
import type { Harness } from "./harness.ts";
import { open } from "./stage.ts";
import { withParts } from "./parts.ts";
import { arrives, inTime, soon, unique, until } from "./support.ts";

/** How long calls have, ms. */
const TIMEOUT = 1500;

/** The verbs that closing calls on a store, each of which may never be answered. */
const VERBS = [
  "messages.reserve",
  "messages.remove",
  "messages.release",
  "topology.read",
  "topology.apply",
  "messages.put",
  "Symbol(Symbol.asyncDispose)",
] as const;

type Verb = typeof VERBS[number];

/** A transport one verb of whose stores is not answered any more, from a moment on. */
class Silence {
  readonly harness: Harness;
  readonly #stores: Store[] = [];
  silent = false;

  constructor(harness: Harness, verb: Verb) {
    const { transport } = harness;
    if (!isStoreTransport(transport)) throw new TypeError("It has no store");
    const wrap = (store: Store) => {
      this.#stores.push(store);
      return withParts(
        store,
        {},
        (asked, call) =>
          this.silent && asked === verb ? new Promise(() => {}) : call(),
      );
    };
    this.harness = { ...harness, transport: transport.wrapping(wrap) };
  }

  /** Ends the stores, answered or not. */
  async end(): Promise<void> {
    for (const store of this.#stores) await store[Symbol.asyncDispose]();
  }
}

/** One that has a message that is settled, one that is not, and a consumer that waits. */
async function atWork(
  harness: Harness,
  verb: Verb,
  operationTimeout: number,
): Promise<void> {
  const broker = await Broker.open(harness);
  const silence = new Silence(harness, verb);
  try {
    const queue = await broker.queue();
    await broker.put(queue, "one");
    await broker.put(queue, "two");
    const connection = await connect(silence.harness, { operationTimeout });
    try {
      const channel = await connection.openChannel(soon());
      const { promise, resolve } = Promise.withResolvers<void>();
      let count = 0;
      await channel.consume(queue, ({ deliveryTag }) => {
        if (++count < 2) return;
        silence.silent = true;
        channel.ack(deliveryTag).catch(() => {});
        resolve();
      }, { prefetch: 3, ...soon() });
      await arrives(promise, "the messages");
    } finally {
      const ending = Promise.resolve(connection[Symbol.asyncDispose]());
      await arrives(ending, "the end");
    }
    await arrives(connection.closed, "the end as it is told");
  } finally {
    await silence.end();
    await broker[Symbol.asyncDispose]();
  }
}

/** Closing ends in time, whatever the broker does not answer. */
export const HANGING: readonly ConformanceCase[] = [
  onHarness(
    "a connection is closed in time, whichever call of its store is not answered",
    (harness) =>
      inTime([TIMEOUT, 8000], async (time) => {
        // At once: each takes as long as calls have.
        const ended = await Promise.allSettled(
          VERBS.map((verb) => atWork(harness, verb, time)),
        );
        for (const [i, result] of ended.entries()) {
          if (result.status === "fulfilled") continue;
          const cause: unknown = result.reason;
          const where = `when ${VERBS[i]} is not answered`;
          throw new Error(`It was not closed ${where}`, { cause });
        }
      }),
    { wraps: true },
  ),
  onHarness(
    "Connection.close() returns by its drainTimeout where nothing is answered",
    async (harness) => {
      const silence = new Silence(harness, "messages.reserve");
      const connection = open(silence.harness);
      const name = unique("queue");
      try {
        await connection.declare(new Queue(name));
        const iterator = connection.consumer(name)[Symbol.asyncIterator]();
        silence.silent = true;
        const waiting = iterator.next().catch(() => undefined);
        await arrives(connection.close({ drainTimeout: TIMEOUT }), "the end");
        await arrives(waiting, "the end of who waits");
      } finally {
        await silence.end();
        const last = open(harness);
        await (await last.channel()).deleteQueue(name, soon());
        await last.close();
      }
    },
    { wraps: true },
  ),
  onHarness(
    "retries that are not answered for hold up neither other messages nor closing",
    async (harness) => {
      const silence = new Silence(harness, "messages.put");
      const connection = open(silence.harness, { operationTimeout: 90_000 });
      const queue = new Queue<number>(unique("queue"));
      try {
        const producer = connection.producer({ queue });
        for (let i = 0; i < 6; i++) await producer.publish(i);
        const handled = new Set<number>();
        const running = connection.consumer(queue).run(({ payload }) => {
          silence.silent = true;
          if (payload < 2) throw new Error("on purpose");
          handled.add(payload);
        }, { concurrency: 2, retry: { attempts: 3, backoff: 0 } });
        running.catch(() => {}); // whatever it waits for is never answered
        await until(() => handled.size === 4, "the others");
        await arrives(connection.close({ drainTimeout: TIMEOUT }), "the end");
      } finally {
        await silence.end();
        const last = open(harness);
        await (await last.channel()).deleteQueue(queue.name, soon());
        await last.close();
      }
    },
    { wraps: true },
  ),
];
