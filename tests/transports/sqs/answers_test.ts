/** Answers of SQS that are not as one would think: the time, part of a batch, nothing at once. */

import { createHash } from "node:crypto";
import { assert, assertEquals } from "@std/assert";
import { Exchange, Queue } from "@dashi/mq";
import { take } from "../../conformance/stage.ts";
import { refusal } from "../../support/aws_relay.ts";
import {
  asksInPeace,
  queueUrlOf,
  remove,
  test,
  unique,
} from "../../support/sqs.ts";

for (const skew of [600_000, -7_200_000]) {
  test(`a clock that is ${-skew / 60_000} minutes wrong costs each client one refused request`, async ({ open, relay }) => {
    const refused: string[] = [];
    const connect = (options: Parameters<typeof open>[0]) => {
      relay.requests.length = 0;
      return open({ reconnect: false, ...options });
    };
    const heard: string[] = [];
    relay.intercept = ({ action }) => {
      heard.push(action);
      return undefined;
    };
    relay.skew = skew;
    const connection = connect({});
    const exchange = new Exchange(unique(), { type: "fanout" });
    const queue = new Queue(unique(), { exchange });
    const producer = connection.producer<number>({
      exchange,
      declare: [queue],
    });
    await producer.publish(1);
    const [message] = await take(connection.consumer<number>(queue), 1);
    assertEquals(message?.payload, 1);
    // The first of SQS; SNS's client has been told.
    for (const { action } of relay.requests) refused.push(action);
    for (const action of heard) refused.splice(refused.indexOf(action), 1);
    assertEquals(refused, ["ListQueues"]);
    // A client of its own for a queue of its own.
    heard.length = 0;
    const [one, two] = [unique(), unique()];
    await connection.declare([new Queue(one), new Queue(two)]);
    const [url1, url2] = [await queueUrlOf(one), await queueUrlOf(two)];
    heard.length = 0;
    const credentials = { accessKeyId: "other", secretAccessKey: "secret" };
    const other = connect({
      transportOptions: {
        predefinedQueues: { [one]: url1, [two]: { url: url2, credentials } },
      },
    });
    for (const routingKey of [one, two]) {
      await other.producer().publish(1, { routingKey });
    }
    assertEquals(relay.requests.length - heard.length, 2);
    const channel = await connection.channel();
    await channel.deleteExchange(exchange.name);
    for (const name of [queue.name, one, two]) await channel.deleteQueue(name);
  });
}

test("a clock that goes wrong while connected is corrected", async ({ open, relay }) => {
  const connection = open({ reconnect: false });
  const queue = new Queue(unique());
  const producer = connection.producer<number>({ declare: [queue] });
  await producer.publish(1, { routingKey: queue.name });
  relay.skew = 600_000;
  await producer.publish(2, { routingKey: queue.name });
  relay.skew = -600_000;
  await producer.publish(3, { routingKey: queue.name });
  relay.skew = 0;
  await remove(queue.name);
});

test("a wrong key is told as that, though the clock is wrong, too", async ({ open, relay }) => {
  relay.skew = 600_000;
  relay.intercept = () => refusal(403, "InvalidClientTokenId");
  const error = await open().connect().catch((error) => error);
  assertEquals([error.name, error.retryable], ["AuthenticationError", false]);
  assert(relay.requests.length <= 3);
});

for (
  const [what, ids] of [
    ["names another message", ["77"]],
    ["names no message", [undefined]],
    ["names a message twice, and another not", ["1", "1"]],
    ["names one of two", ["1"]],
  ] as const
) {
  test(`a message that is not named as taken is not confirmed: the answer ${what}`, async ({ open, relay }) => {
    const connection = open({ reconnect: false });
    const queue = new Queue(unique());
    await connection.declare(queue);
    relay.intercept = ({ action, body }) => {
      if (action !== "SendMessageBatch") return undefined;
      const { Entries } = body as {
        readonly Entries: readonly { Id: string; MessageBody: string }[];
      };
      const Successful = ids.map((Id) => ({
        ...(Id === undefined ? {} : { Id }),
        MessageId: "m",
        MD5OfMessageBody: createHash("md5").update(
          Entries.find((each) => each.Id === Id)?.MessageBody ?? "",
        ).digest("hex"),
      }));
      return Response.json({ Successful }, {
        headers: { "content-type": "application/x-amz-json-1.0" },
      });
    };
    const producer = connection.producer();
    const send = () => producer.publish(1, { routingKey: queue.name });
    const [first, second] = await Promise.allSettled([send(), send()]);
    assert(first.status === "rejected");
    assertEquals(
      [first.reason.code, first.reason.retryable, first.reason.outcome],
      ["publish-refused", true, "unknown"],
    );
    assertEquals(
      second.status,
      ids.some((id) => id === "1") ? "fulfilled" : "rejected",
    );
    await remove(queue.name);
  });
}

for (
  const code of [
    "RequestThrottled",
    "ThrottlingException",
    "OverLimit",
    "AWS.SimpleQueueService.OverLimit",
    "KmsThrottled",
    "KMS.ThrottlingException",
    "PriorRequestNotComplete",
  ]
) {
  test(`an ack that SQS has not taken for a passing reason says so, and is taken later: ${code}`, async ({ open, relay }) => {
    const connection = open();
    const queue = new Queue(unique());
    const producer = connection.producer<number>({ declare: [queue] });
    await producer.publish(1, { routingKey: queue.name });
    const iterator = connection.consumer<number>(queue)[Symbol.asyncIterator]();
    const { value } = await iterator.next();
    relay.intercept = ({ action }) =>
      action === "DeleteMessageBatch"
        ? Response.json({
          Failed: [{ Id: "0", Code: code, SenderFault: true }],
          Successful: [],
        }, { headers: { "content-type": "application/x-amz-json-1.0" } })
        : undefined;
    const error = await value?.ack().catch((error) => error);
    assertEquals([error.code, error.retryable], ["channel-closed", true]);
    relay.intercept = () => undefined;
    await iterator.return?.();
    await remove(queue.name);
  });
}

test("a server that does not wait before it says that there is nothing is not asked as fast as it answers", (stage) =>
  asksInPeace(
    stage,
    () =>
      Response.json({}, {
        headers: { "content-type": "application/x-amz-json-1.0" },
      }),
    "?wait_time_seconds=10&get_wait_time_seconds=0",
  ));
