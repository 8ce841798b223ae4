/** Faults between us and SQS. */

import { assert, assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { freePort } from "../../brokers/server.ts";
import { refusal } from "../../support/aws_relay.ts";
import { Proxy } from "../../support/proxy.ts";
import {
  asksInPeace,
  QUICK,
  remove,
  test,
  unique,
  url,
} from "../../support/sqs.ts";
import { SLACK } from "../../support/slack.ts";

for (
  const [what, host, retryable] of [
    ["a port where nobody listens", `127.0.0.1:${freePort()}`, true],
    ["a name that is none", "no-such-host.invalid", true],
  ] as const
) {
  test(`connect() to ${what} is connection-failed`, async () => {
    await using connection = createConnection(`sqs://key:secret@${host}`, {
      reconnect: false,
    });
    const error = await connection.connect().catch((error) => error);
    assertEquals(
      [error.name, error.code, error.retryable, error.outcome],
      ["ConnectionError", "connection-failed", retryable, "not-sent"],
    );
    assert(error.message.includes(host) && !error.message.includes("secret"));
  });
}

test("connect() to a server that is no SQS says so, and does not try again", async ({ open, relay }) => {
  relay.intercept = () =>
    new Response("<html>hello</html>", {
      status: 404,
      headers: { "content-type": "text/html" },
    });
  const error = await open().connect().catch((error) => error);
  assertEquals([error.code, error.retryable], ["connection-failed", false]);
  assert(error.message.includes("not as SQS does"), error.message);
  assertEquals(relay.requests.length, 1);
});

test("connect() to a black hole misses its deadline", async () => {
  await using proxy = Proxy.to(url);
  proxy.stall();
  await using connection = createConnection(proxy.urlOf(url), {
    connectTimeout: 300,
    reconnect: false,
  });
  const began = performance.now();
  const error = await connection.connect().catch((error) => error);
  assert(["connection-failed", "timed-out"].includes(error.code));
  assertEquals(error.outcome, "not-sent");
  assert(performance.now() - began < 300 + SLACK);
});

test("publish() into a black hole misses its deadline, and may have been sent", async () => {
  await using proxy = Proxy.to(url);
  await using connection = createConnection(proxy.urlOf(url), {
    reconnect: false,
  });
  const queue = new Queue(unique());
  const producer = connection.producer({ declare: [queue] });
  await producer.publish(1, { routingKey: queue.name });
  proxy.stall();
  const error = await producer.publish(2, {
    routingKey: queue.name,
    timeout: 200,
  }).catch((error) => error);
  assertEquals([error.code, error.outcome], ["timed-out", "unknown"]);
  proxy.heal();
  await remove(queue.name);
});

test("publish() whose answer breaks off may have been taken, and may be tried again", async () => {
  await using proxy = Proxy.to(url);
  await using connection = createConnection(proxy.urlOf(url), {
    reconnect: false,
  });
  const queue = new Queue(unique());
  await connection.declare(queue);
  proxy.breakOff();
  // So many in one request that the middle of its answer is not among the headers.
  const producer = connection.producer();
  const errors = await Promise.all(Array.from(
    { length: 10 },
    (_, i) =>
      producer.publish(i, { routingKey: queue.name }).catch((error) => error),
  ));
  for (const { code, retryable, outcome } of errors) {
    assertEquals(
      [code, retryable, outcome],
      ["connection-lost", true, "unknown"],
    );
  }
  proxy.heal();
  await using after = createConnection(url);
  const status = await after.declare(queue);
  assert(status.messageCount >= 10);
  await remove(queue.name);
});

for (const status of [200, 400, 404]) {
  test(`publish() whose answer is ${status}, and none of AWS's, may have been taken, and is tried again`, async ({ open, relay }) => {
    const impatient = open({ reconnect: false });
    const queue = new Queue(unique());
    await impatient.declare(queue);
    let pages = 2;
    relay.intercept = ({ action }) =>
      action === "SendMessageBatch" && pages-- > 0
        ? new Response("<html>hello</html>", {
          status,
          headers: { "content-type": "text/html" },
        })
        : undefined;
    const options = { routingKey: queue.name };
    const error = await impatient.producer().publish(1, options)
      .catch((error) => error);
    assertEquals([error.retryable, error.outcome], [true, "unknown"]);
    await open().producer().publish(2, options);
    assertEquals(pages, -1);
    await remove(queue.name);
  });
}

test("a consumer whose receives are refused does not ask as fast as it is refused", (stage) =>
  asksInPeace(stage, () => new Response(null, { status: 400 })));

test("a publish that missed its deadline is not sent again by anybody", async ({ open, relay }) => {
  const connection = open({ reconnect: false });
  const queue = new Queue(unique());
  const producer = connection.producer({ declare: [queue] });
  const routingKey = queue.name;
  // Its socket is used again.
  await producer.publish(1, { routingKey });
  const { promise: never, resolve } = Promise.withResolvers<undefined>();
  relay.intercept = ({ action }) =>
    action === "SendMessageBatch" ? never : undefined;
  const error = await producer.publish(2, { routingKey, timeout: 200 })
    .catch((error) => error);
  assertEquals([error.code, error.outcome], ["timed-out", "unknown"]);
  // The batch it was in has longer; then it is given up, too.
  await connection.close();
  const other = open();
  assertEquals((await other.declare(queue)).messageCount, 1);
  assertEquals(relay.of("SendMessageBatch").length, 2);
  resolve(undefined);
  await remove(queue.name);
});

test("a socket that was closed while nobody used it costs a publish nothing", async ({ open, relay }) => {
  await using proxy = Proxy.to(relay.urlOf());
  const connection = createConnection(proxy.urlOf(relay.urlOf(QUICK)), {
    reconnect: false,
  });
  const queue = new Queue(unique());
  const producer = connection.producer({ declare: [queue] });
  await producer.publish(1, { routingKey: queue.name });
  // The next request finds that out.
  proxy.onSent = () => {
    proxy.onSent = () => {};
    proxy.cut();
  };
  await producer.publish(2, { routingKey: queue.name });
  assertEquals(relay.of("SendMessageBatch").length, 2);
  assertEquals((await open().declare(queue)).messageCount, 2);
  await connection.close();
  await remove(queue.name);
});

test("a black hole under an idle consumer is noticed, and it goes on when that is over", async () => {
  await using proxy = Proxy.to(url);
  await using connection = createConnection(proxy.urlOf(url), {
    heartbeat: 500,
    reconnect: { initialDelay: 20, maxDelay: 100 },
    // The receive that was given up may reach the server yet, and take the message.
    transportOptions: { visibilityTimeout: 1000 },
  });
  const queue = new Queue(unique());
  await connection.declare(queue);
  const iterator = connection.consumer<number>(queue)[Symbol.asyncIterator]();
  const next = iterator.next();
  const events = connection.events()[Symbol.asyncIterator]();
  proxy.stall();
  for (;;) {
    const { value } = await events.next();
    if (value?.type !== "lost") continue;
    assertEquals("code" in value.error && value.error.code, "connection-lost");
    break;
  }
  await events.return?.();
  proxy.heal();
  await connection.producer().publish(7, { routingKey: queue.name });
  const { value } = await next;
  assertEquals(value?.payload, 7);
  await value?.ack();
  await iterator.return?.();
  await remove(queue.name);
});

test("a server that is away for a while holds up publishes and consumers, and loses nothing", async () => {
  await using proxy = Proxy.to(url);
  await using connection = createConnection(proxy.urlOf(url), {
    reconnect: { initialDelay: 20, maxDelay: 100 },
    transportOptions: { visibilityTimeout: 1000 },
  });
  const queue = new Queue(unique());
  const producer = connection.producer<number>({ declare: [queue] });
  await producer.publish(0, { routingKey: queue.name });
  const seen = new Set<number>();
  const consumer = connection.consumer<number>(queue);
  const running = consumer.run(({ payload }) => {
    seen.add(payload);
    if (seen.size === 100) void consumer.cancel();
  }, { concurrency: 10 });
  const events = connection.events()[Symbol.asyncIterator]();
  proxy.refuse();
  const sent = Promise.all(Array.from(
    { length: 99 },
    (_, i) => producer.publish(i + 1, { routingKey: queue.name }),
  ));
  for (;;) {
    const { value } = await events.next();
    if (value?.type === "state" && value.state.type === "waiting") break;
  }
  await events.return?.();
  proxy.heal();
  await sent;
  await running;
  assertEquals(seen.size, 100);
  await remove(queue.name);
});

test("a busy server is asked again", async ({ open, relay }) => {
  const connection = open({ reconnect: false });
  const queue = new Queue(unique());
  const producer = connection.producer({ declare: [queue] });
  await connection.declare(queue);
  let busy = 2;
  relay.intercept = ({ action }) =>
    action === "SendMessageBatch" && busy-- > 0
      ? refusal(503, "ServiceUnavailable")
      : undefined;
  await producer.publish(1, { routingKey: queue.name });
  assertEquals(relay.of("SendMessageBatch").length, 3);
  relay.intercept = ({ action }) =>
    action === "SendMessageBatch"
      ? refusal(400, "RequestThrottled")
      : undefined;
  const error = await producer.publish(1, { routingKey: queue.name })
    .catch((error) => error);
  assertEquals([error.code, error.retryable], ["channel-closed", true]);
  await remove(queue.name);
});

test("a consumer that may not receive ends with access-refused, and asks once", async ({ open, relay }) => {
  const connection = open();
  const queue = new Queue(unique());
  await connection.declare(queue);
  relay.intercept = ({ action }) =>
    action === "ReceiveMessage"
      ? refusal(403, "AccessDeniedException", "you may not")
      : undefined;
  const iterator = connection.consumer(queue)[Symbol.asyncIterator]();
  const error = await iterator.next().catch((error) => error);
  assertEquals(error.code, "access-refused");
  assertEquals(relay.of("ReceiveMessage").length, 1);
  await remove(queue.name);
});

test("a queue that somebody deletes is declared again, by its producer and its consumer", async ({ open }) => {
  const connection = open();
  const queue = new Queue(unique());
  const producer = connection.producer<number>({ declare: [queue] });
  await producer.publish(1, { routingKey: queue.name });
  await remove(queue.name);
  await producer.publish(2, { routingKey: queue.name });
  const iterator = connection.consumer<number>(queue)[Symbol.asyncIterator]();
  const first = await iterator.next();
  assertEquals(first.value?.payload, 2);
  await first.value?.ack();
  const next = iterator.next();
  await remove(queue.name);
  await producer.publish(3, { routingKey: queue.name });
  const second = await next;
  assertEquals(second.value?.payload, 3);
  await second.value?.ack();
  await iterator.return?.();
  await remove(queue.name);
});

for (
  const [server, code, message] of [
    [
      "AWS",
      "InvalidParameterValue",
      "One or more parameters are invalid. Reason: Message must be shorter than 262144 bytes.",
    ],
    [
      "AWS, a batch",
      "BatchRequestTooLong",
      "Batch requests cannot be longer than 262144 bytes.",
    ],
    ["ElasticMQ", "InvalidAttributeValue", "MessageTooLong"],
  ] as const
) {
  test(`a message that ${server} finds too large is told as that`, async ({ open, relay }) => {
    const connection = open();
    const queue = new Queue(unique());
    const producer = connection.producer({ declare: [queue] });
    await connection.declare(queue);
    relay.intercept = ({ action }) =>
      action === "SendMessageBatch" ? refusal(400, code, message) : undefined;
    const error = await producer.publish("x", { routingKey: queue.name })
      .catch((error) => error);
    assertEquals(error.code, "message-too-large");
    await remove(queue.name);
  });
}
