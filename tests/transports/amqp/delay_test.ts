import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  createConnection,
  EncodeError,
  Exchange,
  PublishError,
  Queue,
  UnsupportedError,
} from "@dashi/mq";
import {
  delayed,
  DELIVERY_EXCHANGE,
  MAX_SECONDS,
  restore,
} from "../../../transports/amqp_protocol/delay.ts";
import { delaySteps } from "../../../transports/amqp_protocol/delay_layout.ts";
import type { Binding, Publishing } from "../../../transports/transport.ts";
import { findRabbitmq } from "../../brokers/rabbitmq.ts";
import { until } from "../../conformance/support.ts";
import { CLIENTS, test, urlFor } from "../../support/amqp.ts";
import { amqpPlace } from "../../support/amqp_place.ts";

const TARGET = { kind: "queue", name: "orders" } as const;

function message(delay: number): Publishing {
  return {
    exchange: "media",
    routingKey: "k",
    mandatory: true,
    delay,
    properties: { headers: { h: 1 }, expiration: 7 },
    body: new Uint8Array(),
  };
}

/** Goes the way that RabbitMQ goes, and adds up the waiting. */
function secondsOf({ exchange, properties }: Publishing): number {
  const bindings: Binding[] = [];
  const queues = new Map<string, { readonly ttl: number; next: string }>();
  for (const step of delaySteps()) {
    if (step.type === "binding") bindings.push(step.binding);
    if (step.type !== "queue") continue;
    const { name, arguments: given } = step.queue;
    queues.set(name, {
      ttl: Number(given["x-message-ttl"]),
      next: String(given["x-dead-letter-exchange"]),
    });
  }
  let waited = 0;
  for (let at = exchange; at !== DELIVERY_EXCHANGE;) {
    const matching = bindings.filter(({ source, arguments: wanted }) =>
      source === at &&
      Object.entries(wanted).every(([name, value]) =>
        name === "x-match" || properties.headers?.[name] === value
      )
    );
    assertEquals(matching.length, 1, `one way leads on from ${at}`);
    const [binding] = matching;
    assert(binding !== undefined);
    const { kind, name } = binding.destination;
    const queue = kind === "queue" ? queues.get(name) : undefined;
    waited += queue?.ttl ?? 0;
    at = queue?.next ?? name;
  }
  return waited / 1000;
}

Deno.test("delayed() waits as long as it should at every delay, rounded up to a second", () => {
  for (
    const [delay, seconds] of [
      [0, 0],
      [1, 1],
      [1000, 1],
      [1001, 2],
      [5000, 5],
      [MAX_SECONDS * 1000, MAX_SECONDS],
      ...Array.from({ length: 28 }, (_, i) => [2 ** i * 1000, 2 ** i] as const),
      ...Array.from(
        { length: 50 },
        (_, i) => [(i * 7919 + 13) * 1000, i * 7919 + 13] as const,
      ),
    ] as const
  ) assertEquals(secondsOf(delayed(message(delay), TARGET)), seconds);
});

Deno.test("delayed() refuses what the levels cannot hold", () => {
  assertThrows(
    () => delayed(message(MAX_SECONDS * 1000 + 1), TARGET),
    RangeError,
    String(MAX_SECONDS),
  );
});

Deno.test("restore() gives back what delayed() hid", () => {
  const hidden = delayed(message(5000), TARGET);
  assertEquals([hidden.mandatory, hidden.delay], [false, 0]);
  assertEquals(hidden.properties.expiration, undefined);
  assertEquals(restore(hidden.properties.headers ?? {}), {
    exchange: "media",
    expiration: 7,
    headers: { h: 1 },
  });
  assertEquals(restore({ h: 1 }), undefined);
});

Deno.test("restore() keeps the deaths that are not the waiting's", () => {
  const { headers = {} } = delayed(message(1000), TARGET).properties;
  const waiting = {
    queue: "dashi_delayed_0",
    reason: "expired",
    exchange: "dashi_delayed_0",
  };
  const first = {
    "x-first-death-queue": "dashi_delayed_0",
    "x-first-death-reason": "expired",
    "x-first-death-exchange": "dashi_delayed_0",
  };
  assertEquals(
    restore({ ...headers, ...first, "x-death": [waiting] })?.headers,
    { h: 1 },
  );
  const death = {
    queue: "orders",
    reason: "rejected",
    exchange: "dashi_delayed_0",
  };
  assertEquals(
    restore({ ...headers, ...first, "x-death": [death, waiting] })?.headers,
    {
      h: 1,
      "x-death": [{ ...death, exchange: "media" }],
      "x-first-death-queue": "orders",
      "x-first-death-reason": "rejected",
      "x-first-death-exchange": "media",
    },
  );
});

test("a message that cannot be delayed as it asks is refused, and the error says why", async ({ url }) => {
  await using connection = createConnection(url);
  const queue = new Queue("", { exclusive: true });
  const status = await connection.declare(queue);
  const routingKey = status.name ?? "";
  const producer = connection.producer();
  for (
    const [options, word] of [
      [{ expiration: 5 }, "expiration"],
      [{ headers: { BCC: ["x"] } }, "keys"],
      [{ headers: { CC: ["x"] } }, "keys"],
      [{ exchange: "amq.topic", mandatory: true }, "mandatory"],
    ] as const
  ) {
    await assertRejects(
      () => producer.publish(1, { routingKey, delay: 1, ...options }),
      UnsupportedError,
      word,
    );
  }
  await assertRejects(
    () => producer.publish(1, { routingKey, delay: 2 ** 40 }),
    RangeError,
  );
  await producer.publish(1, { routingKey });
});

test("CC goes with a delayed message to its exchange", async ({ url }) => {
  await using connection = createConnection(url);
  const exchange = new Exchange(`dashi-cc-${crypto.randomUUID()}`, {
    type: "direct",
    durable: false,
    autoDelete: true,
  });
  const queue = new Queue("", {
    exchange,
    routingKey: "copy",
    exclusive: true,
  });
  const producer = connection.producer({ exchange, declare: [queue] });
  await producer.publish(1, {
    routingKey: "k",
    delay: 1,
    headers: { CC: ["copy"] },
  });
  for await (const { deliveryInfo, headers } of connection.consumer(queue)) {
    assertEquals([deliveryInfo.exchange, deliveryInfo.routingKey], [
      exchange.name,
      "k",
    ]);
    assertEquals(headers, { CC: ["copy"] });
    break;
  }
});

test("a delayed message keeps the deaths that it had, and tells of no others", async ({ url }) => {
  await using connection = createConnection(url);
  const dead = new Queue("", { exclusive: true });
  const status = await connection.declare(dead);
  const queue = new Queue(`dashi-deaths-${crypto.randomUUID()}`, {
    exclusive: true,
    arguments: {
      "x-dead-letter-exchange": "",
      "x-dead-letter-routing-key": status.name ?? "",
    },
  });
  const routingKey = queue.name;
  await connection.producer({ declare: [queue] }).publish(1, { routingKey });
  const channel = await connection.channel();
  const first = await channel.get(routingKey);
  assert(first !== undefined);
  await channel.reject(first.deliveryTag, { requeue: false });
  const messages = connection.consumer(dead)[Symbol.asyncIterator]();
  const { value: message } = await messages.next();
  assert(message !== undefined);
  const { headers } = message;
  assertEquals(headers["x-first-death-queue"], routingKey);
  await connection.producer().publish(2, {
    routingKey: status?.name ?? "",
    delay: 1,
    headers,
  });
  await message.ack();
  const { value: later } = await messages.next();
  assertEquals(later?.headers, headers);
  await later?.ack();
  await messages.return?.();
  await channel[Symbol.asyncDispose]();
});

test("a requeue whose copy cannot be published leaves the message unsettled", async ({ url }) => {
  await using connection = createConnection(url);
  const queue = new Queue("", { exclusive: true });
  const status = await connection.declare(queue);
  const routingKey = status.name ?? "";
  const channel = await connection.channel();
  await connection.producer().publish(1, { routingKey });
  await connection.producer().publish(2, { routingKey });
  const first = await channel.get(routingKey);
  const second = await channel.get(routingKey);
  assert(first !== undefined && second !== undefined);
  const failing = channel.reject(first.deliveryTag, {
    requeue: true,
    headers: { beyond: 2n ** 70n },
  });
  await channel.ack(second.deliveryTag, { multiple: true });
  await assertRejects(() => failing, EncodeError);
  await channel.reject(first.deliveryTag, { requeue: true });
  const again = await channel.get(routingKey);
  assertEquals(again?.redelivered, true);
  await channel[Symbol.asyncDispose]();
});

const isInstalled = findRabbitmq() !== undefined;

Deno.test({
  name: `amqp, amqp_client: delays where the test is alone${
    isInstalled ? "" : " (RabbitMQ is not installed)"
  }`,
  ignore: !isInstalled,
  fn: async (context) => {
    await using broker = await amqpPlace();
    await context.step(
      "many connections declare them at once, and a level that was deleted again",
      async () => {
        const connections = Array.from(
          { length: 4 },
          (_, i) =>
            createConnection(
              urlFor(
                CLIENTS[i % CLIENTS.length] ?? { scheme: "amqp" },
                broker.url,
              ),
            ),
        );
        const queue = new Queue("delay-own");
        const publish = (connection: typeof connections[0]) =>
          connection.producer({ declare: [queue] }).publish(1, {
            routingKey: queue.name,
            delay: 1,
          });
        await Promise.all(connections.map(publish));
        const [first] = connections;
        assert(first !== undefined);
        const channel = await first.channel();
        await channel.deleteExchange("dashi_delayed_0");
        await channel.deleteExchange("dashi_delayed");
        await Promise.all(connections.map(publish));
        await channel.unbind({
          source: "dashi_delayed_0",
          destination: { kind: "queue", name: "dashi_delayed_0" },
          routingKey: "",
          arguments: { dashi_delayed_0: true, "x-match": "all" },
        });
        await Promise.all(connections.map(publish));
        await channel.deleteExchange("dashi_delayed");
        await channel.deleteExchange(DELIVERY_EXCHANGE);
        await Promise.all(connections.map(publish));
        for (const each of connections) await each.close();
      },
    );
    for (const client of CLIENTS) {
      await context.step(
        `${client.scheme}: a message that finds no queue when its time has come holds up nothing`,
        async () => {
          const url = urlFor(client, broker.url);
          await using connection = createConnection(url);
          const name = `delay-none-${client.scheme}`;
          const exchange = new Exchange(name, { type: "fanout" });
          const gone = new Queue(`${name}-gone`);
          const there = new Queue(`${name}-there`);
          const toNobody = connection.producer({ exchange });
          const producer = connection.producer<number>({
            declare: [gone, there],
          });
          // A broker has no more than 32 of a queue's dead letters on their way.
          await Promise.all(Array.from({ length: 40 }, async () => {
            await toNobody.publish(0, { delay: 5000 });
            await producer.publish(0, {
              routingKey: gone.name,
              delay: 5000,
            });
          }));
          const channel = await connection.channel();
          await channel.deleteQueue(gone.name);
          await producer.publish(1, { routingKey: there.name, delay: 7000 });
          for await (const message of connection.consumer<number>(there)) {
            assertEquals(message.payload, 1);
            await message.ack();
            break;
          }
          // A queue whose node is down comes back: its messages wait for a minute.
          const count = async (queue: string) =>
            (await channel.checkQueue(queue)).messageCount;
          await until(
            async () => await count("dashi_delayed_missed") > 0,
            "the message without a queue",
          );
          await until(
            async () => await count("dashi_delayed_sink") === 0,
            "the end of what went to an exchange",
          );
          await channel.purgeQueue("dashi_delayed_missed");
          await channel.deleteExchange(name);
          await channel.deleteQueue(there.name);
        },
      );
      await context.step(
        `${client.scheme}: a delay queue that is gone is noticed, and declared again`,
        async () => {
          const url = urlFor(client, broker.url);
          await using connection = createConnection(url);
          await using other = createConnection(url);
          const queue = new Queue(`delay-gone-${client.scheme}`);
          const delays = (delay: number, from = connection) =>
            from.producer<number>({ declare: [queue] }).publish(delay, {
              routingKey: queue.name,
              delay,
            });
          const iterator = connection.consumer<number>(queue)
            [Symbol.asyncIterator]();
          const comes = async (delay: number) => {
            const { value } = await iterator.next();
            assertEquals(value?.payload, delay);
            await value?.ack();
          };
          await delays(1);
          await comes(1);
          const channel = await other.channel();
          await channel.deleteQueue("dashi_delayed_0");
          // The first that it would wait in, and one behind that.
          for (const delay of [2, 2001]) {
            const refused = await assertRejects(() => delays(delay));
            assert(refused instanceof PublishError);
            assertEquals(
              [refused.code, refused.retryable, refused.outcome],
              ["publish-refused", true, "not-sent"],
            );
            await delays(3);
            await comes(3);
            await channel.deleteQueue("dashi_delayed_0");
          }
          // Another connection does not know of it, and declares it.
          await delays(4, other);
          await comes(4);
          await iterator.return?.();
        },
      );
    }
  },
});
