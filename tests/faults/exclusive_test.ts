import { assertEquals } from "@std/assert";
import { ChannelError, createConnection, Queue } from "@dashi/mq";
import { until } from "../brokers/server.ts";
import { Proxy } from "../support/proxy.ts";
import { onEach } from "../support/targets.ts";

onEach(
  "a message to an exclusive queue that a lost connection still holds waits until it is gone (rows 3, 11)",
  async (url) => {
    await using proxy = Proxy.to(url);
    await using connection = createConnection(proxy.urlOf(url), {
      reconnect: { initialDelay: 10, maxDelay: 100 },
    });
    const other = createConnection(url);
    const queue = new Queue(`dashi-held-${crypto.randomUUID()}`, {
      exclusive: true,
    });
    const consumer = connection.consumer<number>(queue);
    const messages = consumer[Symbol.asyncIterator]();
    const next = messages.next();
    const producer = connection.producer<number>({ declare: [queue] });
    await producer.publish(1, { routingKey: queue.name });
    await (await next).value?.ack();
    const again = messages.next();

    const events = connection.events()[Symbol.asyncIterator]();
    const lost = (async () => {
      while ((await events.next()).value?.type !== "lost");
    })();
    proxy.refuse();
    await lost;
    // As the dead connection would, for whom the broker has not noticed it yet.
    await until("the queue", 60_000, async () => {
      await other.declare(queue);
      return true;
    });
    const sent = producer.publish(2, { routingKey: queue.name });
    proxy.heal();
    while ((await events.next()).value?.type !== "declare-failed");
    await events.return?.();
    await other.close();
    await sent;
    const { value } = await again;
    assertEquals(value?.payload, 2);
    await value?.ack();
    await messages.return?.();
  },
  undefined,
  undefined,
  ({ name }) =>
    name.startsWith("amqp")
      ? undefined
      : "its exclusive queues outlive a lost connection, for its owner",
);

onEach(
  "an exclusive consumer that a lost connection still holds goes on when it is gone (rows 1, 3)",
  async (url) => {
    await using proxy = Proxy.to(url);
    await using connection = createConnection(proxy.urlOf(url), {
      reconnect: { initialDelay: 10, maxDelay: 100 },
    });
    await using other = createConnection(url);
    const queue = new Queue(`dashi-held-${crypto.randomUUID()}`);
    const producer = other.producer<number>({ declare: [queue] });
    await producer.publish(1, { routingKey: queue.name });
    const consumer = connection.consumer<number>(queue, { exclusive: true });
    const messages = consumer[Symbol.asyncIterator]();
    await (await messages.next()).value?.ack();
    const again = messages.next();

    proxy.refuse();
    // As the dead connection would, for whom the broker has not noticed it yet.
    const held = { prefetch: 1, exclusive: true };
    let holder: AsyncDisposable | undefined;
    await until("the queue", 60_000, async () => {
      const channel = await other.channel();
      await channel.consume(queue.name, () => {}, held);
      holder = channel;
      return true;
    });
    proxy.heal();
    await until("the refusal", 60_000, () => {
      const { lastError } = consumer.health();
      return Promise.resolve(
        lastError instanceof ChannelError &&
          lastError.message.includes("exclusive"),
      );
    });
    await holder?.[Symbol.asyncDispose]();
    await producer.publish(2, { routingKey: queue.name });
    // The first may come again: its ack was cut off.
    let { value } = await again;
    while (value?.payload === 1) {
      await value.ack();
      ({ value } = await messages.next());
    }
    assertEquals(value?.payload, 2);
    await value?.ack();
    await messages.return?.();
    const channel = await other.channel();
    await channel.deleteQueue(queue.name);
  },
  undefined,
  undefined,
  ({ name }) =>
    name.startsWith("amqp")
      ? undefined
      : "a consumer of a lost connection is replaced by its owner's next",
);
