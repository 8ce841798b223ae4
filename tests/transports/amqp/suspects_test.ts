import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  AccessRefusedError,
  createConnection,
  MessagingError,
  Queue,
} from "@dashi/mq";
import { test } from "../../support/amqp.ts";

const queueOf = () =>
  new Queue(`dashi-suspects-${crypto.randomUUID()}`, {
    expires: 60_000,
  });

/** The errors for which RabbitMQ ends a channel, with the words of its code: some name whose fault it is, some do not. */
const CULPRITS = [
  [{ headers: { CC: "no list" } }, "precondition-failed"],
  [{ userId: "somebody else" }, "precondition-failed"],
  [{ exchange: "amq.rabbitmq.trace" }, "access-refused"],
] as const;

test("of hundreds in flight only those reject that the broker refuses, each with its own error", async ({ url }) => {
  await using connection = createConnection(url);
  const lost: string[] = [];
  const events = connection.events();
  const watching = (async () => {
    for await (const { type } of events) if (type === "lost") lost.push(type);
  })();
  const queue = queueOf();
  const producer = connection.producer<number>({ declare: [queue] });
  await producer.publish(-1, { routingKey: queue.name });
  const refused: string[] = [];
  const expected: string[] = [];
  const publishing: Promise<void>[] = [];
  for (let i = 0; i < 300; i++) {
    publishing.push(producer.publish(i, { routingKey: queue.name }));
    const [options, code] = CULPRITS[i / 10 % 7] ?? [];
    if (i % 10 !== 0 || options === undefined || code === undefined) continue;
    expected.push(code);
    publishing.push(
      producer.publish(1000 + i, { routingKey: queue.name, ...options }).then(
        () => void refused.push("accepted"),
        (error) => {
          assert(error instanceof MessagingError, error);
          refused.push(error.code);
        },
      ),
    );
  }
  await Promise.all(publishing);
  assertEquals(refused.toSorted(), expected.toSorted());
  const seen = new Set<number>();
  for await (const message of connection.consumer<number>(queue)) {
    assert(message.payload < 1000, `${message.payload} was refused`);
    seen.add(message.payload);
    void message.ack();
    if (seen.size === 301) break;
  }
  assertEquals(lost, []);
  await connection.close();
  await watching;
});

test("a body that was refused once harms nobody when it is published again", async ({ url }) => {
  await using connection = createConnection(url);
  const queue = queueOf();
  const producer = connection.producer<number>({ declare: [queue] });
  const forbidden = () =>
    assertRejects(
      () => producer.publish(0, { exchange: "amq.rabbitmq.trace" }),
      AccessRefusedError,
    );
  await producer.publish(-1, { routingKey: queue.name });
  await forbidden();
  const publishing: Promise<unknown>[] = [];
  for (let i = 0; i < 500; i++) {
    publishing.push(producer.publish(i, { routingKey: queue.name }));
    if (i % 50 === 25) publishing.push(forbidden());
  }
  await Promise.all(publishing);
  // A message that shares a channel with a culprit is published twice.
  const status = await connection.declare(queue);
  assertEquals(status.messageCount, 501);
});
