/** Consumers of ordered queues: of all partitions, and in the order of each key. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  createConnection,
  Exchange,
  type Message,
  UnsupportedError,
} from "@dashi/mq";
import { arrives, until } from "../../conformance/support.ts";
import {
  counts,
  inOrder,
  PARTITIONS,
  publishAll,
  takeAll,
  testQueue,
} from "../../support/amqp_ordered.ts";
import { Proxy } from "../../support/proxy.ts";

testQueue(
  "a message that is got holds up its partition, and no other",
  async (queue, connection) => {
    await publishAll(connection, queue, 2);
    const handle = connection.queue<number>(queue.name);
    const held: Message<number>[] = [];
    for (let message; (message = await handle.get()) !== undefined;) {
      held.push(message);
    }
    const busy = (await counts(connection, queue)).filter((each) => each < 4);
    assert(held.length > 1 && held.length <= PARTITIONS, `${held.length}`);
    assertEquals(busy.length <= PARTITIONS, true);
    assertEquals(new Set(held.map(({ key }) => key)).size, held.length);
    for (const { deliveryInfo } of held) {
      assertEquals(
        [deliveryInfo.exchange, deliveryInfo.routingKey, deliveryInfo.queue],
        ["", queue.name, queue.name],
      );
    }
    await Promise.all(held.map((each) => each.requeue()));
    assertEquals(await takeAll(connection, queue, 16), inOrder(2));
  },
);

testQueue(
  "an exclusive consumer of an ordered queue is refused",
  async (queue, connection) => {
    const consumer = connection.consumer<number>(queue, { exclusive: true });
    await assertRejects(
      () => consumer.run(() => {}),
      UnsupportedError,
      "exclusively: it is ordered",
    );
  },
);

testQueue(
  "an ordered queue that goes with its last consumer goes as a whole, and comes again",
  async (queue, connection, { url }) => {
    await using other = createConnection(url);
    for (let i = 0; i < 2; i++) {
      await publishAll(connection, queue, 1);
      assertEquals(await takeAll(connection, queue, 8), inOrder(1));
      await until(
        () =>
          other.check(new Exchange(`${queue.name}.keys`)).then(
            () => false,
            () => true,
          ),
        "the end of the exchange",
      );
    }
  },
  { autoDelete: true },
);

testQueue(
  "a consumer whose partition is deleted has it declared again, and goes on",
  async (queue, connection, { url }) => {
    const seen: number[] = [];
    const consumer = connection.consumer<number>(queue);
    const running = consumer.run(({ payload }) => void seen.push(payload));
    await until(() => consumer.health().healthy, "the consumer");
    await using other = createConnection(url);
    await other.delete(`${queue.name}.2`);
    await until(
      () => other.check(`${queue.name}.2`).then(() => true, () => false),
      "the partition",
    );
    await publishAll(other, queue.name, 3);
    await until(() => seen.length === 24, () => `only ${seen}`);
    await consumer.cancel();
    await running;
  },
);

testQueue(
  "messages that were fetched come again in their order when the connection is cut",
  async (queue, connection, { url }) => {
    await using proxy = Proxy.to(url);
    const first = createConnection(proxy.urlOf(url), {
      reconnect: { initialDelay: 20, maxDelay: 100 },
      onUnhandled: () => {},
    });
    await publishAll(connection, queue, 20);
    const fetched: Message<number>[] = [];
    const before = first.consumer<number>(queue, { prefetch: 60 });
    const holding = (async () => {
      for await (const message of before) {
        fetched.push(message);
        if (fetched.length === 60) break;
      }
    })();
    await arrives(holding, "sixty messages");
    const done = fetched[0];
    await done?.ack();
    const seen: Record<string, number[]> = {};
    const after = connection.consumer<number>(queue);
    const running = after.run(({ key = "", payload }) => {
      (seen[key] ??= []).push(payload);
    });
    await until(() => after.health().healthy, "the second consumer");
    proxy.cut();
    await until(
      () => Object.values(seen).flat().length >= 159,
      () => JSON.stringify(seen),
    );
    const expected = inOrder(20);
    expected[done?.key ?? ""]?.shift();
    assertEquals(seen, expected);
    await after.close();
    await running;
    await first.close();
  },
);

testQueue(
  "the order of each key is kept when a consumer ends while others wait",
  async (queue, connection, { url }) => {
    await using second = createConnection(url);
    await publishAll(connection, queue, 30);
    const order: Record<string, number[]> = {};
    const enough = Promise.withResolvers<void>();
    const late = Promise.withResolvers<void>();
    let count = 0;
    const before = connection.consumer<number>(queue, { prefetch: 80 });
    const running = before.run(async ({ key = "", payload }) => {
      (order[key] ??= []).push(payload);
      if (++count < 30) return;
      enough.resolve();
      await late.promise;
    });
    await arrives(enough.promise, "thirty messages");
    const after = second.consumer<number>(queue, { prefetch: 80 });
    const rest = after.run(({ key = "", payload }) => {
      (order[key] ??= []).push(payload);
    });
    await until(() => after.health().healthy, "the second consumer");
    const cancelling = before.cancel();
    late.resolve();
    await cancelling;
    await running;
    await until(
      () => Object.values(order).flat().length >= 240,
      () => JSON.stringify(order),
    );
    assertEquals(order, inOrder(30));
    await after.close();
    await rest;
  },
);
