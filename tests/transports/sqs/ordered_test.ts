/** Keys on SQS: the groups of FIFO queues, and of queues that are fair. */

import { assertEquals, assertRejects } from "@std/assert";
import { Queue, UnsupportedError } from "@dashi/mq";
import { remove, test, unique } from "../../support/sqs.ts";
import type { AwsRelay } from "../../support/aws_relay.ts";

function groups(relay: AwsRelay): unknown[] {
  return relay.of("SendMessageBatch").flatMap(({ body: { Entries } }) =>
    Array.isArray(Entries) ? Entries.map((each) => each.MessageGroupId) : []
  );
}

const ENCODED = "%E2%82%AC".repeat(15);

test("a key is a message's group, encoded where SQS does not allow it", async ({ open, relay }) => {
  const connection = open();
  const queue = new Queue(unique(".fifo"), { ordered: true });
  const producer = connection.producer<string>({ queue });
  const keys = ["user-7", "a b", "ü", "€".repeat(42), "x".repeat(128)];
  for (const key of keys) await producer.publish("x", { key });
  const headers = { MessageGroupId: "header" };
  await producer.publish("x", { headers });
  await producer.publish("x", { headers, key: "key" });
  await producer.publish("x");
  const [, , , long] = groups(relay);
  assertEquals(groups(relay), [
    "user-7",
    "a%20b",
    "%C3%BC",
    long,
    "x".repeat(128),
    "header",
    "key",
    "default",
  ]);
  assertEquals(String(long).length, 128);
  assertEquals(String(long).startsWith(ENCODED.slice(0, 119)), true);
  assertEquals(/-[0-9a-f]{8}$/.test(String(long)), true);
  const seen: unknown[] = [];
  const consumer = connection.consumer<string>(queue);
  await consumer.run(({ key }) => {
    if (seen.push(key) === 8) void consumer.cancel();
  });
  const all = [...keys, "key", undefined, undefined];
  assertEquals(new Set(seen), new Set<unknown>(all));
  await connection.close();
  await remove(queue.name);
});

test("a key goes along to a queue that keeps no order, as its group for fair turns", async ({ open, relay }) => {
  const connection = open();
  const queue = new Queue<string>(unique());
  await connection.send(queue, "x", { key: "tenant-1" });
  await connection.send(queue, "y");
  assertEquals(groups(relay), ["tenant-1", undefined]);
  await connection.close();
  await remove(queue.name);
});

test("a service that has groups in FIFO queues alone takes a key, too: without a group, and is not asked again", async ({ open, relay }) => {
  const connection = open();
  const [queue, fifo] = [new Queue(unique()), new Queue(unique(".fifo"))];
  relay.intercept = ({ action, body: { Entries, QueueUrl } }) => {
    if (action !== "SendMessageBatch" || !Array.isArray(Entries)) return;
    if (String(QueueUrl).endsWith(".fifo")) return;
    const refused = Entries.filter((each) => "MessageGroupId" in each);
    return refused.length === 0 ? undefined : Response.json({
      Successful: [],
      Failed: refused.map(({ Id }) => ({
        Id,
        Code: "InvalidParameterValue",
        Message:
          "The request includes parameter MessageGroupId that is not valid for this queue type",
        SenderFault: true,
      })),
    }, { headers: { "content-type": "application/x-amz-json-1.0" } });
  };
  for (const each of [queue, queue, fifo]) {
    await connection.send(each, "x", { key: "tenant-1" });
  }
  await connection.send(queue, "x", { headers: { MessageGroupId: "a" } });
  const sent = ["tenant-1", undefined, undefined, "tenant-1", undefined];
  assertEquals(groups(relay), sent);
  const handle = connection.queue(queue);
  for (const key of ["tenant-1", "tenant-1", undefined]) {
    const message = await handle.get();
    assertEquals(message?.key, key);
    await message?.ack();
  }
  await connection.close();
  await remove(queue.name, fifo.name);
});

test("an ordered queue whose name is not of a FIFO queue is refused, and the error names one", async ({ open }) => {
  const name = unique();
  const error = await assertRejects(
    () => open().declare(new Queue(name, { ordered: true })),
    UnsupportedError,
  );
  assertEquals(error.message.includes(`name it "${name}.fifo"`), true);
});
