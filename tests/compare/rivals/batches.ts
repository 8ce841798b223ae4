import {
  CreateQueueCommand,
  SendMessageBatchCommand,
  SQSClient,
} from "npm:@aws-sdk/client-sqs@3.1169.0";
import { Consumer } from "npm:sqs-consumer@15.0.3";

const sqs = new SQSClient({ useQueueUrlAsEndpoint: false });
const create = new CreateQueueCommand({ QueueName: "rows-of-a-rival" });
const { QueueUrl: queueUrl = "" } = await sqs.send(create);
await sqs.send(
  new SendMessageBatchCommand({
    QueueUrl: queueUrl,
    Entries: [1, 2, 3, 4, 5].map((row) => ({
      Id: `${row}`,
      MessageBody: `${row}`,
    })),
  }),
);

const calls = new Map<number, number>();
const done = Promise.withResolvers<void>();
const consumer = Consumer.create({
  sqs,
  queueUrl,
  batchSize: 10,
  visibilityTimeout: 1,
  handleMessageBatch: async (messages) => {
    const acked = messages.filter(({ Body }) => {
      const row = Number(Body);
      const call = (calls.get(row) ?? 0) + 1;
      calls.set(row, call);
      return row !== 3 || call > 1;
    });
    if (calls.size === 5 && calls.get(3) === 2) consumer.stop();
    return acked;
  },
});
consumer.on("stopped", done.resolve);
consumer.start();
await done.promise;
for (const [row, times] of [...calls].sort()) console.log(row, times);
