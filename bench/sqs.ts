/** Send, and receive with delete, on SQS, beside the raw SDK in batches of ten. */

import {
  DeleteMessageBatchCommand,
  DeleteQueueCommand,
  GetQueueUrlCommand,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  SQSClient,
} from "@aws-sdk/client-sqs";
import { createConnection, Queue } from "@dashi/mq";
import { compare, rate } from "./measure.ts";
import { publishRate } from "./publish.ts";

const PREFETCH = 200;
const BATCH = 10;

/** Compares both at a URL. */
export async function benchSqs(url: string): Promise<void> {
  const name = `dashi-bench-${crypto.randomUUID()}`;
  const { host, username, password } = new URL(url.replace(/^\w+:/, "http:"));
  const raw = new SQSClient({
    region: "us-east-1",
    endpoint: `http://${host}`,
    credentials: { accessKeyId: username, secretAccessKey: password },
  });
  await using connection = createConnection(url, {
    transportOptions: { waitTime: 1000, getWaitTime: 0 },
  });
  const queue = new Queue(name);
  await connection.declare(queue);
  const producer = connection.producer();
  const { QueueUrl } = await raw.send(
    new GetQueueUrlCommand({ QueueName: name }),
  );
  const purge = async () => {
    await (await connection.channel()).purgeQueue(name);
  };

  const rawSend = async (count: number, size: number) => {
    const body = "a".repeat(size);
    const began = performance.now();
    for (let i = 0; i < count; i += BATCH) {
      await raw.send(
        new SendMessageBatchCommand({
          QueueUrl,
          Entries: Array.from({ length: BATCH }, (_, id) => ({
            Id: String(id),
            MessageBody: body,
          })),
        }),
      );
    }
    return rate(count, began);
  };
  const ourSend = (count: number) =>
    publishRate(producer, count, { routingKey: name, headers: { n: "x" } });
  const rawTake = async (count: number) => {
    const began = performance.now();
    for (let seen = 0; seen < count;) {
      const { Messages = [] } = await raw.send(
        new ReceiveMessageCommand({
          QueueUrl,
          MaxNumberOfMessages: BATCH,
          WaitTimeSeconds: 1,
          MessageSystemAttributeNames: ["ApproximateReceiveCount"],
        }),
      );
      if (Messages.length === 0) continue;
      seen += Messages.length;
      await raw.send(
        new DeleteMessageBatchCommand({
          QueueUrl,
          Entries: Messages.map(({ ReceiptHandle }, id) => ({
            Id: String(id),
            ReceiptHandle,
          })),
        }),
      );
    }
    return rate(count, began);
  };
  const ourRun = async (count: number) => {
    const consumer = connection.consumer(queue, { prefetch: PREFETCH });
    let seen = 0;
    let result = 0;
    const began = performance.now();
    await consumer.run((message) => {
      if (message.body.length === 0) throw new Error("empty");
      if (++seen === count) {
        result = rate(count, began);
        void consumer.cancel();
      }
    }, { concurrency: PREFETCH });
    return result;
  };
  const ourLoop = async (count: number) => {
    const consumer = connection.consumer(queue, { prefetch: PREFETCH });
    let seen = 0;
    let result = 0;
    const began = performance.now();
    for await (const message of consumer) {
      const acked = message.ack();
      if (++seen < count) continue;
      await acked;
      // Before it ends: a receive that nobody wants any more is waited for.
      result = rate(count, began);
      break;
    }
    await consumer[Symbol.asyncDispose]();
    return result;
  };
  const filled =
    (run: (count: number) => Promise<number>) => async (count: number) => {
      await purge();
      await ourSend(count);
      return await run(count);
    };
  const emptied =
    (run: (count: number) => Promise<number>) => async (count: number) => {
      const result = await run(count);
      await purge();
      return result;
    };
  const options = { count: 5000, rounds: 7 };
  // In base64 twice 1 KiB is 2.4 KiB on its way.
  await compare("SQS: send 1 KiB", [
    {
      name: "AWS SDK, as large as ours",
      run: emptied((count) => rawSend(count, 2420)),
    },
    { name: "AWS SDK, 1 KiB", run: emptied((count) => rawSend(count, 1024)) },
    { name: "dashi", run: emptied(ourSend) },
  ], options);
  await compare("SQS: receive and delete 1 KiB", [
    { name: "AWS SDK", run: filled(rawTake) },
    { name: "dashi, run()", run: filled(ourRun) },
    { name: "dashi, for await", run: filled(ourLoop) },
  ], options);
  await raw.send(new DeleteQueueCommand({ QueueUrl }));
  raw.destroy();
}
