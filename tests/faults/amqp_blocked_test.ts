import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  ClosedError,
  type Connection,
  createConnection,
  type Message,
  Queue,
  TimeoutError,
} from "@dashi/mq";
import {
  findRabbitmq,
  type Rabbitmq,
  startRabbitmq,
} from "../brokers/rabbitmq.ts";
import { arrives } from "../conformance/support.ts";
import { CLIENTS, urlFor } from "../support/amqp.ts";
import { ALL } from "../support/targets.ts";

const why = !ALL
  ? "run it by deno task faults"
  : findRabbitmq() === undefined
  ? "RabbitMQ is not installed"
  : undefined;
const COUNT = 50;

/** Has the broker stop reading from who publishes while something is done. */
async function whileBlocked(
  broker: Rabbitmq,
  action: () => Promise<void>,
): Promise<void> {
  await broker.control("-q", "set_vm_memory_high_watermark", "0");
  try {
    await action();
  } finally {
    await broker.control("-q", "set_vm_memory_high_watermark", "0.4");
  }
}

/** Publishes, to no queue, until the broker says that it does not read; then to a queue what it does not read. */
async function blockIt(connection: Connection, queue: Queue) {
  const events = connection.events()[Symbol.asyncIterator]();
  const first = events.next();
  const producer = connection.producer();
  const probing = new AbortController();
  const probe = async () => {
    const options = { exchange: "amq.fanout", signal: probing.signal };
    while (!probing.signal.aborted) await producer.publish("probe", options);
  };
  const probed = probe().catch(() => {});
  let result = await first;
  while (result.value?.type !== "blocked") result = await events.next();
  assert(result.value.reason.includes("memory"), result.value.reason);
  const sent = producer.publish(0, {
    routingKey: queue.name,
    timeout: 120_000,
  });
  sent.catch(() => {});
  probing.abort();
  await probed;
  return { sent, events };
}

async function fill(connection: Connection, queue: Queue): Promise<void> {
  const producer = connection.producer<number>({ declare: [queue] });
  await Promise.all(
    Array.from(
      { length: COUNT },
      (_, i) => producer.publish(i, { routingKey: queue.name }),
    ),
  );
}

/** Takes and acks so many messages. */
async function take(
  connection: Connection,
  queue: Queue,
  count: number,
): Promise<void> {
  const iterator = begin(connection, queue);
  await takeMore(iterator, count);
  await iterator.return?.();
}

function begin(
  connection: Connection,
  queue: Queue,
): AsyncIterator<Message<unknown>> {
  return connection.consumer(queue, { prefetch: 5 })[Symbol.asyncIterator]();
}

async function takeMore(
  iterator: AsyncIterator<Message<unknown>>,
  count: number,
): Promise<void> {
  for (let seen = 0; seen < count; seen++) {
    const { value } = await iterator.next();
    await value.ack();
  }
}

async function connectionsOf(broker: Rabbitmq, name: string): Promise<number> {
  const listed = await broker.control(
    "-q",
    "list_connections",
    "client_properties",
  );
  return listed.split(`"${name}"`).length - 1;
}

Deno.test({
  name: `amqp, amqp_client: a broker that is short of memory${
    why === undefined ? "" : ` (${why})`
  }`,
  ignore: why !== undefined,
  fn: async (context) => {
    const broker = await startRabbitmq();
    try {
      for (const client of CLIENTS) {
        const url = urlFor(client, broker.url);
        const step = (name: string, action: () => Promise<void>) =>
          context.step(`${client.name}: ${name}`, action);
        const queueOf = (name: string, exclusive = false) =>
          new Queue(`dashi ${client.name} ${name}`, { exclusive });

        await step(
          "a connection that only publishes, or only consumes, has one socket, and one that does both has two",
          async () => {
            const name = `counted ${client.name}`;
            const queue = queueOf("counted");
            await using publishing = createConnection(url, { name });
            await fill(publishing, queue);
            assertEquals(await connectionsOf(broker, name), 1);
            await using consuming = createConnection(url, { name });
            await take(consuming, queue, 1);
            assertEquals(await connectionsOf(broker, name), 2);
            await take(publishing, queue, 1);
            assertEquals(await connectionsOf(broker, name), 3);
          },
        );

        await step(
          "a consumer that begins where messages were published before goes on",
          async () => {
            await using connection = createConnection(url);
            const queue = queueOf("published first");
            await fill(connection, queue);
            await whileBlocked(broker, async () => {
              await blockIt(connection, queue);
              await take(connection, queue, COUNT);
            });
          },
        );

        await step(
          "one that has begun before goes on, its queue its own",
          async () => {
            await using connection = createConnection(url);
            const queue = queueOf("own", true);
            await connection.declare(queue);
            await fill(connection, queue);
            const iterator = begin(connection, queue);
            await takeMore(iterator, 10);
            await whileBlocked(broker, async () => {
              const { sent, events } = await blockIt(connection, queue);
              await takeMore(iterator, COUNT - 10);
              await broker.control("-q", "set_vm_memory_high_watermark", "0.4");
              let result = await events.next();
              while (result.value?.type !== "unblocked") {
                result = await events.next();
              }
              await sent;
              await events.return?.();
            });
            await takeMore(iterator, 1);
            await iterator.return?.();
          },
        );

        await step(
          "a queue of its own is declared and consumed where messages were published before",
          async () => {
            await using connection = createConnection(url);
            const shared = queueOf("shared");
            await fill(connection, shared);
            const own = queueOf("late and own", true);
            await fill(connection, own);
            await whileBlocked(broker, async () => {
              await blockIt(connection, shared);
              await take(connection, own, COUNT);
              await connection.declare(queueOf("latest", true));
            });
          },
        );

        await step("a connection that only publishes may declare", async () => {
          await using connection = createConnection(url);
          const queue = queueOf("declared");
          await fill(connection, queue);
          await whileBlocked(broker, async () => {
            await blockIt(connection, queue);
            const status = await connection.declare(queue);
            assertEquals(status.messageCount, COUNT);
          });
        });

        await step(
          "messages that are to be tried again or parked wait, others are handled, and close() returns",
          async () => {
            const connection = createConnection(url);
            const queue = queueOf("retried");
            await fill(connection, queue);
            const handled = new Set<unknown>();
            await whileBlocked(broker, async () => {
              await blockIt(connection, queue);
              const consumer = connection.consumer(queue);
              const running = consumer.run(({ payload }) => {
                if (Number(payload) % 10 === 0) throw new Error("on purpose");
                handled.add(payload);
                if (handled.size === COUNT - COUNT / 10) enough.resolve();
              }, {
                concurrency: 2,
                retry: { attempts: 2, backoff: 0 },
                onError: () => {},
              });
              const enough = Promise.withResolvers<void>();
              await arrives(enough.promise, "the others", 60_000);
              const closing = connection.close({ drainTimeout: 1000 });
              await arrives(closing, "the end");
              await arrives(running, "the end of run()");
            });
            // Messages whose settlement failed are there still.
            await using later = createConnection(url);
            const left = new Set<unknown>();
            for await (const message of later.consumer(queue)) {
              left.add(message.payload);
              await message.ack();
              if (left.size === COUNT / 10) break;
            }
            assertEquals([...left].toSorted(), [0, 10, 20, 30, 40]);
          },
        );

        await step(
          "a publish that is late ends no other, and both come once",
          async () => {
            await using connection = createConnection(url);
            const queue = queueOf("late");
            await fill(connection, queue);
            await take(connection, queue, COUNT);
            let sent: Promise<void> | undefined;
            await whileBlocked(broker, async () => {
              ({ sent } = await blockIt(connection, queue));
              const error = await assertRejects(
                () =>
                  connection.producer().publish(1, {
                    routingKey: queue.name,
                    timeout: 200,
                  }),
                TimeoutError,
                "takes no messages for now",
              );
              assertEquals(error.outcome, "unknown");
            });
            await sent;
            const seen: unknown[] = [];
            for await (const message of connection.consumer(queue)) {
              seen.push(message.payload);
              await message.ack();
              if (seen.length === 2) break;
            }
            assertEquals(seen, [0, 1]);
            const status = await connection.declare(queue);
            assertEquals(status.messageCount, 0);
          },
        );

        await step(
          "close() does not wait for what the broker does not read, and says what is not known",
          async () => {
            const connection = createConnection(url, {
              operationTimeout: 600_000,
            });
            const queue = queueOf("closed");
            await fill(connection, queue);
            await whileBlocked(broker, async () => {
              const { sent } = await blockIt(connection, queue);
              await connection.close();
              const error = await assertRejects(() => sent, ClosedError);
              assertEquals(error.outcome, "unknown");
            });
          },
        );

        await step(
          "close({ drainTimeout }) waits so long for it to read again",
          async () => {
            const connection = createConnection(url);
            const queue = queueOf("drained");
            await fill(connection, queue);
            let closing: Promise<void> | undefined;
            let sent: Promise<void> | undefined;
            await whileBlocked(broker, async () => {
              ({ sent } = await blockIt(connection, queue));
              closing = connection.close({ drainTimeout: 60_000 });
            });
            await sent;
            await closing;
          },
        );
      }
    } finally {
      await broker.stop();
    }
  },
});
