/** The stage of a case of the interop table: both sides on one broker. */

import {
  type Connection,
  createConnection,
  Exchange,
  type Message,
  Queue,
} from "@dashi/mq";
import { unlessItStoodStill } from "../support/standing_still.ts";
import { Peer, type QueueSpec } from "./peer.ts";
import type { Python } from "./python.ts";

/** A broker that both sides speak. */
export interface Meeting {
  /** As in `DASHI_TEST_<NAME>_URL`. */
  readonly name: string;
  /** The URL of the broker, or the reason why there is none. */
  readonly broker: { readonly url: string } | { readonly reason: string };
  /** Our side's transport, where the URL's scheme says another. */
  readonly transport?: string;
  /** Options of Kombu's side. */
  readonly theirs?: Readonly<Record<string, unknown>>;
  /** Options of our side, beyond what works by default. */
  readonly ours?: Readonly<Record<string, unknown>>;
  /** The features that it lacks, by the case's `needs`, and why. */
  readonly lacks?: Readonly<Record<string, string>>;
  /** Whether Kombu serves the highest priority first there. */
  readonly highestFirst: boolean;
  /** Whether messages come in the order in which they were published. @default {true} */
  readonly ordered?: boolean;
  /** Which sides learn that the other gave a message back. @default {both} */
  readonly told?: readonly ("us" | "them")[];
}

/** One line of the table. */
export interface InteropCase {
  readonly name: string;
  /** A feature that not every broker has. */
  readonly needs?: string;
  run(stage: Stage): Promise<void>;
}

/** Both sides on one broker; what was declared is removed at the end. */
export class Stage {
  readonly connection: Connection;
  readonly peer: Peer;
  readonly meeting: Meeting;
  readonly #python: string;
  readonly #url: string;
  readonly #queues: Queue[] = [];
  readonly #exchanges: Exchange[] = [];
  readonly #peers: Peer[] = [];

  /** Opens our side; Kombu's is shared by the cases of a broker. */
  constructor(meeting: Meeting, url: string, python: string, peer: Peer) {
    this.meeting = meeting;
    this.peer = peer;
    this.#url = url;
    this.#python = python;
    this.connection = this.connect();
  }

  /** Returns the values as they came, if order counts: elsewhere they are sorted. */
  inOrder<T>(values: readonly T[]): readonly T[] {
    if (this.meeting.ordered ?? true) return values;
    const key = (value: T) => JSON.stringify(value) ?? "";
    return values.toSorted((a, b) =>
      key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0
    );
  }

  /** Whether a side learns that the other gave a message back. */
  isTold(side: "us" | "them"): boolean {
    return this.meeting.told?.includes(side) ?? true;
  }

  get url(): string {
    return this.#url;
  }

  /** Another connection of ours. */
  connect(options: Readonly<Record<string, unknown>> = {}): Connection {
    return createConnection(this.#url, {
      transport: this.meeting.transport,
      transportOptions: { ...this.meeting.ours, ...options },
    });
  }

  /** A peer of the case's own, which it may kill. */
  startPeer(options: Readonly<Record<string, unknown>> = {}): Peer {
    const peer = new Peer(this.#python, this.#url, {
      ...this.meeting.theirs,
      ...options,
    });
    this.#peers.push(peer);
    return peer;
  }

  /** Removes at the end what a case made by itself. */
  adopt<T extends Queue | Exchange>(entity: T): T {
    if (entity instanceof Queue) this.#queues.push(entity);
    else this.#exchanges.push(entity);
    return entity;
  }

  /** A queue of the case's own. */
  queue(options: ConstructorParameters<typeof Queue>[1] = {}): Queue {
    const name = `dashi-interop-${crypto.randomUUID()}`;
    return this.adopt(new Queue(name, options));
  }

  /** An exchange of the case's own. */
  exchange(type: Exchange["type"]): Exchange {
    const name = `dashi-interop-${type}-${crypto.randomUUID()}`;
    return this.adopt(new Exchange(name, { type }));
  }

  /** Ends the case, and removes what it declared. */
  async end(): Promise<void> {
    try {
      for (const peer of this.#peers) await peer[Symbol.asyncDispose]();
      const channel = await this.connection.channel();
      for (const { name } of this.#queues) await channel.deleteQueue(name);
      for (const { name } of this.#exchanges) {
        await channel.deleteExchange(name);
      }
    } finally {
      await this.connection.close();
    }
  }
}

/** Registers the table's cases for a broker. */
export function registerInterop(
  meeting: Meeting,
  python: Python,
  cases: readonly InteropCase[],
): void {
  const { broker, lacks = {} } = meeting;
  const missing = "reason" in broker
    ? broker.reason
    : "reason" in python
    ? python.reason
    : undefined;
  let shared: Peer | undefined;
  /** Whether it may be at something that is left of a case that failed. */
  let isSpoilt = false;
  Deno.test.beforeAll(() => {
    if ("reason" in broker || "reason" in python) return;
    shared = new Peer(python.python, broker.url, meeting.theirs);
  });
  Deno.test.afterAll(async () => {
    if (isSpoilt) await shared?.kill().catch(() => {}); // it may have ended
    else await shared?.[Symbol.asyncDispose]();
  });
  for (const { name, needs, run } of cases) {
    const reason = missing ??
      (needs === undefined ? undefined : lacks[needs]);
    Deno.test({
      name: `${meeting.name} with Kombu: ${name}${
        reason === undefined ? "" : ` (${reason})`
      }`,
      ignore: reason !== undefined,
      async fn() {
        if ("reason" in broker || "reason" in python || shared === undefined) {
          throw new Error("There is no peer");
        }
        const { python: program } = python;
        const there = shared;
        // What is held for longer than the leases of both sides, which are short, comes again.
        await unlessItStoodStill(1000, async () => {
          const own = isSpoilt
            ? new Peer(program, broker.url, meeting.theirs)
            : undefined;
          const peer = own ?? there;
          const stage = new Stage(meeting, broker.url, program, peer);
          try {
            await inTime(run(stage));
            await own?.[Symbol.asyncDispose]();
          } catch (error) {
            isSpoilt = true;
            await own?.kill();
            throw error;
          } finally {
            await stage.end();
          }
        });
      },
    });
  }
}

/** How the peer is told of a queue. */
export function spec(queue: Queue): QueueSpec {
  return {
    name: queue.name,
    options: { queue_arguments: queue.arguments },
    bindings: queue.bindings.map(({ exchange, routingKey, ...rest }) => ({
      exchange: specOf(exchange),
      routing_key: routingKey,
      arguments: rest.arguments,
    })),
  };
}

/** How the peer is told of an exchange. */
export function specOf(exchange: Exchange | string): {
  readonly name: string;
  readonly type: string;
} {
  return typeof exchange === "string"
    ? { name: exchange, type: "direct" }
    : { name: exchange.name, type: exchange.type };
}

/** Takes so many messages of ours; `then` is done with each, and the rest goes back. */
export async function take(
  connection: Connection,
  queue: Queue,
  count: number,
  options: {
    readonly accept?: readonly string[];
    readonly then?: "ack" | "requeue" | "hold";
    readonly prefetch?: number;
  } = {},
): Promise<readonly Message<unknown>[]> {
  const { accept, then = "ack", prefetch = count } = options;
  const consumer = connection.consumer<unknown>(queue, {
    prefetch,
    accept,
  });
  const taken: Message<unknown>[] = [];
  for await (const message of consumer) {
    taken.push(message);
    if (then === "ack") await message.ack();
    if (then === "requeue") await message.requeue();
    if (taken.length === count) break;
  }
  return taken;
}

/** How long a case may take, ms: a worker of Celery takes a busy machine half a minute to start. */
const PATIENCE = 150_000;

/** A case that waits for what does not come fails, where it would wait for ever. */
export async function inTime(running: Promise<void>): Promise<void> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const tooLong = new Error(`it took ${PATIENCE / 1000} s`);
  const timer = setTimeout(() => reject(tooLong), PATIENCE);
  try {
    await Promise.race([running, late]);
  } finally {
    clearTimeout(timer);
  }
}
