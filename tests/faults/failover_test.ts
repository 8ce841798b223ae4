import { assert, assertEquals } from "@std/assert";
import {
  type Connection,
  createConnection,
  MessagingError,
  Queue,
} from "@dashi/mq";
import { until } from "../conformance/support.ts";
import { assertNothingLeft, resources } from "../support/leaks.ts";
import { Proxy } from "../support/proxy.ts";
import { onEach } from "../support/targets.ts";

const CONNECT_TIMEOUT = 8000;
/** The time that a busy machine takes, ms. */
const NOISE = 4000;

/** Two ways to one broker. */
interface Scene {
  readonly connection: Connection;
  readonly queue: Queue;
  readonly a: Proxy;
  readonly b: Proxy;
  publish(timeout?: number): Promise<void>;
}

function onTwo(
  name: string,
  run: (scene: Scene) => Promise<void>,
  needs?: Parameters<typeof onEach>[2],
): void {
  onEach(`${name} (row 15)`, async (url) => {
    const before = resources();
    const [a, b] = [Proxy.to(url), Proxy.to(url)];
    const connection = createConnection([a.urlOf(url), b.urlOf(url)], {
      connectTimeout: CONNECT_TIMEOUT,
      heartbeat: 2000,
    });
    const queue = new Queue(`dashi-failover-${crypto.randomUUID()}`);
    const producer = connection.producer({ declare: [queue] });
    try {
      await run({
        connection,
        queue,
        a,
        b,
        publish: (timeout) =>
          producer.publish(1, { routingKey: queue.name, timeout }),
      });
    } finally {
      await connection.close({ drainTimeout: 2000 });
      for (const each of [a, b]) await each[Symbol.asyncDispose]();
      const direct = createConnection(url);
      const channel = await direct.channel();
      await channel.deleteQueue(queue.name);
      await direct.close();
    }
    await assertNothingLeft(before);
  }, needs);
}

async function inTime(call: Promise<unknown>): Promise<void> {
  const began = performance.now();
  await call;
  const took = performance.now() - began;
  assert(took < CONNECT_TIMEOUT + NOISE, `it took ${took} ms`);
}

/** Marks a promise that is awaited later as handled: if the test fails before, it fails with that alone. */
function later<T>(call: Promise<T>): Promise<T> {
  call.catch(() => {});
  return call;
}

onTwo(
  "the first broker is away from the start, and the second is used",
  async ({ a, publish }) => {
    a.refuse();
    await inTime(publish());
  },
);

onTwo(
  "the first broker is a black hole from the start, and the second is used",
  async ({ a, publish }) => {
    a.stall();
    await inTime(publish());
  },
);

onTwo(
  "the first broker dies while idle, and the second is used",
  async ({ a, b, publish }) => {
    await publish();
    assertEquals(b.accepted, 0);
    a.refuse();
    await inTime(publish());
    assert(b.accepted > 0);
  },
);

onTwo(
  "the first broker dies in the middle of a publish, and the second gets it",
  async ({ a, publish }) => {
    await publish();
    a.stall();
    const publishing = later(publish());
    a.refuse();
    await inTime(publishing);
  },
);

onTwo(
  "the first broker becomes a black hole, and the second is used",
  async ({ a, publish }) => {
    await publish();
    a.stall();
    // Two heartbeats, and a dial that is not answered.
    await publish();
  },
);

onTwo(
  "the first broker becomes a black hole, and the second is used though no publish waits for long",
  async ({ a, publish }) => {
    await publish();
    a.stall();
    const began = performance.now();
    for (;;) {
      try {
        await publish(300);
        break;
      } catch (error) {
        if (!(error instanceof MessagingError)) throw error;
      }
      const took = performance.now() - began;
      assert(took < 15_000, `it took ${took} ms`);
    }
  },
);

onTwo(
  "a consumer that idles goes on at the second",
  async ({ connection, queue, a, publish }) => {
    const iterator = connection.consumer(queue)[Symbol.asyncIterator]();
    const first = later(iterator.next());
    await publish();
    await (await first).value?.ack();
    const second = later(iterator.next());
    a.refuse();
    await inTime(publish());
    await (await second).value?.ack();
    await iterator.return?.();
  },
);

onTwo(
  "a dead broker is dialled once a second at most",
  async ({ connection, a, b, publish }) => {
    a.hangUp();
    const began = performance.now();
    await publish();
    const sockets = b.accepted; // that one dial takes
    for (let i = 0; i < 8; i++) {
      const lost = nextLoss(connection);
      b.cut();
      // A driver that keeps a pool dials again by itself, and tells of no loss.
      await noLongerThan(300, lost);
      await publish();
    }
    const seconds = (performance.now() - began) / 1000;
    const dials = a.accepted / sockets;
    assert(dials <= seconds + 1, `${dials} dials in ${seconds} s`);
  },
  ["connection"],
);

onTwo(
  "both are dead for a while, and neither is dialled more than once a second",
  async ({ connection, a, b, publish }) => {
    await publish();
    const sockets = a.accepted; // that one dial takes
    const lost = nextLoss(connection);
    a.hangUp();
    b.hangUp();
    const publishing = later(publish());
    // Until then it is no dial, but what a client that holds no connection sends.
    await lost;
    const began = performance.now();
    const [beforeA, beforeB] = [a.accepted, b.accepted];
    await new Promise((resolve) => setTimeout(resolve, 2500));
    await until(
      () => a.accepted > beforeA && b.accepted > beforeB,
      "a dial of each",
    );
    const seconds = (performance.now() - began) / 1000;
    for (const accepted of [a.accepted - beforeA, b.accepted - beforeB]) {
      const dials = accepted / sockets;
      assert(dials <= seconds + 1, `${dials} dials in ${seconds} s`);
    }
    b.heal();
    await inTime(publishing);
  },
);

onEach("clones and pools keep the list of brokers (row 15)", async (url) => {
  const [a, b] = [Proxy.to(url), Proxy.to(url)];
  a.refuse();
  const urls = [a.urlOf(url), b.urlOf(url)];
  const connection = createConnection(urls);
  const clone = connection.clone();
  await clone.connect();
  await clone.close();
  const pool = connection.pool({ limit: 1 });
  const lent = await pool.acquire();
  await lent.connect();
  assertEquals(lent.info().urls.length, 2);
  await lent.release();
  await pool[Symbol.asyncDispose]();
  for (const each of [a, b]) await each[Symbol.asyncDispose]();
});

async function nextLoss(connection: Connection): Promise<void> {
  for await (const event of connection.events()) {
    if (event.type === "lost") return;
  }
}

async function noLongerThan(
  duration: number,
  promise: Promise<void>,
): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const over = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, duration);
  });
  await Promise.race([promise, over]);
  clearTimeout(timer);
}
