// deno-lint-ignore-file no-console no-top-level-await -- a process of its own, whose heap is measured
/**
 * Measures what is left by what is done over and over:
 * `deno run --v8-flags=--expose-gc growth_child.ts MODE URL COUNT [SECONDS]`.
 * Prints a {@linkcode Growth} as JSON.
 */

import { getEventListeners } from "node:events";
import process from "node:process";
import { getHeapSpaceStatistics } from "node:v8";
import {
  type Connection,
  createConnection,
  MessagingError,
  Queue,
} from "@dashi/mq";
import { SYSTEM_CLOCK } from "../../async/clock.ts";
import { MemoryBroker } from "../../transports/memory/broker.ts";
import { MemoryStore } from "../../transports/memory/store.ts";
import { createStoreTransport } from "../../transports/store/mod.ts";
import type { CloseReason } from "../../transports/transport.ts";
import { resources } from "../support/leaks.ts";
import { Proxy } from "../support/proxy.ts";
import { changed } from "../support/stores.ts";
import { ALL } from "../support/targets.ts";

/** Bytes that a half may add to the heap, as many as came before it: caches fill. */
export const NOISE: number = (ALL ? 0.5 : 1) * 1024 * 1024;

/** How many halves there may be more. */
const MORE = 2;

/** The counts at one moment. */
export interface Mark {
  /** Bytes on the heap and outside of it, when the garbage is gone, but for compiled code: that comes as long as functions get hot. */
  readonly bytes: number;
  /** Sockets and the like that keep the process alive. */
  readonly resources: number;
  /** Files and sockets that the process has open, by the system's count; 0 where it does not tell. */
  readonly handles: number;
  /** The number of listeners to a signal that all calls were given, and to the process. */
  readonly listeners: number;
}

/** The growth of a mode. */
export interface Growth {
  /** How many cycles there were between the first and the last mark. */
  readonly count: number;
  readonly seconds: number;
  /** How many connections were made, where they are counted. */
  readonly connections: number | undefined;
  readonly begin: Mark;
  /** Before the last half. */
  readonly half: Mark;
  readonly end: Mark;
}

/** The calls that are repeated. */
interface Cycle {
  run(): Promise<void>;
  /** Comes to rest: afterwards nothing is under way. */
  rest(): Promise<void>;
  end(): Promise<void>;
  /** How many connections were made until now. */
  connections?(): number;
}

/** Given to every call, as a program does that can be stopped. */
const { signal } = new AbortController();

function queueOf(): Queue {
  return new Queue(`dashi-growth-${crypto.randomUUID()}`, { durable: false });
}

/** Connects, publishes and closes. */
function connecting(url: string): Cycle {
  const queue = queueOf();
  return {
    async run() {
      const connection = createConnection(url);
      await connection.producer({ declare: [queue] }).publish(1, {
        routingKey: queue.name,
        signal,
      });
      await connection.close();
    },
    async rest() {
      // Messages of a queue in memory are on this heap.
      const connection = createConnection(url);
      const channel = await connection.channel();
      await channel.purgeQueue(queue.name);
      await connection.close();
    },
    end: () => remove(createConnection(url), queue),
  };
}

/** Has its connection cut: each time with a consumer that is back at work, or while it comes back. */
function reconnecting(
  connection: Connection,
  cut: () => void,
  connections: () => number,
): Cycle {
  const queue = queueOf();
  const producer = connection.producer({ declare: [queue] });
  const consumer = connection.consumer(queue, { signal });
  let delivered = Promise.withResolvers<void>();
  const running = consumer.run(() => delivered.resolve(), { signal });
  const publish = async () => {
    delivered = Promise.withResolvers<void>();
    await producer.publish(1, { routingKey: queue.name, signal });
  };
  let count = 0;
  return {
    async run() {
      await publish();
      if (count++ % 2 === 0) await delivered.promise;
      cut();
    },
    async rest() {
      // The first may be of an earlier connection.
      for (let i = 0; i < 3; i++) {
        await publish();
        await delivered.promise;
      }
    },
    async end() {
      await consumer.close();
      await running.catch((error: unknown) => {
        if (!(error instanceof MessagingError)) throw error;
      });
      await remove(connection, queue);
    },
    connections,
  };
}

const RETRY = { initialDelay: 1, maxDelay: 5 };

/** By a proxy that cuts it. */
function behindProxy(url: string): Cycle {
  const proxy = Proxy.to(url);
  const connection = createConnection(proxy.urlOf(url), { reconnect: RETRY });
  const cycle = reconnecting(
    connection,
    () => proxy.cut(),
    () => proxy.accepted,
  );
  return {
    ...cycle,
    async end() {
      await cycle.end();
      await proxy[Symbol.asyncDispose]();
    },
  };
}

/** In memory there is nothing to cut: its store says that it was. */
function inMemory(): Cycle {
  const broker = new MemoryBroker(SYSTEM_CLOCK);
  let opened = 0;
  let cut = () => {};
  const transport = createStoreTransport({
    name: "memory",
    open() {
      opened++;
      const { promise, resolve } = Promise.withResolvers<CloseReason>();
      const inner = new MemoryStore(broker, { clock: SYSTEM_CLOCK });
      cut = () => {
        resolve({ type: "lost", error: new Error("Cut") });
        // As a broker takes back what a connection held that is gone.
        void inner[Symbol.asyncDispose]();
      };
      return Promise.resolve({ ...changed(inner, {}), closed: promise });
    },
  });
  return reconnecting(
    createConnection("memory://", { transport, reconnect: RETRY }),
    () => cut(),
    () => opened,
  );
}

async function remove(connection: Connection, queue: Queue): Promise<void> {
  const channel = await connection.channel();
  await channel.deleteQueue(queue.name);
  await connection.close();
}

const MODES = {
  cycles: connecting,
  reconnects: (url: string) =>
    url.startsWith("memory:") ? inMemory() : behindProxy(url),
} as const;

async function mark(cycle: Cycle): Promise<Mark> {
  await cycle.rest();
  for (let i = 0; i < 10; i++) {
    Reflect.get(globalThis, "gc")();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const { heapUsed, external } = Deno.memoryUsage();
  return {
    bytes: heapUsed + external - code(),
    resources: resources().length,
    handles: handles(),
    listeners: getEventListeners(signal, "abort").length +
      process.eventNames().reduce(
        (sum, name) => sum + process.listenerCount(name),
        0,
      ),
  };
}

/** How many bytes of the heap are compiled code. */
function code(): number {
  return getHeapSpaceStatistics()
    .filter(({ space_name }) => /code|trusted/.test(space_name))
    .reduce((sum, { space_used_size }) => sum + space_used_size, 0);
}

function handles(): number {
  try {
    return [...Deno.readDirSync("/proc/self/fd")].length;
  } catch {
    return 0; // no Linux
  }
}

/**
 * A fifth first, in which what is made once is made; then two halves, equally many.
 * A table that doubles adds a megabyte at once, and what leaks is left by each half: one
 * that adds more than noise is tried again.
 */
async function grow(
  cycle: Cycle,
  count: number,
  seconds: number,
): Promise<Growth> {
  const began = performance.now();
  /** So many, or as many as fit; returns how many. */
  const repeat = async (most: number, share: number) => {
    const until = performance.now() + share * seconds * 1000;
    let done = 0;
    while (done < most && performance.now() < until) {
      await cycle.run();
      done++;
    }
    return done;
  };
  await repeat(Math.ceil(count / 5), 0.1);
  const before = cycle.connections?.();
  const begin = await mark(cycle);
  const first = await repeat(Math.ceil(count / 2), 0.45);
  let half = await mark(cycle);
  let done = first + await repeat(first, Infinity);
  let end = await mark(cycle);
  for (let i = 0; i < MORE && end.bytes - half.bytes >= NOISE; i++) {
    half = end;
    done += await repeat(first, Infinity);
    end = await mark(cycle);
  }
  const after = cycle.connections?.();
  await cycle.end();
  return {
    count: done,
    seconds: (performance.now() - began) / 1000,
    connections: before === undefined || after === undefined
      ? undefined
      : after - before,
    begin,
    half,
    end,
  };
}

if (import.meta.main) {
  const [mode = "", url = "", count = "", seconds = "Infinity"] = Deno.args;
  const make = MODES[mode as keyof typeof MODES];
  const growth = await grow(make(url), Number(count), Number(seconds));
  console.log(JSON.stringify(growth));
}
