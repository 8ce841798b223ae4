// deno-lint-ignore-file no-top-level-await -- a program too
/** A process of ours that a test may kill: it says what it does, a line of JSON each. */

import {
  createConnection,
  Exchange,
  type Message,
  MessagingError,
  Queue,
  type RunOptions,
} from "@dashi/mq";
import { JsonProcess } from "./json_process.ts";
import { block } from "./standing_loop.ts";

const PROGRAM = new URL(import.meta.url).pathname;
const CONFIG = new URL("../../deno.json", import.meta.url).pathname;

/** The work of a worker. */
export interface Work {
  readonly url: string;
  readonly queue: string;
  readonly transportOptions?: Readonly<Record<string, unknown>>;
  /**
   * `consume`: says and acks each message. `publish`: publishes numbers from `from` on, and
   * says which were confirmed. `hold`: says what it is delivered, and waits for `block`.
   * `own`: declares what should go with it, and says so. `close`: takes one, then idles until
   * it is told something, closes, and ends. `fail`: fails at each message, with `retry`, until it
   * has done so `from` times, and ends.
   */
  readonly mode: "consume" | "publish" | "hold" | "own" | "close" | "fail";
  readonly from?: number;
  readonly retry?: RunOptions["retry"];
  readonly prefetch?: number;
}

/** A report of a worker. */
export interface Word {
  readonly ready?: boolean;
  readonly got?: number;
  readonly redelivered?: boolean;
  readonly count?: number;
  readonly confirmed?: number;
  readonly acked?: string;
  readonly aborted?: boolean;
  /** How long closing took, ms. */
  readonly closed?: number;
  /** The attempt that failed, and when, ms since 1970. */
  readonly failed?: number;
  readonly at?: number;
}

/** The process. */
export class Worker extends JsonProcess<Word> {
  /** Starts it; `onWord` hears all that it says. */
  constructor(work: Work, onWord?: (word: Word) => void) {
    super({ program: PROGRAM, config: CONFIG, order: work }, onWord);
  }

  /** All that it said so far. */
  get words(): readonly Word[] {
    return this.lines;
  }

  /** Waits until it has said something that fits. */
  until(fits: (word: Word) => boolean): Promise<Word> {
    return this.find((words) => words.find(fits));
  }

  /** Tells it something. */
  async tell(text: string): Promise<void> {
    const writer = this.child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(`${text}\n`));
    writer.releaseLock();
  }

  /** Stops it as a handler does that lets the event loop not turn: its sockets stay. */
  stop(): void {
    this.child.kill("SIGSTOP");
  }
}

/** A queue that is bound to an exchange of its name, and dead-letters into another. */
export function deadLettering(name: string): readonly [Queue, Queue] {
  const exchange = new Exchange(name);
  const dead = new Exchange(`${name}-dead`);
  return [
    new Queue(`${name}-dead`, { exchange: dead, routingKey: "work" }),
    new Queue(name, {
      exchange,
      routingKey: "work",
      deadLetterExchange: dead,
    }),
  ];
}

const ENCODER = new TextEncoder();

/** Says it before anything else happens: what is in the pipe outlives the process. */
function say(word: Word): void {
  const bytes = ENCODER.encode(`${JSON.stringify(word)}\n`);
  for (let sent = 0; sent < bytes.length;) {
    sent += Deno.stdout.writeSync(bytes.subarray(sent));
  }
}

function sayGot({ payload, deliveryInfo, deliveryCount }: Message<number>) {
  const { redelivered } = deliveryInfo;
  say({
    got: payload,
    redelivered,
    ...(deliveryCount === undefined ? {} : { count: deliveryCount }),
  });
}

async function main(work: Work): Promise<void> {
  const connection = createConnection(work.url, {
    transportOptions: work.transportOptions ?? {},
    reconnect: { initialDelay: 10, maxDelay: 200 },
  });
  const { queue, prefetch = 50 } = work;
  switch (work.mode) {
    case "consume": {
      for await (
        const message of connection.consumer<number>(queue, { prefetch })
      ) {
        sayGot(message);
        message.ack().catch(() => {}); // lost meanwhile: somebody gets it again
      }
      return;
    }
    case "publish": {
      const producer = connection.producer<number>({ maxInFlight: 50 });
      for (let i = work.from ?? 0;; i++) {
        const sent = producer.publish(i, { routingKey: queue })
          .then(() => say({ confirmed: i }));
        if (i % 50 === 49) await sent;
      }
    }
    case "hold": {
      const consumer = connection.consumer<number>(queue, { prefetch });
      for await (const message of consumer) {
        const { signal } = message;
        sayGot(message);
        if (message.deliveryInfo.redelivered) continue;
        blockFirst(message, signal);
      }
      return;
    }
    case "own": {
      await connection.declare([
        new Queue(`${queue}-exclusive`, { exclusive: true }),
      ]);
      const consumers = [
        new Queue(`${queue}-exclusive`, { exclusive: true }),
        new Queue(`${queue}-auto`, { autoDelete: true }),
        new Queue(`${queue}-kept`),
      ].map((each) => {
        const consumer = connection.consumer(each);
        consumer.run(() => {});
        return consumer;
      });
      while (!consumers.every((each) => each.health().healthy)) {
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      say({ ready: true });
      return;
    }
    case "close": {
      const consumer = connection.consumer(queue, { prefetch });
      const iterator = consumer[Symbol.asyncIterator]();
      await iterator.next();
      const idling = iterator.next();
      say({ ready: true });
      await Deno.stdin.read(new Uint8Array(64));
      const began = performance.now();
      await connection.close({ drainTimeout: 500 });
      say({ closed: performance.now() - began });
      await idling.catch(() => {});
      return;
    }
    case "fail": {
      const queues = deadLettering(queue);
      await connection.declare(queues);
      const consumer = connection.consumer<number>(queues[1]);
      let left = work.from ?? Infinity;
      await consumer.run(({ headers }) => {
        say({ failed: Number(headers["x-attempts"] ?? 1), at: Date.now() });
        if (--left === 0) void consumer.cancel();
        throw new Error("bad luck");
      }, { retry: work.retry });
      await connection.close();
    }
  }
}

/** When it is told for how long: blocks the event loop, and acks then. */
async function blockFirst(
  message: Message<number>,
  signal: AbortSignal,
): Promise<void> {
  const chunk = new Uint8Array(64);
  const count = await Deno.stdin.read(chunk);
  if (count === null) return;
  const duration = Number(new TextDecoder().decode(chunk.subarray(0, count)));
  block(duration);
  const acked = await message.ack().then(
    () => "acked",
    (error: unknown) =>
      error instanceof MessagingError ? error.code : String(error),
  );
  say({ acked, aborted: signal.aborted });
}

if (import.meta.main) await main(JSON.parse(Deno.args[0] ?? "{}"));
