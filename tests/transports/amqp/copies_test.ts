import { assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { findRabbitmq } from "../../brokers/rabbitmq.ts";
import { CLIENTS, test, urlFor } from "../../support/amqp.ts";
import { amqpPlace, erlang } from "../../support/amqp_place.ts";

const isInstalled = findRabbitmq() !== undefined;

Deno.test({
  name:
    `amqp, amqp_client: a message of another user's is tried again, and its neighbours are handled once${
      isInstalled ? "" : " (RabbitMQ is not installed)"
    }`,
  ignore: !isInstalled,
  fn: async (context) => {
    await using broker = await amqpPlace();
    const user = crypto.randomUUID();
    const users = "rabbit_auth_backend_internal";
    const [name, all, by] = [erlang(user), erlang(".*"), erlang("the tests")];
    const rights = `${erlang(broker.vhost)}, ${all}, ${all}, ${all}`;
    await broker.ask(`ok = ${users}:add_user(${name}, ${erlang("pw")}, ${by})`);
    try {
      await broker.ask(
        `ok = ${users}:set_permissions(${name}, ${rights}, ${by})`,
      );
      for (const client of CLIENTS) {
        await context.step(client.name, async () => {
          const url = urlFor(client, broker.url);
          await using sending = createConnection(
            url.replace("guest:guest", `${user}:pw`),
          );
          await using taking = createConnection(url);
          const dead = new Queue(`dead of ${client.name}`);
          const work = new Queue(`work of ${client.name}`, {
            deadLetterExchange: "",
            deadLetterRoutingKey: dead.name,
          });
          const producer = sending.producer<number>({ declare: [dead, work] });
          await producer.publish(-1, {
            routingKey: work.name,
            userId: user,
            headers: { "x-delivery-count": 7 },
          });
          for (let i = 0; i < 5; i++) {
            await producer.publish(i, { routingKey: work.name });
          }
          const handled: number[] = [];
          const counts: unknown[] = [];
          const running = taking.consumer<number>(work).run((message) => {
            handled.push(message.payload);
            if (message.payload >= 0) return;
            counts.push(message.headers["x-delivery-count"]);
            throw new Error("it fails");
          }, { retry: { attempts: 3, backoff: 0 } });
          running.catch(() => {});
          for await (const message of sending.consumer<number>(dead)) {
            assertEquals(message.payload, -1);
            await message.ack();
            break;
          }
          assertEquals(handled.toSorted(), [-1, -1, -1, 0, 1, 2, 3, 4]);
          assertEquals(counts, [7, undefined, undefined]);
        });
      }
    } finally {
      await broker.ask(`${users}:delete_user(${name}, ${by})`);
    }
  },
});

test("a message that cannot be written again is a dead letter, and its neighbours are handled once", async ({ url }) => {
  await using connection = createConnection(url);
  const dead = new Queue(`dashi-dead-${crypto.randomUUID()}`, {
    expires: 60_000,
  });
  const work = new Queue(`dashi-work-${crypto.randomUUID()}`, {
    expires: 60_000,
    deadLetterExchange: "",
    deadLetterRoutingKey: dead.name,
  });
  const producer = connection.producer<number>({ declare: [dead, work] });
  // With the header of the next attempt it is larger than a frame.
  await producer.publish(-1, {
    routingKey: work.name,
    headers: { big: "x".repeat(130_900) },
  });
  for (let i = 0; i < 5; i++) {
    await producer.publish(i, { routingKey: work.name });
  }
  const handled: number[] = [];
  const running = connection.consumer<number>(work).run(({ payload }) => {
    handled.push(payload);
    if (payload < 0) throw new Error("it fails");
  }, { retry: { attempts: 3, backoff: 0 } });
  running.catch(() => {});
  for await (const message of connection.consumer<number>(dead)) {
    assertEquals(message.payload, -1);
    await message.ack();
    break;
  }
  assertEquals(handled.filter((payload) => payload < 0).length, 1);
  assertEquals(connection.connected, true);
});
