import { assert, assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { findRabbitmq, startRabbitmq } from "../brokers/rabbitmq.ts";
import { CLIENTS, urlFor } from "../support/amqp.ts";
import { Proxy } from "../support/proxy.ts";

const isInstalled = findRabbitmq() !== undefined;

Deno.test({
  name: `amqp, amqp_client: what the broker itself sees and says${
    isInstalled ? "" : " (RabbitMQ is not installed)"
  }`,
  ignore: !isInstalled,
  fn: async (context) => {
    const broker = await startRabbitmq();
    try {
      for (const client of CLIENTS) {
        const url = urlFor(client, broker.url);
        await context.step(
          `${client.name}: it lists the connection by its name, and two channels for ten thousand publishes`,
          async () => {
            await using connection = createConnection(url, {
              name: "dashi test",
            });
            const queue = new Queue("", { exclusive: true });
            const [status] = await connection.declare(queue);
            const producer = connection.producer();
            await Promise.all(
              Array.from(
                { length: 10_000 },
                (_, i) =>
                  producer.publish(i, { routingKey: status?.name ?? "" }),
              ),
            );
            const names = await broker.control(
              "-q",
              "list_connections",
              "client_properties",
            );
            assert(names.includes('"dashi test"'), names);
            const channels = await broker.control(
              "-q",
              "list_channels",
              "number",
              "--no-table-headers",
            );
            assertEquals(channels.trim().split("\n").length, 2);
          },
        );
        await context.step(
          `${client.name}: it blocks publishing, which waits and is told, and unblocks it`,
          async () => {
            await using connection = createConnection(url);
            const queue = new Queue("", { exclusive: true });
            const [status] = await connection.declare(queue);
            const producer = connection.producer();
            const events = connection.events()[Symbol.asyncIterator]();
            const first = events.next();
            await broker.control(
              "-q",
              "set_vm_memory_high_watermark",
              "0.00001",
            );
            let settled = false;
            const sent = producer.publish(1, { routingKey: status?.name ?? "" })
              .finally(() => settled = true);
            let result = await first;
            while (result.value?.type !== "blocked") {
              result = await events.next();
            }
            assert(result.value.reason.includes("memory"));
            assertEquals(settled, false);
            await broker.control("-q", "set_vm_memory_high_watermark", "0.4");
            while (result.value?.type !== "unblocked") {
              result = await events.next();
            }
            await sent;
            await events.return?.();
          },
        );
        await context.step(
          `${client.name}: it cuts a connection, and an exclusive consumer goes on`,
          async () => {
            await using connection = createConnection(url);
            const queue = new Queue("dashi-exclusive", { exclusive: true });
            const producer = connection.producer<number>({ declare: [queue] });
            const iterator = connection.consumer<number>(queue)
              [Symbol.asyncIterator]();
            await producer.publish(1, { routingKey: queue.name });
            await (await iterator.next()).value?.ack();
            await broker.control("-q", "close_all_connections", "by the test");
            await producer.publish(2, { routingKey: queue.name });
            const { value } = await iterator.next();
            assertEquals(value?.payload, 2);
            await value?.ack();
            await iterator.return?.();
          },
        );
        await context.step(
          `${client.name}: a consumer of an exclusive queue waits until its lost connection is forgotten`,
          async () => {
            await using proxy = Proxy.to(url);
            await using connection = createConnection(proxy.urlOf(url), {
              heartbeat: 1000,
            });
            const queue = new Queue("dashi-held", { exclusive: true });
            const iterator = connection.consumer<number>(queue)
              [Symbol.asyncIterator]();
            const next = iterator.next();
            await connection.producer({ declare: [queue] }).publish(1, {
              routingKey: queue.name,
            });
            await (await next).value?.ack();
            const again = iterator.next();
            const events = connection.events()[Symbol.asyncIterator]();
            const first = events.next();
            proxy.stall();
            for (let result = await first; result.value?.type !== "lost";) {
              result = await events.next();
            }
            await events.return?.();
            proxy.heal();
            await connection.producer({ declare: [queue] }).publish(2, {
              routingKey: queue.name,
            });
            const { value } = await again;
            assertEquals(value?.payload, 2);
            await value?.ack();
            await iterator.return?.();
          },
        );
      }
    } finally {
      await broker.stop();
    }
  },
});
