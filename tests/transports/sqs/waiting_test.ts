/** Waiting, fanout and rejected messages on SQS. */

import { assert, assertEquals } from "@std/assert";
import { Exchange, type Message, Queue } from "@dashi/mq";
import { take } from "../../conformance/stage.ts";
import type { AwsRelay } from "../../support/aws_relay.ts";
import { QUICK, remove, test, unique } from "../../support/sqs.ts";

test("fanout goes between connections by a topic, each queue once", async ({ open, relay }) => {
  const [one, two] = [open(), open()];
  const exchange = new Exchange(unique(".events"), { type: "fanout" });
  const queues = [
    new Queue(unique(), { exchange, routingKey: "a" }),
    new Queue(unique(), {
      bindings: [{ exchange, routingKey: "b", arguments: {} }, {
        exchange,
        routingKey: "c",
        arguments: {},
      }],
    }),
  ];
  await two.declare(queues);
  const producer = one.producer<number>({ exchange, declare: [exchange] });
  await Promise.all(
    Array.from({ length: 25 }, (_, i) => producer.publish(i)),
  );
  for (const queue of queues) {
    const seen: number[] = [];
    const consumer = two.consumer<number>(queue);
    for await (const message of consumer) {
      assertEquals(message.deliveryInfo.exchange, exchange.name);
      seen.push(message.payload);
      void message.ack();
      if (seen.length === 25) break;
    }
    assertEquals(seen, Array.from({ length: 25 }, (_, i) => i));
    await consumer[Symbol.asyncDispose]();
  }
  assertEquals(relay.of("PublishBatch").length, 3);
  const body = relay.first("CreateTopic");
  assertEquals(body.Name, exchange.name.replace(".", "-"));
  // Unbound, a queue hears no more.
  const channel = await two.channel();
  const [first, second] = queues;
  assert(first !== undefined && second !== undefined);
  await channel.unbind({
    source: exchange.name,
    destination: { kind: "queue", name: first.name },
    routingKey: "a",
    arguments: {},
  });
  await producer.publish(26);
  assertEquals((await channel.checkQueue(first.name)).messageCount, 0);
  assertEquals((await channel.checkQueue(second.name)).messageCount, 1);
  await channel.deleteExchange(exchange.name);
  assertEquals(relay.of("DeleteTopic").length, 1);
  await remove(first.name, second.name);
});

test("a topic that somebody deletes is declared again, with its bindings", async ({ open }) => {
  const [one, two] = [open(), open()];
  const exchange = new Exchange(unique(), { type: "fanout" });
  const queue = new Queue(unique(), { exchange });
  const producer = one.producer<number>({ exchange, declare: [queue] });
  await producer.publish(1);
  await two.declare(exchange);
  const channel = await two.channel();
  await channel.deleteExchange(exchange.name);
  await producer.publish(2);
  await producer.publish(3);
  const messages = await take(one.consumer<number>(queue), 3);
  assertEquals(messages.map(({ payload }) => payload).sort(), [1, 2, 3]);
  await one.channel().then((each) => each.deleteExchange(exchange.name));
  await remove(queue.name);
});

test("without fanout by SNS, fanout exchanges are the connection's own", async ({ open, relay }) => {
  const connection = open({}, `${QUICK}&fanout=queue`);
  const exchange = new Exchange(unique(), { type: "fanout" });
  const queues = [
    new Queue(unique(), { exchange }),
    new Queue(unique(), { exchange }),
  ];
  const producer = connection.producer({ exchange, declare: queues });
  await producer.publish("x");
  const statuses = await connection.declare(queues);
  assertEquals(statuses.map(({ messageCount }) => messageCount), [1, 1]);
  assert(connection.capabilities.has("exchange-to-exchange"));
  assertEquals(relay.actions, [
    "CreateQueue",
    "GetQueueAttributes",
    "GetQueueUrl",
    "ListQueues",
    "SendMessageBatch",
  ]);
  await remove(...queues.map(({ name }) => name));
});

test("an idle consumer waits in one receive of 20 seconds, for no more than it may hold", async ({ open, relay }) => {
  const connection = open({}, "?get_wait_time_seconds=0");
  const queue = new Queue(unique());
  await connection.declare(queue);
  const consumer = connection.consumer(queue, { prefetch: 4 });
  const release = Promise.withResolvers<void>();
  const running = consumer.run(() => release.promise, { concurrency: 6 });
  await relay.until("ReceiveMessage", 1);
  const body = relay.first("ReceiveMessage");
  assertEquals(
    [body.WaitTimeSeconds, body.MaxNumberOfMessages, body.VisibilityTimeout],
    [20, 4, 60],
  );
  await connection.producer().publish("x", { routingKey: queue.name });
  await relay.until("ReceiveMessage", 2);
  assertEquals(relay.of("ReceiveMessage")[1]?.body.MaxNumberOfMessages, 3);
  release.resolve();
  await relay.until("DeleteMessageBatch", 1);
  await remove(queue.name); // which ends the receive
  await consumer.cancel();
  await running;
});

/** How many entries each batch of an action had. */
function sizesOf(relay: AwsRelay, action: string): readonly number[] {
  return relay.of(action).map(({ body: { Entries } }) =>
    Array.isArray(Entries) ? Entries.length : 0
  );
}

test("messages are received, deleted and given back by tens, and given back in sight at once", async ({ open, relay }) => {
  const connection = open();
  const queue = new Queue(unique());
  const producer = connection.producer<number>({ declare: [queue] });
  await Promise.all(
    Array.from({ length: 30 }, (_, i) => {
      return producer.publish(i, { routingKey: queue.name });
    }),
  );
  const consumer = connection.consumer<number>(queue, { prefetch: 30 });
  const iterator = consumer[Symbol.asyncIterator]();
  const messages: Message<number>[] = [];
  const readAtOnce = async () => {
    messages.length = 0;
    const all = Array.from({ length: 30 }, () => iterator.next());
    for (const { value } of await Promise.all(all)) {
      if (value !== undefined) messages.push(value);
    }
  };
  await readAtOnce();
  assertEquals(
    relay.of("ReceiveMessage").slice(0, 3).map(({ body }) =>
      body.MaxNumberOfMessages
    ),
    [10, 10, 10],
  );
  await Promise.all(messages.map((message) => message.requeue()));
  assertEquals(sizesOf(relay, "ChangeMessageVisibilityBatch"), [10, 10, 10]);
  const given = relay.of("ChangeMessageVisibilityBatch");
  assert(
    given.every(({ body: { Entries } }) =>
      Array.isArray(Entries) &&
      Entries.every((each) => each.VisibilityTimeout === 0)
    ),
  );
  await readAtOnce();
  assert(messages.every(({ deliveryInfo }) => deliveryInfo.redelivered));
  await Promise.all(messages.map((message) => message.ack()));
  assertEquals(sizesOf(relay, "DeleteMessageBatch"), [10, 10, 10]);
  await iterator.return?.();
  await remove(queue.name);
});

test("rejected messages are left to a queue's own redrive policy", async ({ open, relay }) => {
  const dead = new Queue(unique());
  const queue = new Queue(unique());
  const connection = open({
    transportOptions: {
      visibilityTimeout: 1000,
      queueAttributes: {
        RedrivePolicy: JSON.stringify({
          deadLetterTargetArn:
            `arn:aws:sqs:us-east-1:000000000000:${dead.name}`,
          maxReceiveCount: 2,
        }),
      },
    },
  });
  await open().declare(dead);
  const producer = connection.producer({ declare: [queue] });
  await producer.publish("bad", { routingKey: queue.name });
  let calls = 0;
  const consumer = connection.consumer(queue);
  const running = consumer.run(() => {
    calls++;
    throw new Error("bad luck");
  }, { retry: false });
  const [message] = await take(open().consumer(dead), 1);
  assertEquals(message?.payload, "bad");
  assertEquals(calls, 2);
  // Asked once; and nothing is deleted.
  assertEquals(
    relay.of("GetQueueAttributes").filter(({ body }) =>
      JSON.stringify(body).includes("RedrivePolicy")
    ).length,
    1,
  );
  assertEquals(relay.of("DeleteMessageBatch"), []);
  await consumer.cancel();
  await running;
  await remove(queue.name, dead.name);
});

test("rejected messages of a queue without a redrive policy are deleted", async ({ open, relay }) => {
  const connection = open();
  const queue = new Queue(unique());
  const producer = connection.producer({ declare: [queue] });
  await producer.publish("bad", { routingKey: queue.name });
  const [message] = await take(connection.consumer(queue), 1);
  await message?.reject();
  assertEquals(relay.of("DeleteMessageBatch").length, 1);
  await remove(queue.name);
});
