import { assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { findRabbitmq, startRabbitmq } from "../brokers/rabbitmq.ts";
import { CLIENTS, urlFor } from "../support/amqp.ts";

const isInstalled = findRabbitmq() !== undefined;

Deno.test({
  name:
    `amqp, amqp_client: a broker that asks for no heartbeats, and sets no limit to frames${
      isInstalled ? "" : " (RabbitMQ is not installed)"
    }`,
  ignore: !isInstalled,
  fn: async (context) => {
    const broker = await startRabbitmq({
      config: "heartbeat = 0\nframe_max = 0",
    });
    try {
      for (const client of CLIENTS) {
        await context.step(client.name, async () => {
          await using connection = createConnection(
            urlFor(client, broker.url),
            { heartbeat: 1000, reconnect: false },
          );
          const queue = new Queue("", { exclusive: true });
          const [status] = await connection.declare(queue);
          const producer = connection.producer();
          const bodies = [0, 131_063, 131_064, 131_065, 3_000_000].map((size) =>
            new Uint8Array(size).fill(206)
          );
          const sent = Promise.all(
            bodies.map((body) =>
              producer.publish(body, { routingKey: status?.name ?? "" })
            ),
          );
          let seen = 0;
          for await (const message of connection.consumer(queue)) {
            assertEquals(message.payload, bodies[seen]);
            void message.ack();
            if (++seen === bodies.length) break;
          }
          await sent;
          // Twice two heartbeats: the broker sends those that we asked for.
          await new Promise((resolve) => setTimeout(resolve, 4000));
          assertEquals(connection.connected, true);
        });
      }
    } finally {
      await broker.stop();
    }
  },
});

Deno.test({
  name:
    `amqp, amqp_client: a broker that asks for heartbeats more often than we do, of a consumer that only takes${
      isInstalled ? "" : " (RabbitMQ is not installed)"
    }`,
  ignore: !isInstalled,
  fn: async () => {
    const broker = await startRabbitmq({ config: "heartbeat = 1" });
    try {
      await Promise.all(CLIENTS.map(async (client) => {
        const url = urlFor(client, broker.url);
        await using sending = createConnection(url);
        await using taking = createConnection(url, { reconnect: false });
        const queue = new Queue(`taken by ${client.name}`);
        const producer = sending.producer({ declare: [queue] });
        await sending.declare(queue);
        const iterator = taking.consumer(queue, { autoAck: true })
          [Symbol.asyncIterator]();
        // Longer than our own heartbeats would do.
        const end = performance.now() + 7000;
        while (performance.now() < end) {
          const next = iterator.next();
          await producer.publish(1, { routingKey: queue.name });
          assertEquals((await next).value?.payload, 1);
        }
        await iterator.return?.();
        assertEquals(taking.connected, true);
      }));
    } finally {
      await broker.stop();
    }
  },
});
