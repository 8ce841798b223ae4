import { setTimeout as pause } from "node:timers/promises";
import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  type Connection,
  createConnection,
  MessagingError,
  Queue,
  SettlementError,
} from "@dashi/mq";
import { Ledger, noted } from "../chaos/ledger.ts";
import { assertNothingLeft, resources } from "../support/leaks.ts";
import { Proxy } from "../support/proxy.ts";
import { onEach, type Target } from "../support/targets.ts";
import { SLACK } from "../support/slack.ts";

/** So much a broker that is there takes at most to be found again, ms. */
const PATIENCE = 40_000;

interface Scene {
  readonly proxy: Proxy;
  /** Goes through the proxy. */
  readonly connection: Connection;
  /** Goes past it. */
  readonly direct: Connection;
  readonly queue: Queue;
  readonly holds: Target["holds"];
}

/** Registers a test on each broker; several runs of one go at the same time. */
function onProxy(
  name: string,
  ...runs: readonly ((scene: Scene) => Promise<void>)[]
): void {
  onEach(name, async (url, target) => {
    const before = resources();
    await Promise.all(runs.map((run) => onStage(url, target, run)));
    await assertNothingLeft(before);
  });
}

async function onStage(
  url: string,
  { holds }: Target,
  run: (scene: Scene) => Promise<void>,
): Promise<void> {
  const proxy = Proxy.to(url);
  const connection = createConnection(proxy.urlOf(url), {
    heartbeat: 2000,
    operationTimeout: 10_000,
    connectTimeout: 4000,
    reconnect: { initialDelay: 50, maxDelay: 500 },
  });
  const direct = createConnection(url);
  const queue = new Queue(`dashi-recovery-${crypto.randomUUID()}`);
  try {
    await direct.declare(queue);
    await run({ proxy, connection, direct, queue, holds });
  } finally {
    await connection.close({ drainTimeout: 2000 });
    const channel = await direct.channel();
    await channel.deleteQueue(queue.name);
    await direct.close();
    await proxy[Symbol.asyncDispose]();
  }
}

/** The outages that an idle consumer meets; each leaves the broker within reach. */
const OUTAGES: Readonly<
  Record<string, (scene: Scene) => void | Promise<void>>
> = {
  "one cut": ({ proxy }) => proxy.cut(),
  "an outage of a second": async ({ proxy }) => {
    proxy.refuse();
    await pause(1000);
    proxy.heal();
  },
  "a broker that hangs up for a second": async ({ proxy }) => {
    proxy.hangUp();
    await pause(1000);
    proxy.heal();
  },
  "a black hole of three heartbeats": async ({ proxy }) => {
    proxy.stall();
    await pause(6000);
    proxy.heal();
  },
  "three cuts in half a second": async ({ proxy }) => {
    for (let i = 0; i < 3; i++) {
      proxy.cut();
      await pause(150);
    }
  },
  "a cut while it connects again": async ({ proxy }) => {
    proxy.stall();
    proxy.cut();
    await pause(500);
    proxy.heal();
  },
};

onProxy(
  `a consumer that idles gets all of a hundred messages after ${
    Object.keys(OUTAGES).join(", ")
  } (row 1)`,
  ...Object.entries(OUTAGES).map(([outage, happen]) => async (scene: Scene) => {
    const { connection, direct, queue } = scene;
    const consumer = connection.consumer<number>(queue);
    const all = Promise.withResolvers<void>();
    const first = Promise.withResolvers<void>();
    const ledger = new Ledger();
    const running = consumer.run(({ payload }) => {
      ledger.deliver(payload);
      if (ledger.delivered === 1) first.resolve();
      if (ledger.delivered === 101) all.resolve();
    });
    const producer = direct.producer<number>();
    const publish = async (n: number) => {
      ledger.send(n);
      await producer.publish(n, { routingKey: queue.name });
      ledger.confirm(n);
    };
    await publish(-1);
    await inTime(first.promise, () => `nothing came before ${outage}`);
    await happen(scene);
    await Promise.all(Array.from({ length: 100 }, (_, i) => publish(i)));
    await inTime(
      all.promise,
      () =>
        `after ${outage} ${ledger.delivered} of 101 came; ${
          Deno.inspect([consumer.health(), connection.state])
        }`,
    );
    assert(consumer.health().healthy);
    await consumer.cancel();
    await running;
    const { lost, unexpected } = noted(ledger.tally());
    assertEquals([lost, unexpected], [0, 0]);
  }),
);

onProxy(
  "a publish on a connection that has fallen silent arrives by another, whichever it is (row 2)",
  async (scene) => {
    const { proxy, connection, queue } = scene;
    const producer = connection.producer();
    const options = { routingKey: queue.name };
    await producer.publish(1, options);
    // As a router does that forgot them: new ones are well.
    const sockets = proxy.accepted;
    for (let i = 1; i <= sockets; i++) proxy.stallOne(i);
    await producer.publish(2, options);
    await Promise.all(
      Array.from({ length: sockets + 2 }, (_, i) => withoutOne(scene, i + 1)),
    );
  },
);

/** Of a client's sockets one is silent, and the others are well. */
async function withoutOne(scene: Scene, number: number): Promise<void> {
  const url = scene.direct.asUri({ includePassword: true });
  await using proxy = Proxy.to(url);
  await using connection = createConnection(proxy.urlOf(url), {
    heartbeat: 2000,
    operationTimeout: 10_000,
  });
  const producer = connection.producer();
  const options = { routingKey: scene.queue.name };
  await Promise.all([1, 2, 3].map((each) => producer.publish(each, options)));
  proxy.stallOne(number);
  await producer.publish(4, options);
  proxy.heal();
}

onProxy(
  "close() returns at once where the connection is cut meanwhile (row 7)",
  async ({ proxy, connection, queue, holds }) => {
    await connection.producer().publish(1, { routingKey: queue.name });
    const iterator = connection.consumer(queue)[Symbol.asyncIterator]();
    const { value: message } = await iterator.next();
    const began = performance.now();
    const closing = connection.close();
    await pause(1);
    proxy.cut();
    // There the cut need not take the message from us, and close() waits for what is ours.
    if (holds === "nothing") await message?.ack().catch(assertLoss);
    await closing;
    const took = performance.now() - began;
    assert(took < SLACK, `it took ${took} ms`);
  },
);

onEach(
  "a broker that lets everybody in and hangs up at once is not dialled as fast as it answers (row 1)",
  async (url) => {
    await using proxy = Proxy.to(url);
    await using connection = createConnection(proxy.urlOf(url));
    const queue = new Queue(`dashi-recovery-${crypto.randomUUID()}`, {
      autoDelete: true,
      durable: false,
    });
    const iterator = connection.consumer(queue)[Symbol.asyncIterator]();
    const next = iterator.next();
    await connection.connect();
    const sockets = proxy.accepted; // that one dial takes
    const watching = (async () => {
      for await (const event of connection.events()) {
        if (event.type === "state" && event.state.type === "open") proxy.cut();
      }
    })();
    proxy.cut();
    await pause(3000);
    await connection.close();
    await Promise.all([watching, next.catch(() => {})]);
    // Two at once, then ever slower, and once a second in the end.
    const dials = proxy.accepted / sockets;
    assert(dials > 1 && dials < 15, `${dials} dials`);
  },
  ["connection"],
);

onProxy(
  "a message of a lost connection is settled, or is no longer ours, says so, and comes again (rows 5 and 13)",
  async ({ proxy, connection, direct, queue }) => {
    await direct.producer().publish("x", { routingKey: queue.name });
    const iterator = connection.consumer(queue, { prefetch: 1 })
      [Symbol.asyncIterator]();
    const { value: stale } = await iterator.next();
    assert(stale !== undefined);
    const lost = new Promise<void>((resolve) =>
      stale.signal.addEventListener("abort", () => resolve(), { once: true })
    );
    proxy.cut();
    for (let i = 0; i < 60 && !stale.signal.aborted; i++) await pause(50);
    if (stale.signal.aborted) await lost;
    if (!stale.signal.aborted) {
      // A message that is leased to the process, and not to a connection, is still ours.
      await stale.ack();
      await assertRejects(() => stale.ack(), SettlementError);
      await iterator.return?.();
      const status = await direct.declare(queue);
      return assertEquals(status.messageCount, 0);
    }
    for (
      const settle of [
        () => stale.ack(),
        () => stale.ack({ multiple: true }),
        () => stale.reject(),
        () => stale.requeue(),
      ]
    ) {
      const error = await assertRejects(settle, SettlementError);
      assertEquals(error.code, "lease-lost");
    }
    const { value: again } = await inTime(
      iterator.next(),
      () => "it did not come again",
    );
    assertEquals(again?.payload, "x");
    await assertRejects(() => stale.ack(), SettlementError);
    await again?.ack();
    await assertRejects(
      () => again?.ack() ?? Promise.resolve(),
      SettlementError,
    );
    await direct.producer().publish("y", { routingKey: queue.name });
    const { value: next } = await inTime(
      iterator.next(),
      () => "the channel did not live on",
    );
    assertEquals(next?.payload, "y");
    await next?.ack();
    await iterator.return?.();
  },
);

onProxy(
  "state, events and health tell of a loss, with listeners or without (row 35)",
  async ({ proxy, connection, direct, queue }) => {
    assertEquals(connection.state.type, "idle");
    const consumer = connection.consumer(queue);
    assertEquals(consumer.health().healthy, false);
    const iterator = consumer[Symbol.asyncIterator]();
    const next = later(iterator.next());
    await direct.producer().publish("x", { routingKey: queue.name });
    await (await next).value?.ack();
    assert(consumer.health().healthy);
    assertEquals(connection.state.type, "open");
    const waiting = later(iterator.next());
    const types: string[] = [];
    const heard = (async () => {
      for await (const event of connection.events()) {
        if (event.type === "event-loop-blocked") continue;
        types.push(event.type === "state" ? event.state.type : event.type);
        if (event.type === "state" && event.state.type === "open") return;
      }
    })();
    const silenceBefore = consumer.health().silence ?? 0;
    proxy.stall();
    const began = performance.now();
    await inTime(
      until(() => !consumer.health().healthy),
      () => "health stayed green",
    );
    // Two heartbeats of two seconds, or two polls.
    const took = performance.now() - began + silenceBefore;
    assert(took < 12_000 + SLACK, `it took ${took} ms`);
    // While it lasts: that it is over tells by itself of what was, where a socket was cut.
    await inTime(until(() => types.length > 0), () => "no loss was told");
    const toldAfter = performance.now() - began;
    // Two heartbeats and a second (row 19).
    assert(toldAfter < 5000 + SLACK, `it was told after ${toldAfter} ms`);
    assert(connection.state.type !== "open", connection.state.type);
    proxy.heal();
    await direct.producer().publish("y", { routingKey: queue.name });
    const { value } = await inTime(waiting, () => "nothing came after it");
    await value?.ack();
    await inTime(until(() => consumer.health().healthy), () => "it stayed red");
    await inTime(heard, () => `it told ${types}`);
    assertEquals(types[0], "lost");
    assertEquals(types.at(-1), "open");
    assertEquals(connection.state.type, "open");
    await iterator.return?.();
  },
);

onProxy(
  "a connection that is idle for five heartbeats stays open, and so does a handler of five (row 19)",
  async ({ connection: slow, queue }) => {
    const connection = slow.clone({ heartbeat: 1000 });
    const lost: unknown[] = [];
    const watching = (async () => {
      for await (const event of connection.events()) {
        if (event.type !== "lost") continue;
        // A machine that stands still for that long is another matter.
        const { message } = event.error;
        if (!message.includes("event loop of this process")) lost.push(message);
      }
    })();
    const producer = connection.producer();
    await producer.publish(1, { routingKey: queue.name });
    const consumer = connection.consumer(queue);
    const done = Promise.withResolvers<void>();
    const running = consumer.run(async () => {
      await pause(5000);
      done.resolve();
    });
    await done.promise;
    await consumer.close();
    await running;
    await producer.publish(2, { routingKey: queue.name });
    await connection.close();
    await watching;
    assertEquals(lost, []);
  },
);

function assertLoss(error: unknown): void {
  assert(error instanceof MessagingError, String(error));
  assert(["lease-lost", "connection-lost"].includes(error.code), error.code);
}

async function inTime<T>(promise: Promise<T>, why: () => string): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(why())), PATIENCE);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Marks a promise that is awaited later as handled: if the test fails before, it fails with that alone. */
function later<T>(call: Promise<T>): Promise<T> {
  call.catch(() => {});
  return call;
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await pause(20);
}

onProxy(
  "an exclusive consumer goes on after each lost connection (rows 1, 3)",
  async ({ proxy, connection, direct, queue }) => {
    const consumer = connection.consumer<number>(queue.name, {
      exclusive: true,
    });
    const producer = direct.producer<number>();
    const messages = consumer[Symbol.asyncIterator]();
    for (let i = 0; i < 5; i++) {
      await producer.publish(i, { routingKey: queue.name });
      const { value } = await messages.next();
      await value?.ack();
      proxy.cut();
    }
    await messages.return?.();
  },
);
