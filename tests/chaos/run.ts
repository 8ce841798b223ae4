/** One run: messages through a broker while something goes wrong, counted. */

import {
  type Connection,
  createConnection,
  MessagingError,
  Queue,
} from "@dashi/mq";
import { pause, type Random } from "./faults.ts";
import { Ledger, noted, type Tally } from "./ledger.ts";
import type { Scene } from "./scene.ts";

/** How a run goes. */
export interface RunOptions {
  readonly messages: number;
  readonly faults: number;
  readonly random: Random;
}

/** How many an idle consumer gets after each fault. */
const AFTERWARDS = 20;

/** Producer and consumer work while something goes wrong now and then. */
export async function runBusy(
  scene: Scene,
  { messages, faults, random }: RunOptions,
): Promise<Tally> {
  const ledger = new Ledger();
  await withQueue(scene.url, async (queue) => {
    const sending = connect(scene.urls.sending);
    const taking = connect(scene.urls.taking);
    const stop = consume(taking, queue, ledger);
    const producer = sending.producer<number>({ maxInFlight: 20 });
    let next = 0;
    const publish = async (end: number) => {
      while (next < end) {
        const id = next++;
        ledger.send(id);
        try {
          await producer.publish(id, { routingKey: queue.name });
          ledger.confirm(id);
        } catch (error) {
          if (!(error instanceof MessagingError)) throw error;
        }
      }
    };
    ledger.expect();
    const share = Math.ceil(messages / (faults + 1));
    for (let end = share; next < messages; end += share) {
      const from = next;
      const until = Math.min(end, messages);
      const publishing = Promise.all(
        Array.from({ length: 20 }, () => publish(until)),
      );
      publishing.catch(() => {}); // told below
      if (ledger.faults < faults) {
        // By how far they have come, not by the clock: a seed is a run.
        const at = from + Math.floor(share * 0.8 * random());
        while (next < at) await pause(1);
        ledger.faults++;
        await scene.happen(random() < 0.5 ? "sending" : "taking", random);
      }
      await publishing;
    }
    await ledger.settle();
    await stop();
    await sending.close();
    await taking.close();
  });
  return noted(ledger.tally());
}

/** A consumer has nothing to do while something goes wrong; after each time it must get all that is published. */
export async function runIdle(
  scene: Scene,
  { faults, random }: RunOptions,
): Promise<Tally> {
  const ledger = new Ledger();
  await withQueue(scene.url, async (queue, direct) => {
    const taking = connect(scene.urls.taking);
    const stop = consume(taking, queue, ledger);
    const producer = direct.producer<number>();
    let next = 0;
    const publish = async (count: number) => {
      ledger.expect();
      await Promise.all(Array.from({ length: count }, async () => {
        const id = next++;
        ledger.send(id);
        await producer.publish(id, { routingKey: queue.name });
        ledger.confirm(id);
      }));
      await ledger.settle();
    };
    await publish(1);
    for (let i = 0; i < faults && ledger.missing === 0; i++) {
      ledger.faults++;
      await scene.happen("taking", random);
      await publish(AFTERWARDS);
    }
    await stop();
    await taking.close();
  });
  return noted(ledger.tally());
}

function connect(url: string): Connection {
  return createConnection(url, {
    heartbeat: 1000,
    connectTimeout: 3000,
    operationTimeout: 20_000,
    reconnect: { initialDelay: 10, maxDelay: 200 },
  });
}

/** Consumes, until it is stopped. */
function consume(
  connection: Connection,
  queue: Queue,
  ledger: Ledger,
): () => Promise<void> {
  const consumer = connection.consumer(queue, { prefetch: 20 });
  const consuming = consumer.run(({ payload }) => ledger.deliver(payload), {
    concurrency: 4,
  });
  consuming.catch(() => {}); // told at the end, with the rest
  return async () => {
    await consumer.close();
    await consuming;
  };
}

/** Does something with a queue of its own, which is deleted afterwards. */
export async function withQueue(
  url: string,
  run: (queue: Queue, direct: Connection) => Promise<void>,
): Promise<void> {
  const queue = new Queue(`dashi-chaos-${crypto.randomUUID()}`);
  const direct = createConnection(url);
  try {
    await direct.declare(queue);
    await run(queue, direct);
  } finally {
    const channel = await direct.channel();
    await channel.deleteQueue(queue.name);
    await direct.close();
  }
}
