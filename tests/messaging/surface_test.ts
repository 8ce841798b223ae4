/** The public properties of connections, channels, consumers and policies, on memory. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { createConnection, Queue, TimeoutError } from "@dashi/mq";
import { mayWait } from "../../messaging/consume/handler_retry.ts";
import { createTransport } from "../../transports/memory/mod.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("a connection is shown by its URL, without its password, and knows what its broker can do", async () => {
  await using connection = createConnection("memory://user:secret@surface/v");
  await connection.connect();
  const shown = connection.asUri();
  assert(!shown.includes("secret"), shown);
  assert(shown.startsWith("memory://user:"), shown);
  assertEquals(String(connection), shown);
  assertEquals(
    JSON.stringify({ connection }),
    JSON.stringify({ connection: shown }),
  );
  assert(!Deno.inspect(connection).includes("secret"));
  assert(connection.capabilities.has("delay"));
  assert(!connection.capabilities.has("persistence"));
});

Deno.test("a channel of a connection passes on what it is asked, and what it is told", async () => {
  await using connection = createConnection("memory://own-channel");
  const channel = await connection.channel();
  const queue = {
    name: "q",
    durable: true,
    exclusive: false,
    autoDelete: false,
    arguments: {},
  };
  const exchange = {
    name: "x",
    type: "direct",
    durable: true,
    autoDelete: false,
    internal: false,
    arguments: {},
  } as const;
  const binding = {
    source: "x",
    destination: { kind: "queue", name: "q" },
    routingKey: "k",
    arguments: {},
  } as const;
  assertEquals((await channel.declareQueue(queue)).name, "q");
  await channel.declareExchange(exchange);
  await channel.checkExchange("x");
  await channel.bind(binding);
  const publish = (text: string) =>
    channel.publish({
      exchange: "x",
      routingKey: "k",
      mandatory: true,
      delay: 0,
      properties: {},
      body: bytes(text),
    });
  assertEquals((await publish("a")).type, "accepted");
  await publish("b");
  await publish("c");
  const { messageCount, consumerCount } = await channel.checkQueue("q");
  assertEquals([messageCount, consumerCount], [3, 0]);
  const a = await channel.get("q");
  assert(a !== undefined);
  await channel.reject(a.deliveryTag, { requeue: true });
  const again = await channel.get("q");
  assert(again?.redelivered);
  await channel.ack(again.deliveryTag);
  const got: string[] = [];
  const next = Promise.withResolvers<void>();
  const subscription = await channel.consume("q", (delivery) => {
    got.push(new TextDecoder().decode(delivery.body));
    next.resolve();
  }, { prefetch: 1 });
  await next.promise;
  assertEquals(got, ["b"]);
  await subscription[Symbol.asyncDispose]();
  assertEquals(await channel.purgeQueue("q"), 1);
  await channel.unbind(binding);
  assertEquals((await publish("d")).type, "returned");
  assertEquals(await channel.deleteQueue("q"), 0);
  await channel.deleteExchange("x");
  await assertRejects(() => channel.checkExchange("x"));
});

Deno.test("run() works on one message at a time where nothing else is said", async () => {
  await using connection = createConnection("memory://one-by-one");
  const queue = new Queue("q");
  const producer = connection.producer({ declare: [queue] });
  for (let i = 0; i < 3; i++) await producer.publish(i, { routingKey: "q" });
  let [active, most, count] = [0, 0, 0];
  const done = Promise.withResolvers<void>();
  const running = connection.consumer(queue).run(async () => {
    most = Math.max(most, ++active);
    await new Promise((resolve) => setTimeout(resolve, 1));
    active--;
    if (++count === 3) done.resolve();
  });
  await done.promise;
  await connection.close();
  await running;
  assertEquals(most, 1);
});

Deno.test("health() tells whether a consumer consumes, and what it holds", async () => {
  await using connection = createConnection("memory://health");
  const queue = new Queue("q");
  const consumer = connection.consumer(queue);
  const before = consumer.health();
  assertEquals([before.healthy, before.silence], [false, undefined]);
  await connection.producer({ declare: [queue] }).publish(1, {
    routingKey: "q",
  });
  const iterator = consumer[Symbol.asyncIterator]();
  const { value } = await iterator.next();
  const { healthy, silence, inFlight, lastError } = consumer.health();
  assertEquals([healthy, inFlight, lastError], [true, 1, undefined]);
  assert(silence !== undefined && silence >= 0);
  await value?.ack();
  assertEquals(consumer.health().inFlight, 0);
  await iterator.return?.();
  assertEquals(consumer.health().healthy, false);
});

Deno.test("a policy needs delays only where it waits", () => {
  for (
    const [attempts, backoff, waits] of [
      [1, 1000, false],
      [1, undefined, false],
      [2, 0, false],
      [2, 1, true],
      [2, undefined, true],
      [2, () => 0, true],
    ] as const
  ) {
    const policy = backoff === undefined ? { attempts } : { attempts, backoff };
    assertEquals(mayWait(policy), waits, Deno.inspect(policy));
  }
});

Deno.test("a codec that is not loaded yet is loaded for a consumer that accepts it", async () => {
  await using connection = createConnection("memory://lazy");
  const queue = new Queue("q");
  const producer = connection.producer({ declare: [queue] });
  await producer.publish("a: [1, 2]\n", {
    routingKey: "q",
    contentType: "application/x-yaml",
  });
  for await (
    const message of connection.consumer(queue, { accept: ["yaml"] })
  ) {
    assertEquals(message.payload, { a: [1, 2] });
    await message.ack();
    break;
  }
});

Deno.test("a publish whose channel does not open in time was not sent, and says so", async () => {
  const memory = createTransport();
  const transport = {
    ...memory,
    async connect(...args: Parameters<typeof memory.connect>) {
      const connection = await memory.connect(...args);
      connection.openChannel = () => new Promise<never>(() => {});
      return connection;
    },
  };
  const connection = createConnection("memory://no-channel", { transport });
  const error = await assertRejects(
    () => connection.producer().publish(1, { routingKey: "q", timeout: 20 }),
    TimeoutError,
  );
  assertEquals(error.outcome, "not-sent");
  await connection.close({ drainTimeout: 10 });
});
