/** Exchanges whose types are of RabbitMQ's plugins. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  createConnection,
  Exchange,
  type ExchangeType,
  Queue,
  UnsupportedError,
} from "@dashi/mq";
import { CLIENTS, test, urlFor } from "../../support/amqp.ts";
import { FakeAmqp } from "../../support/fake_amqp.ts";

const COUNT = 200;

/** Two queues behind an exchange of a type. */
function behind(type: ExchangeType) {
  const id = crypto.randomUUID();
  const exchange = new Exchange(`dashi-plugin-${id}`, {
    type,
    autoDelete: true,
  });
  const queues = ["a", "b"].map((name) =>
    new Queue(`dashi-plugin-${id}-${name}`, {
      exchange,
      routingKey: "1", // a weight, where it means anything
      expires: 60_000,
    })
  );
  return { exchange, queues };
}

for (const type of ["x-consistent-hash", "x-random"] as const) {
  test(`an exchange of type ${type} puts each message into one of its queues`, async ({ url }) => {
    await using connection = createConnection(url);
    const { exchange, queues } = behind(type);
    const producer = connection.producer<number>({ exchange, declare: queues });
    await Promise.all(
      Array.from(
        { length: COUNT },
        (_, n) =>
          producer.publish(n, { routingKey: `key-${n}`, mandatory: true }),
      ),
    );
    const statuses = await connection.declare(queues);
    const counts = statuses.map(({ messageCount }) => messageCount);
    assertEquals(counts.reduce((sum, count) => sum + count), COUNT);
    assert(counts.every((count) => count > 0), `${counts}`);
    for (const { name } of queues) await connection.queue(name).delete();
  });
}

test("messages of one key are in one queue behind x-consistent-hash", async ({ url }) => {
  await using connection = createConnection(url);
  const { exchange, queues } = behind("x-consistent-hash");
  const producer = connection.producer<number>({ exchange, declare: queues });
  for (let n = 0; n < 20; n++) {
    await producer.publish(n, { routingKey: "one key" });
  }
  const statuses = await connection.declare(queues);
  const counts = statuses.map(({ messageCount }) => messageCount);
  assertEquals(counts.sort((a, b) => a - b), [0, 20]);
  for (const { name } of queues) await connection.queue(name).delete();
});

test("a type whose plugin is not there names the plugin, at once, and the connection works again", async ({ url }) => {
  await using connection = createConnection(url, { onUnhandled: () => {} });
  const exchange = new Exchange(`dashi-plugin-${crypto.randomUUID()}`, {
    type: "x-recent-history",
  });
  const error = await assertRejects(
    () => connection.declare(exchange),
    UnsupportedError,
    'of type "x-recent-history": the broker has no such type; enable its plugin by "rabbitmq-plugins enable rabbitmq_recent_history_exchange"',
  );
  assertEquals(error.retryable, false);
  assertEquals(error.replyCode, "command-invalid");
  const queue = new Queue(`dashi-plugin-${crypto.randomUUID()}`, {
    exclusive: true,
  });
  assertEquals((await connection.declare(queue)).messageCount, 0);
});

for (const client of CLIENTS) {
  Deno.test(`${client.name}: an exchange of type x-delayed-message is declared with what it delays`, async () => {
    const declared: string[] = [];
    using broker = new FakeAmqp(({ method, text }) => {
      if (method === "40.10") declared.push(text);
    });
    const url = urlFor(client, `amqp://guest:guest@127.0.0.1:${broker.port}//`);
    await using connection = createConnection(url);
    await connection.declare(
      new Exchange("later", {
        type: "x-delayed-message",
        arguments: { "x-delayed-type": "topic" },
      }),
    );
    const [text = ""] = declared;
    assertEquals(declared.length, 1);
    // Names and types are short strings; the argument is a long one.
    assert(text.includes("\x05later\x11x-delayed-message"), text);
    assert(text.includes("\x0ex-delayed-typeS\0\0\0\x05topic"), text);
  });
}
