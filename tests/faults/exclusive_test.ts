import { assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { Proxy } from "../support/proxy.ts";
import { onEach } from "../support/targets.ts";

onEach(
  "what is published to an exclusive queue that a lost connection still holds waits until it is gone (rows 3, 11)",
  async (url) => {
    await using proxy = Proxy.to(url);
    await using connection = createConnection(proxy.urlOf(url), {
      retry: { firstDelay: 10, mostDelay: 100 },
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
    await other.declare(queue);
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
