import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  ConnectionError,
  createConnection,
  MessagingError,
  Queue,
  TimeoutError,
} from "@dashi/mq";
import { SYSTEM_CLOCK } from "../../../async/clock.ts";
import { parseUrl } from "../../../url/mod.ts";
import { test } from "../../support/amqp.ts";
import { Proxy } from "../../support/proxy.ts";
import { SLACK } from "../../support/slack.ts";
import { unlessItStoodStill } from "../../support/standing_still.ts";

test("consumers and producers go on after their connection was cut", async ({ url }) => {
  await using proxy = Proxy.to(url);
  await using connection = createConnection(proxy.urlOf(url));
  const queue = new Queue(`dashi-cut-${crypto.randomUUID()}`, {
    expires: 60_000,
  });
  const producer = connection.producer<number>({ declare: [queue] });
  const iterator = connection.consumer<number>(queue)[Symbol.asyncIterator]();
  const seen = new Set<number>();
  for (let n = 0; n < 5; n++) {
    const sent = producer.publish(n, { routingKey: queue.name });
    if (n % 2 === 1) proxy.cut();
    await sent;
    while (!seen.has(n)) {
      const { value } = await iterator.next();
      assert(value !== undefined);
      seen.add(value.payload);
      await value.ack().catch(() => {}); // it came by the connection that was cut
    }
  }
  await iterator.return?.();
});

test("five thousand messages through connections that are cut: none confirmed is lost", async ({ url }) => {
  await using sending = Proxy.to(url);
  await using taking = Proxy.to(url);
  const options = { reconnect: { initialDelay: 1, maxDelay: 20 } };
  await using one = createConnection(sending.urlOf(url), options);
  await using two = createConnection(taking.urlOf(url), options);
  const queue = new Queue(`dashi-cuts-${crypto.randomUUID()}`, {
    expires: 60_000,
  });
  const producer = one.producer<number>({ declare: [queue], maxInFlight: 50 });
  const consumer = two.consumer<number>(queue, { prefetch: 20 });
  const seen = new Set<number>();
  const { promise: done, resolve } = Promise.withResolvers<void>();
  const running = consumer.run(({ payload }) => {
    // Once for each message: what is delivered again must not cut again.
    const isNew = !seen.has(payload);
    seen.add(payload);
    if (isNew && seen.size % 400 === 0) taking.cut();
    if (seen.size === 5000) resolve();
  }, { concurrency: 5 });
  let confirmed = 0;
  await Promise.all(Array.from({ length: 5000 }, async (_, i) => {
    await producer.publish(i, { routingKey: queue.name });
    if (++confirmed % 500 === 0) sending.cut();
  }));
  await done;
  assert(sending.accepted > 5 && taking.accepted > 5);
  await consumer.cancel();
  await running;
});

test("a lost connection is what ends its channels, their calls and their consumers", async ({ transport, url }) => {
  await using proxy = Proxy.to(url);
  const connection = await transport.connect(
    parseUrl(proxy.urlOf(url)),
    {
      heartbeat: 0,
      transportOptions: {},
      operationTimeout: 5000,
      owner: "me",
      clock: SYSTEM_CLOCK,
    },
  );
  const channel = await connection.openChannel();
  const queue = {
    name: "",
    durable: false,
    exclusive: true,
    autoDelete: true,
    arguments: {},
  };
  const { name } = await channel.declareQueue(queue);
  const subscription = await channel.consume(name, () => {}, { prefetch: 1 });
  proxy.stall();
  const call = channel.checkQueue(name).catch((error: unknown) => error);
  proxy.cut();
  for (
    const reason of [
      await connection.closed,
      await channel.closed,
      await subscription.ended,
    ]
  ) {
    assert(reason.type === "lost");
    assert(reason.error instanceof ConnectionError, Deno.inspect(reason.error));
    assertEquals(reason.error.code, "connection-lost");
  }
  const error = await call;
  assert(error instanceof ConnectionError, Deno.inspect(error));
  assertEquals([error.code, error.outcome], ["connection-lost", "unknown"]);
  await connection[Symbol.asyncDispose]();
});

test("a publish waits for a broker that is away, and rejects at its deadline with its outcome", async ({ url }) => {
  await using proxy = Proxy.to(url);
  await using connection = createConnection(proxy.urlOf(url));
  const queue = new Queue(`dashi-away-${crypto.randomUUID()}`, {
    expires: 60_000,
  });
  const producer = connection.producer({ declare: [queue] });
  await producer.publish(1, { routingKey: queue.name });
  proxy.refuse();
  const began = performance.now();
  const error = await assertRejects(
    () => producer.publish(2, { routingKey: queue.name, timeout: 300 }),
    MessagingError,
  );
  assert(performance.now() - began < 300 + SLACK);
  assert(error.outcome !== undefined, Deno.inspect(error));
  const sent = producer.publish(3, { routingKey: queue.name });
  proxy.heal();
  await sent;
});

test("a black hole is noticed within two heartbeats and a second", async ({ url }) => {
  await using proxy = Proxy.to(url);
  await using connection = createConnection(proxy.urlOf(url), {
    heartbeat: 1000,
    reconnect: false,
  });
  const queue = new Queue(`dashi-hole-${crypto.randomUUID()}`, {
    exclusive: true,
  });
  await connection.declare(queue);
  const events = connection.events()[Symbol.asyncIterator]();
  const first = events.next();
  const began = performance.now();
  proxy.stall();
  for (let result = await first; result.value?.type !== "lost";) {
    result = await events.next();
  }
  assert(performance.now() - began < 3000 + SLACK);
  await events.return?.();
});

test("a black hole is noticed while publishing too", async ({ url }) => {
  await using proxy = Proxy.to(url);
  await using connection = createConnection(proxy.urlOf(url), {
    heartbeat: 1000,
    reconnect: false,
  });
  const queue = new Queue(`dashi-hole-${crypto.randomUUID()}`, {
    exclusive: true,
  });
  const producer = connection.producer({ declare: [queue] });
  await producer.publish(0, { routingKey: queue.name });
  const began = performance.now();
  proxy.stall();
  const waiting: Promise<unknown>[] = [];
  const timer = setInterval(() => {
    waiting.push(
      producer.publish(1, { routingKey: queue.name }).catch((error) => error),
    );
  }, 20);
  const first = producer.publish(1, { routingKey: queue.name });
  const error = await assertRejects(() => first, ConnectionError);
  assert(performance.now() - began < 3000 + SLACK);
  assertEquals([error.code, error.outcome], ["connection-lost", "unknown"]);
  clearInterval(timer);
  assert(waiting.length > 10);
  for (const each of await Promise.all(waiting)) {
    assert(each instanceof MessagingError, Deno.inspect(each));
  }
});

test("heartbeats keep an idle publisher, and a consumer that only takes", async ({ url }) => {
  await unlessItStoodStill(1000, async () => {
    const options = { heartbeat: 1000, reconnect: false } as const;
    await using sending = createConnection(url);
    await using idle = createConnection(url, options);
    await using taking = createConnection(url, options);
    const queue = new Queue(`dashi-beats-${crypto.randomUUID()}`, {
      expires: 60_000,
    });
    await Promise.all([idle.connect(), taking.connect()]);
    const iterator = taking.consumer(queue, { autoAck: true })
      [Symbol.asyncIterator]();
    const producer = sending.producer({ declare: [queue] });
    await sending.declare(queue);
    // The broker sends all the time, and so no heartbeat that would be answered.
    const end = performance.now() + 4500;
    while (performance.now() < end) {
      const next = iterator.next();
      next.catch(() => {});
      await producer.publish(1, { routingKey: queue.name });
      assertEquals((await next).value?.payload, 1);
    }
    await iterator.return?.();
    assertEquals([idle.connected, taking.connected], [true, true]);
    await idle.producer().publish(1, { routingKey: queue.name });
  });
});

test("a publish into a black hole rejects at its deadline, and may have been sent", async ({ url }) => {
  await using proxy = Proxy.to(url);
  await using connection = createConnection(proxy.urlOf(url), {
    operationTimeout: 1000,
    reconnect: false,
  });
  const queue = new Queue(`dashi-hole-${crypto.randomUUID()}`, {
    exclusive: true,
  });
  const producer = connection.producer({ declare: [queue] });
  await producer.publish(1, { routingKey: queue.name, timeout: 30_000 });
  proxy.stall();
  const began = performance.now();
  const error = await assertRejects(
    () => producer.publish(2, { routingKey: queue.name, timeout: 200 }),
    TimeoutError,
  );
  assertEquals(error.outcome, "unknown");
  assert(performance.now() - began < 200 + SLACK);
  const closing = performance.now();
  await connection.close();
  assert(performance.now() - closing < 1000 + SLACK);
});

test("frames that come in pieces are put together", async ({ url }) => {
  await using proxy = Proxy.to(url);
  proxy.split(7);
  await using connection = createConnection(proxy.urlOf(url));
  const queue = new Queue("", { exclusive: true });
  const status = await connection.declare(queue);
  const body = Uint8Array.from({ length: 3000 }, (_, i) => i);
  await connection.producer().publish(body, { routingKey: status.name ?? "" });
  for await (const message of connection.consumer(queue)) {
    assertEquals(message.payload, body);
    await message.ack();
    break;
  }
});
