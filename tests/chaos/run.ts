/** One run: messages through a broker while something goes wrong, counted. */

import { createConnection, MessagingError, Queue } from "@dashi/mq";
import { Proxy } from "../support/proxy.ts";
import { type Fault, pause, type Random } from "./faults.ts";

/** What became of the messages. */
export interface Tally {
  readonly published: number;
  readonly confirmed: number;
  /** Different ones. */
  readonly delivered: number;
  readonly duplicated: number;
  /** Confirmed, and never delivered: must be none. */
  readonly lost: number;
  readonly faults: number;
  readonly seconds: number;
}

/** How a run goes. */
export interface RunOptions {
  readonly messages: number;
  readonly faults: number;
  readonly random: Random;
}

/** Milliseconds without any delivery after which what is missing counts as lost. */
const SILENCE = 60_000;

/** A worker. */
interface Process {
  readonly ended: boolean;
  /** Settles when it has ended, and all that it said was read. */
  readonly over: Promise<unknown>;
  kill(): void;
}

/** Counts what is confirmed and what is delivered, and says when. */
class Ledger {
  readonly confirmed = new Set<number>();
  readonly delivered = new Set<number>();
  published = 0;
  deliveries = 0;
  faults = 0;
  lastDelivery = performance.now();
  readonly #began = performance.now();

  deliver(id: number): void {
    this.deliveries++;
    this.delivered.add(id);
    this.lastDelivery = performance.now();
  }

  get missing(): number {
    return [...this.confirmed].filter((id) => !this.delivered.has(id)).length;
  }

  /** Waits until all is there, or nothing comes any more. */
  async settle(): Promise<void> {
    this.lastDelivery = performance.now();
    while (this.missing > 0) {
      if (performance.now() - this.lastDelivery > SILENCE) return;
      await pause(50);
    }
  }

  tally(): Tally {
    return {
      published: this.published,
      confirmed: this.confirmed.size,
      delivered: this.delivered.size,
      duplicated: this.deliveries - this.delivered.size,
      lost: this.missing,
      faults: this.faults,
      seconds: (performance.now() - this.#began) / 1000,
    };
  }
}

/** Producer and consumer each behind a proxy, on which something goes wrong now and then. */
export async function runNetwork(
  url: string,
  fault: Fault,
  { messages, faults, random }: RunOptions,
): Promise<Tally> {
  const ledger = new Ledger();
  const sides = [Proxy.to(url), Proxy.to(url)] as const;
  const [sending, taking] = sides.map((proxy) =>
    createConnection(proxy.urlOf(url), {
      heartbeat: 1000,
      connectTimeout: 3000,
      operationTimeout: 20_000,
      retry: { firstDelay: 10, mostDelay: 200 },
    })
  );
  const queue = new Queue(`dashi-chaos-${crypto.randomUUID()}`);
  return await withQueue(url, queue, async () => {
    const consumer = taking?.consumer<number>(queue, { prefetch: 20 });
    const consuming = consumer?.run(({ payload }) => ledger.deliver(payload), {
      concurrency: 4,
    });
    consuming?.catch(() => {}); // told at the end, with the rest
    const producer = sending?.producer<number>({ maxInFlight: 20 });
    let next = 0;
    const worker = async () => {
      while (next < messages) {
        const id = next++;
        ledger.published++;
        try {
          await producer?.publish(id, { routingKey: queue.name });
          ledger.confirmed.add(id);
        } catch (error) {
          if (!(error instanceof MessagingError)) throw error;
        }
      }
    };
    const publishing = Promise.all(Array.from({ length: 20 }, worker));
    let done = false;
    publishing.then(() => done = true, () => done = true);
    for (let i = 1; i <= faults && !done; i++) {
      // By how far they have come, not by the clock: a seed is a run.
      const at = messages * i / (faults + 1);
      while (!done && next < at) await pause(1);
      const side = random() < 0.5 ? sides[0] : sides[1];
      ledger.faults++;
      await fault(side, random);
    }
    await publishing;
    await ledger.settle();
    await consumer?.close();
    await consuming;
    await sending?.close();
    await taking?.close();
    for (const each of sides) await each[Symbol.asyncDispose]();
    return ledger.tally();
  });
}

/** Producers and consumers in processes of their own, killed now and then. */
export async function runKills(
  url: string,
  victim: "produce" | "consume",
  { messages, faults, random }: RunOptions,
): Promise<Tally> {
  const ledger = new Ledger();
  const queue = new Queue(`dashi-chaos-${crypto.randomUUID()}`);
  return await withQueue(url, queue, async () => {
    const consumers = [spawn("consume"), spawn("consume")];
    const block = Math.ceil(messages / (faults + 1));
    for (let i = 0; i <= faults; i++) {
      const before = ledger.confirmed.size;
      const producer = spawn("produce", i * block, block);
      ledger.published += block;
      if (i < faults) {
        const at = before + Math.max(1, Math.floor(block * random() * 0.8));
        while (ledger.confirmed.size < at && !producer.ended) await pause(1);
        ledger.faults++;
        if (victim === "produce") producer.kill();
        else {
          consumers.shift()?.kill();
          consumers.push(spawn("consume"));
        }
      }
      await producer.over;
    }
    await ledger.settle();
    for (const each of consumers) each.kill();
    await Promise.all(consumers.map(({ over }) => over));
    return ledger.tally();
  });

  function spawn(
    role: "produce" | "consume",
    ...numbers: readonly number[]
  ): Process {
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "-A",
        "--no-check",
        new URL("worker.ts", import.meta.url).pathname,
        role,
        url,
        queue.name,
        ...numbers.map(String),
      ],
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    let ended = false;
    child.status.then(() => ended = true);
    return {
      get ended() {
        return ended;
      },
      kill() {
        if (!ended) child.kill("SIGKILL");
      },
      over: Promise.all([read(child.stdout), child.status]),
    };
  }

  async function read(output: ReadableStream<Uint8Array>): Promise<void> {
    let rest = "";
    const decoder = new TextDecoder();
    for await (const chunk of output) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split(
        "\n",
      );
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const [word, id] = line.split(" ");
        if (word === "confirmed") ledger.confirmed.add(Number(id));
        else ledger.deliver(Number(id));
      }
    }
  }
}

async function withQueue(
  url: string,
  queue: Queue,
  run: () => Promise<Tally>,
): Promise<Tally> {
  const direct = createConnection(url);
  try {
    await direct.declare(queue);
    return await run();
  } finally {
    const channel = await direct.channel();
    await channel.deleteQueue(queue.name);
    await direct.close();
  }
}
