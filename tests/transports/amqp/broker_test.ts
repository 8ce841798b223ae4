import { assert, assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { findRabbitmq } from "../../brokers/rabbitmq.ts";
import { CLIENTS, urlFor } from "../../support/amqp.ts";
import { until } from "../../conformance/support.ts";
import { amqpPlace, erlang } from "../../support/amqp_place.ts";
import { Proxy } from "../../support/proxy.ts";

const isInstalled = findRabbitmq() !== undefined;

Deno.test({
  name: `amqp, amqp_client: what the broker itself sees and says${
    isInstalled ? "" : " (RabbitMQ is not installed)"
  }`,
  ignore: !isInstalled,
  fn: async (context) => {
    await using broker = await amqpPlace();
    /** Of all that the server has in our virtual host. */
    const ours = (list: string, item: string) =>
      `[proplists:get_value(${item}, I) || I <- ${list}([vhost, ${item}]), proplists:get_value(vhost, I) =:= ${
        erlang(broker.vhost)
      }]`;
    const connections = (item: string) =>
      ours("rabbit_networking:connection_info_all", item);
    for (const client of CLIENTS) {
      const url = urlFor(client, broker.url);
      await context.step(
        `${client.name}: it lists the connection by its name, and two channels for ten thousand publishes`,
        async () => {
          await using connection = createConnection(url, {
            name: "dashi test",
          });
          const queue = new Queue("", { exclusive: true });
          const status = await connection.declare(queue);
          const producer = connection.producer();
          await Promise.all(
            Array.from(
              { length: 10_000 },
              (_, i) => producer.publish(i, { routingKey: status.name ?? "" }),
            ),
          );
          const names = await broker.ask(connections("client_properties"));
          assert(names.includes('"dashi test"'), names);
          const channels = ours("rabbit_channel:info_all", "number");
          // Connections of the previous client may still be closing.
          await until(
            async () => await broker.ask(`length(${channels})`) === "2",
            "two channels",
          );
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
          await broker.ask(
            `[rabbit_networking:close_connection(P, "by the test") || P <- ${
              connections("pid")
            }]`,
          );
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
  },
});
