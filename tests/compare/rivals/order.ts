import {
  CreateQueueCommand,
  SendMessageCommand,
  SQSClient,
} from "npm:@aws-sdk/client-sqs@3.1169.0";
import { Consumer } from "npm:sqs-consumer@15.0.3";

const sqs = new SQSClient({ useQueueUrlAsEndpoint: false });
const { QueueUrl: queueUrl = "" } = await sqs.send(
  new CreateQueueCommand({
    QueueName: "events-of-a-rival.fifo",
    Attributes: { FifoQueue: "true" },
  }),
);
for (const n of [1, 2, 3]) {
  for (const key of ["a", "b"]) {
    await sqs.send(
      new SendMessageCommand({
        QueueUrl: queueUrl,
        MessageBody: `${n}`,
        MessageGroupId: key,
        MessageDeduplicationId: `${key}${n}`,
      }),
    );
  }
}

const seen = { a: "", b: "" };
let left = 6;
const done = Promise.withResolvers<void>();
const consumer = Consumer.create({
  sqs,
  queueUrl,
  batchSize: 2,
  suppressFifoWarning: true,
  messageSystemAttributeNames: ["MessageGroupId"],
  handleMessage: async (message) => {
    seen[message.Attributes?.MessageGroupId as "a" | "b"] += message.Body;
    if (--left === 0) consumer.stop();
    return message;
  },
});
consumer.on("stopped", done.resolve);
consumer.start();
await done.promise;
console.log(seen);
