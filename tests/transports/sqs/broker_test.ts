/** The features that only SQS has: FIFO queues, predefined queues, delays, sizes, batches, leases. */

import { createHash } from "node:crypto";
import { assert, assertEquals } from "@std/assert";
import { Exchange, Queue } from "@dashi/mq";
import { take } from "../../conformance/stage.ts";
import { Told } from "../../conformance/tracing_stage.ts";
import { refusal } from "../../support/aws_relay.ts";
import { queueUrlOf, QUICK, remove, test, unique } from "../../support/sqs.ts";

/** An error's code, once a call has failed. */
async function codeOf(call: Promise<unknown>): Promise<unknown> {
  const error: unknown = await call.then(
    () => new Error("it did not fail"),
    (error) => error,
  );
  assert(error instanceof Error);
  return "code" in error ? error.code : error.message;
}

function md5(text: unknown): string {
  return createHash("md5").update(String(text)).digest("hex");
}

test("a FIFO queue keeps the order of each group, after a requeue too", async ({ open, relay }) => {
  const connection = open();
  const queue = new Queue(unique(".fifo"));
  const producer = connection.producer<string>({ declare: [queue] });
  const routingKey = queue.name;
  for (const text of ["a1", "b1", "a2", "b2", "a3"]) {
    const headers = { MessageGroupId: text.slice(0, 1) };
    void producer.publish(text, { routingKey, headers });
  }
  await producer.publish("own", { routingKey });
  const body = relay.first("CreateQueue");
  assertEquals(body.QueueName, queue.name);
  const seen: string[] = [];
  let requeued = false;
  // Else what was fetched beside it comes first, as on any broker.
  const consumer = connection.consumer<string>(queue, { prefetch: 1 });
  for await (const message of consumer) {
    if (message.payload === "a1" && !requeued) {
      requeued = true;
      await message.requeue();
      continue;
    }
    seen.push(message.payload);
    await message.ack();
    if (seen.length === 6) break;
  }
  const of = (group: string) => seen.filter((each) => each.startsWith(group));
  assertEquals(of("a"), ["a1", "a2", "a3"]);
  assertEquals(of("b"), ["b1", "b2"]);
  assertEquals(of("own"), ["own"]);
  await consumer[Symbol.asyncDispose]();
  await remove(queue.name);
});

test("a FIFO queue takes a message id once, and a copy for another attempt all the same", async ({ open }) => {
  const connection = open();
  const queue = new Queue(unique(".fifo"));
  const producer = connection.producer({ declare: [queue] });
  const options = { routingKey: queue.name, messageId: "the-same" };
  await producer.publish("once", options);
  await producer.publish("once", options);
  const status = await connection.declare(queue);
  assertEquals(status.messageCount, 1);
  const attempts: unknown[] = [];
  const consumer = connection.consumer<string>(queue);
  await consumer.run(({ headers }) => {
    attempts.push(headers["x-attempts"]);
    if (attempts.length === 2) void consumer.cancel();
    else throw new Error("again");
  }, { retry: { attempts: 3, backoff: 0 } });
  assertEquals(attempts, [undefined, 2]);
  await remove(queue.name);
});

test("spans name the URL of their queue, that of the first publish to it too", async ({ open }) => {
  const told = await Told.make();
  const connection = open();
  connection.use(await told.middleware());
  const queue = new Queue(unique(""));
  assertEquals(connection.queueUrl(queue.name), undefined);
  await connection.send(queue, 1);
  const message = await connection.queue(queue).get();
  await message?.ack();
  const url = await queueUrlOf(queue.name);
  assertEquals(connection.queueUrl(queue.name), url);
  const spans = await told.golden(3);
  assertEquals(
    spans.map(({ attributes }) => attributes["aws.sqs.queue.url"]),
    [url, url, url],
  );
  await remove(queue.name);
});

test("a delay beyond 15 minutes, or on a FIFO queue, is refused before it is sent", async ({ open, relay }) => {
  const connection = open();
  const [queue, fifo] = [new Queue(unique()), new Queue(unique(".fifo"))];
  const producer = connection.producer({ declare: [queue, fifo] });
  const publish = (routingKey: string, delay: number) =>
    producer.publish("x", { routingKey, delay });
  assertEquals(await codeOf(publish(queue.name, 900_001)), "unsupported");
  assertEquals(await codeOf(publish(fifo.name, 1000)), "unsupported");
  assertEquals(relay.of("SendMessageBatch"), []);
  await publish(queue.name, 900_000);
  await publish(queue.name, 1);
  assertEquals(
    relay.of("SendMessageBatch").map(({ body }) =>
      JSON.stringify(body).match(/"DelaySeconds":\d+/)?.[0]
    ),
    ['"DelaySeconds":900', '"DelaySeconds":1'],
  );
  await remove(queue.name, fifo.name);
});

test("predefined queues need four rights, and know no other queue", async ({ open, relay }) => {
  const [name, other] = [unique(".one"), unique()];
  const setUp = open();
  await setUp.declare(new Queue(name));
  const found = relay.of("CreateQueue").map(({ body }) => body.QueueName);
  assertEquals(found, [name.replace(".", "-")]);
  const queueUrl = await queueUrlOf(String(found[0]));
  await setUp.close();
  relay.requests.length = 0;
  const allowed = new Set([
    "ChangeMessageVisibilityBatch",
    "DeleteMessageBatch",
    "ReceiveMessage",
    "SendMessageBatch",
  ]);
  relay.intercept = ({ action }) =>
    allowed.has(action) ? undefined : refusal(400, "AccessDeniedException");
  const connection = open({
    transportOptions: { predefinedQueues: { [name]: queueUrl } },
  });
  const queue = new Queue(name, { autoDelete: true });
  const status = await connection.declare(queue);
  assertEquals(status.messageCount, 0);
  const producer = connection.producer<number>({ declare: [queue] });
  for (let i = 0; i < 3; i++) await producer.publish(i, { routingKey: name });
  const consumer = connection.consumer<number>(queue);
  const seen: number[] = [];
  for await (const message of consumer) {
    if (!message.deliveryInfo.redelivered) await message.requeue();
    else {
      seen.push(message.payload);
      await message.ack();
      if (seen.length === 3) break;
    }
  }
  await consumer.cancel();
  assertEquals(seen.sort(), [0, 1, 2]);
  const channel = await connection.channel();
  assertEquals(await codeOf(channel.deleteQueue(name)), "access-refused");
  assertEquals(
    await codeOf(connection.declare(new Queue(other))),
    "not-found",
  );
  assertEquals(
    await codeOf(producer.publish(1, { routingKey: other })),
    "message-unroutable",
  );
  // Asked once whether it may count, and not again.
  assertEquals(relay.of("GetQueueAttributes").length, 1);
  assertEquals(relay.actions.filter((each) => !allowed.has(each)), [
    "GetQueueAttributes",
  ]);
  await connection.close();
  relay.intercept = () => undefined;
  await remove(name);
});

test("predefined queues must agree about .fifo with their URLs", async ({ open }) => {
  const connection = open({
    transportOptions: { predefinedQueues: { q: "https://x/1/q.fifo" } },
  });
  assertEquals(await codeOf(connection.connect()), "option-invalid");
});

test("a message of more than 256 KiB is not sent, until the option says that AWS's 1 MiB may be", async ({ open, relay }) => {
  const connection = open();
  const queue = new Queue(unique());
  const producer = connection.producer({ declare: [queue] });
  const routingKey = queue.name;
  const large = new Uint8Array(148_000); // 263,100 and more in base64, twice
  assertEquals(
    await codeOf(producer.publish(large, { routingKey })),
    "message-too-large",
  );
  assertEquals(relay.of("SendMessageBatch"), []);
  await producer.publish(large.subarray(0, 147_000), { routingKey });
  const other = open({}, `${QUICK}&max_message_size=1048576`);
  const generous = other.producer({ declare: [queue] });
  await generous.publish(large, { routingKey });
  await generous.publish(new Uint8Array(589_000), { routingKey });
  assertEquals(
    await codeOf(generous.publish(new Uint8Array(590_000), { routingKey })),
    "message-too-large",
  );
  const sizes = relay.of("SendMessageBatch").map(({ body: { Entries } }) => {
    assert(Array.isArray(Entries));
    return Entries[0].MessageBody.length;
  });
  assertEquals(sizes.map((size) => size > 262_144), [false, true, true]);
  assert(sizes.every((size) => size <= 1_048_576));
  const messages = await take(other.consumer<Uint8Array>(queue), 3);
  assertEquals(
    messages.map(({ payload }) => payload.length).sort((a, b) => a - b),
    [147_000, 148_000, 589_000],
  );
  await remove(queue.name);
});

test("to a topic of SNS it is 256 KiB whatever the option says", async ({ open, relay }) => {
  const connection = open({}, `${QUICK}&max_message_size=1048576`);
  const exchange = new Exchange(unique(), { type: "fanout" });
  const producer = connection.producer({ exchange, declare: [exchange] });
  // Not base64 twice: 4/3 of it.
  assertEquals(
    await codeOf(producer.publish(new Uint8Array(197_000))),
    "message-too-large",
  );
  assertEquals(relay.of("PublishBatch"), []);
  await producer.publish(new Uint8Array(196_000));
  await Promise.all(
    [1, 2, 3, 4].map(() => producer.publish(new Uint8Array(90_000))),
  );
  const sizes = relay.of("PublishBatch").map(({ body }) =>
    Object.keys(body).filter((key) => key.endsWith(".Message")).length
  );
  assertEquals(sizes, [1, 2, 2]);
  await connection.channel().then((each) => each.deleteExchange(exchange.name));
});

test("a message that a queue finds too large is told, and those beside it are sent", async ({ open }) => {
  const connection = open({
    transportOptions: { queueAttributes: { MaximumMessageSize: "1024" } },
  });
  const queue = new Queue(unique());
  const producer = connection.producer({ declare: [queue] });
  const [first, second] = [
    producer.publish(new Uint8Array(2000), { routingKey: queue.name }),
    producer.publish("small", { routingKey: queue.name }),
  ];
  assertEquals(await codeOf(first), "message-too-large");
  await second;
  await remove(queue.name);
});

test("publishes of a turn leave in batches of ten, within the limit of bytes, in order", async ({ open, relay }) => {
  const connection = open({ transportOptions: { maxMessageSize: 20_000 } });
  const queue = new Queue(unique());
  const producer = connection.producer<number | Uint8Array>({
    declare: [queue],
  });
  const routingKey = queue.name;
  await producer.publish(0, { routingKey });
  await Promise.all(
    Array.from({ length: 25 }, (_, i) => producer.publish(i, { routingKey })),
  );
  const sizes = () =>
    relay.of("SendMessageBatch").map(({ body: { Entries } }) =>
      Array.isArray(Entries) ? Entries.length : 0
    );
  assertEquals(sizes(), [1, 10, 10, 5]);
  // Of these only two have room in one batch.
  await Promise.all(
    Array.from(
      { length: 4 },
      () => producer.publish(new Uint8Array(4500), { routingKey }),
    ),
  );
  assertEquals(sizes().slice(4), [2, 2]);
  await remove(queue.name);
});

test("a message of a batch fails alone", async ({ open, relay }) => {
  const connection = open({ reconnect: false });
  const queue = new Queue(unique());
  const producer = connection.producer<number>({ declare: [queue] });
  const routingKey = queue.name;
  await producer.publish(0, { routingKey });
  const failing = (action: string, fault: boolean) => {
    relay.intercept = (request) => {
      if (request.action !== action) return undefined;
      relay.intercept = () => undefined;
      const { Entries } = request.body;
      assert(Array.isArray(Entries));
      return Response.json({
        Successful: Entries.slice(1).map(({ Id, MessageBody }) => ({
          Id,
          MessageId: "m",
          MD5OfMessageBody: md5(MessageBody),
        })),
        Failed: [{
          Id: Entries[0].Id,
          Code: fault ? "InvalidMessageContents" : "InternalError",
          SenderFault: fault,
        }],
      }, { headers: { "content-type": "application/x-amz-json-1.0" } });
    };
  };
  failing("SendMessageBatch", true);
  const sent = await Promise.allSettled(
    [1, 2, 3].map((each) => producer.publish(each, { routingKey })),
  );
  assertEquals(sent.map(({ status }) => status), [
    "rejected",
    "fulfilled",
    "fulfilled",
  ]);
  await producer.publish(4, { routingKey });
  await producer.publish(5, { routingKey });
  const iterator = connection.consumer<number>(queue, { prefetch: 3 })
    [Symbol.asyncIterator]();
  const messages = [
    (await iterator.next()).value,
    (await iterator.next()).value,
    (await iterator.next()).value,
  ];
  // SQS's own fault: that one is deleted again, by itself.
  failing("DeleteMessageBatch", false);
  await Promise.all(messages.map((message) => message?.ack()));
  assertEquals(
    relay.of("DeleteMessageBatch").map(({ body: { Entries } }) =>
      Array.isArray(Entries) ? Entries.length : 0
    ),
    [3, 1],
  );
  await iterator.return?.();
  await remove(queue.name);
});

test("a message is renewed as long as its handler works, and no one else gets it", async ({ open, relay }) => {
  // Renewed each two seconds: it bears a machine that stands still for three.
  const transportOptions = { visibilityTimeout: 6000 };
  const [one, two] = [open({ transportOptions }), open({ transportOptions })];
  const queue = new Queue(unique());
  await one.producer({ declare: [queue] }).publish("x", {
    routingKey: queue.name,
  });
  const consumers = [one.consumer(queue), two.consumer(queue)];
  let handled = 0;
  await Promise.all(consumers.map((consumer) =>
    consumer.run(async () => {
      handled++;
      // Each is a third of the lease: it would have been over.
      await relay.until("ChangeMessageVisibilityBatch", 4);
      for (const each of consumers) void each.cancel();
    })
  ));
  assertEquals(handled, 1);
  const status = await one.declare(queue);
  assertEquals(status.messageCount, 0);
  await remove(queue.name);
});

test("a message whose lease was lost tells its handler, and its ack is refused", async ({ open, relay }) => {
  const connection = open({ transportOptions: { visibilityTimeout: 1000 } });
  const queue = new Queue(unique());
  await connection.producer({ declare: [queue] }).publish("x", {
    routingKey: queue.name,
  });
  relay.intercept = ({ action }) =>
    action === "ChangeMessageVisibilityBatch"
      ? Response.json({
        Successful: [],
        Failed: [{
          Id: "0",
          Code: "MessageNotInflight",
          SenderFault: true,
        }],
      }, { headers: { "content-type": "application/x-amz-json-1.0" } })
      : undefined;
  const iterator = connection.consumer(queue)[Symbol.asyncIterator]();
  const { value: message } = await iterator.next();
  assert(message !== undefined);
  await new Promise((resolve) =>
    message.signal.addEventListener("abort", resolve, { once: true })
  );
  assertEquals(await codeOf(message.ack()), "lease-lost");
  assertEquals(relay.of("DeleteMessageBatch"), []);
  relay.intercept = () => undefined;
  await iterator.return?.();
  await remove(queue.name);
});
