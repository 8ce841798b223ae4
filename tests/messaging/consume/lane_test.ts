/** The messages that a consumer holds, and their settlement. */

import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import {
  AccessRefusedError,
  ConnectionError,
  createConnection,
  Queue,
} from "@dashi/mq";
import { SYSTEM_CLOCK } from "../../../async/clock.ts";
import { turn } from "../../../async/turn.ts";
import { ConsumedQueue, Lane } from "../../../messaging/consume/lane.ts";
import { StreamPositions } from "../../../messaging/consume/stream_position.ts";
import type { Session } from "../../../messaging/connection/session.ts";
import type { Delivery } from "../../../model/message.ts";
import type { Channel, Subscription } from "../../../transports/transport.ts";
import { MemoryBroker } from "../../../transports/memory/broker.ts";
import { MemoryStore } from "../../../transports/memory/store.ts";
import { createStoreTransport } from "../../../transports/store/mod.ts";
import { until } from "../../conformance/support.ts";
import { withChannels } from "../../support/changed_channels.ts";
import { changed } from "../../support/stores.ts";

/** A connection to a broker that can be told to refuse, later, what is given back or acked. */
function refusing() {
  const broker = new MemoryBroker(SYSTEM_CLOCK);
  const told = { refuses: false, refused: 0 };
  const transport = createStoreTransport({
    name: "refusing",
    open(_, options) {
      const inner = new MemoryStore(broker, options);
      return Promise.resolve(changed(inner, {
        messages: {
          async remove(reservations) {
            if (!told.refuses) {
              return await inner.messages.remove(reservations);
            }
            told.refused++;
            throw new AccessRefusedError("not now");
          },
          async release(reservations) {
            if (!told.refuses) {
              return await inner.messages.release(reservations);
            }
            await new Promise((resolve) => setTimeout(resolve, 20));
            told.refused++;
            throw new AccessRefusedError("not now");
          },
        },
      }));
    },
  });
  return { told, connection: createConnection("refusing://", { transport }) };
}

Deno.test("a loop has ended when what it fetched is given back, or the broker has refused that", async () => {
  const { told, connection } = refusing();
  const queue = new Queue("q");
  const producer = connection.producer({ declare: [queue], routingKey: "q" });
  for (const each of [1, 2, 3]) await producer.publish(each);
  const iterator = connection.consumer<number>(queue)[Symbol.asyncIterator]();
  const { value: first } = await iterator.next();
  assert(first !== undefined);
  told.refuses = true;
  await iterator.return?.();
  assert(told.refused > 0);
  told.refuses = false;
  await first.ack();
  const payloads: unknown[] = [];
  for await (const message of connection.consumer<number>(queue)) {
    await message.ack();
    if (payloads.push(message.payload) === 2) break;
  }
  assertEquals(payloads.sort(), [2, 3]);
  await connection.close();
});

Deno.test("a simple queue has ended when what it holds is given back, or the broker has refused that", async () => {
  const { told, connection } = refusing();
  const simple = connection.simpleQueue<number>("q");
  await simple.put(1);
  assert(await simple.get() !== undefined);
  told.refuses = true;
  await simple.close();
  assertEquals(told.refused, 1);
  told.refuses = false;
  await connection.close();
});

Deno.test("a consumer has ended when what nobody settled in time is given back, or the broker has refused that", async () => {
  const { told, connection } = refusing();
  const queue = new Queue("q");
  const producer = connection.producer({ declare: [queue], routingKey: "q" });
  await producer.publish(1);
  const consumer = connection.consumer<number>(queue);
  const { value: held } = await consumer[Symbol.asyncIterator]().next();
  assert(held !== undefined);
  told.refuses = true;
  await consumer.close({ drainTimeout: 10 });
  assertEquals(told.refused, 1);
  told.refuses = false;
  await connection.close();
});

Deno.test("a loop with autoAck goes on though the broker refuses an ack, and nothing is left unhandled", async () => {
  const { told, connection } = refusing();
  const queue = new Queue("q");
  const producer = connection.producer({ declare: [queue], routingKey: "q" });
  for (const each of [1, 2]) await producer.publish(each);
  told.refuses = true;
  const payloads: number[] = [];
  const consumer = connection.consumer<number>(queue, { autoAck: true });
  for await (const { payload } of consumer) {
    if (payloads.push(payload) === 2) break;
  }
  assertEquals(payloads, [1, 2]);
  assert(told.refused > 0);
  told.refuses = false;
  await connection.close();
});

/** A lane on a channel that has lost its connection, of a session that has ended. */
function lost(): Lane {
  const error = new ConnectionError("cut", { code: "connection-lost" });
  const channel = {
    ack: () => Promise.reject(error),
    closed: new Promise(() => {}),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  } as Partial<Channel> as Channel;
  const session = {
    call: () => ({ signal: undefined, deadline: Infinity }),
    retry: () => Promise.reject(error),
    track: () => {},
  } as Partial<Session> as Session;
  return new Lane(
    session,
    channel,
    new AbortController().signal,
    false,
    Infinity,
  );
}

const DELIVERY = { deliveryTag: 1, queue: "q" } as unknown as Delivery;

Deno.test("an ack that nobody waits for may fail for good, and rejects nothing", async () => {
  lost().settleTaken(DELIVERY);
  // A rejection that nobody handles would end the test.
  for (let i = 0; i < 3; i++) await turn();
});

Deno.test("a message whose settlement failed counts as unsettled again, and whoever closes hears of each that is settled", () => {
  const lane = lost();
  const queue = new ConsumedQueue(lane, "q", false, undefined);
  let heard = 0;
  queue.watchSettled(() => heard++);
  queue.take(DELIVERY);
  assertEquals([lane.unsettled, heard], [1, 0]);
  queue.onSettled(DELIVERY, undefined);
  assertEquals([lane.unsettled, heard], [0, 1]);
  queue.onKept();
  assertEquals([lane.unsettled, heard], [1, 1]);
});

Deno.test("a message whose lease is lost is told so, and no other of its channel", () => {
  const lane = lost();
  const queue = new ConsumedQueue(lane, "q", false, undefined);
  const told: string[] = [];
  const other = { deliveryTag: 2, queue: "q" } as unknown as Delivery;
  const elsewhere = { deliveryTag: 3, queue: "r" } as unknown as Delivery;
  queue.onLost(DELIVERY, ({ message }) => told.push(message));
  queue.onLost(other, () => told.push("other"));
  queue.onLost(elsewhere, () => told.push("elsewhere"));
  queue.lose([1, 3]);
  assertEquals(told, [
    'A message of queue "q" is no longer ours: its lease was lost',
  ]);
});

Deno.test("a message of a queue that the broker has named is told of its lease by that name", () => {
  const lane = lost();
  Object.assign(lane.session, { declarations: { nameOf: () => "chosen" } });
  const queue = new ConsumedQueue(lane, new Queue(""), false, undefined);
  const told: string[] = [];
  const delivery = { deliveryTag: 1, queue: "chosen" } as unknown as Delivery;
  queue.onLost(delivery, ({ message }) => told.push(message));
  queue.lose([1]);
  assertEquals(told, [
    'A message of queue "chosen" is no longer ours: its lease was lost',
  ]);
});

Deno.test("a lane tells when its broker was last heard of by any of its queues, until it was cancelled or lost", () => {
  for (const end of ["lose", "cancel"] as const) {
    const lane = lost();
    const heard = { slow: 5, quick: 7 };
    const consume = (queue: keyof typeof heard) => {
      const source = new ConsumedQueue(lane, queue, false, undefined);
      lane.sources.set(queue, source);
      return source;
    };
    const [slow, quick] = [consume("slow"), consume("quick")];
    assertEquals(lane.heardAt, undefined);
    const subscribed = (queue: keyof typeof heard) =>
      ({
        get lastHeard() {
          return heard[queue];
        },
      }) as Subscription;
    slow.subscription = subscribed("slow");
    assertEquals(lane.heardAt, 5);
    quick.subscription = subscribed("quick");
    assertEquals(lane.heardAt, 7);
    heard.slow = 9;
    assertEquals(lane.heardAt, 9);
    lane.ordered = true;
    lane.unsettled = 1;
    if (end === "cancel") {
      void lane.cancel([], { signal: undefined, deadline: 1 });
    } else lane.disown();
    heard.slow = 11;
    assertEquals(lane.heardAt, 9);
  }
});

Deno.test("a message of a stream that is acked by being handed over is behind its consumer, unless its channel is lost", () => {
  const positions = new StreamPositions({ "x-stream-offset": "first" });
  const next = () => positions.argumentsFor("s")?.["x-stream-offset"];
  const lane = lost();
  const stream = new ConsumedQueue(lane, "s", true, positions.of("s"));
  const at = (offset: number) => ({
    ...DELIVERY,
    properties: { headers: { "x-stream-offset": offset } },
  });
  stream.take(at(3));
  assertEquals(next(), 4);
  lane.disown();
  stream.take(at(4));
  assertEquals(next(), 4);
});

Deno.test("a message of a consumer that is closed is nobody's any more, though the broker does not answer", async () => {
  const hang = Promise.withResolvers<void>();
  const transport = withChannels((channel) => {
    const dispose = channel[Symbol.asyncDispose].bind(channel);
    channel[Symbol.asyncDispose] = () => hang.promise.then(dispose);
  });
  const url = `memory://${crypto.randomUUID()}`;
  const connection = createConnection(url, { transport });
  await connection.send(new Queue("q"), 1);
  const consumer = connection.consumer("q");
  const { value: held } = await consumer[Symbol.asyncIterator]().next();
  assert(held !== undefined);
  assertEquals(held.signal.aborted, false);
  const idle = connection.consumer("q");
  const next = idle[Symbol.asyncIterator]().next();
  await until(() => idle.health().ready, "a consumer without a message");
  await Promise.all(
    [consumer, idle].map((each) => each.close({ drainTimeout: 1 })),
  );
  assertEquals([held.signal.aborted, (await next).done], [true, true]);
  hang.resolve();
  await connection.close();
});

Deno.test("a queue that is consumed from as it was declared is known by that, whatever else the session knows of its name", () => {
  const lane = lost();
  const other = new Queue("q");
  const declarations = { nameOf: () => "q", queueOf: () => other };
  Object.assign(lane.session, { declarations });
  const given = new Queue("q", { maxPriority: 3 });
  const declaredOf = (queue: Queue | string) =>
    new ConsumedQueue(lane, queue, false, undefined).declared;
  assertStrictEquals(declaredOf(given), given);
  assertStrictEquals(declaredOf("q"), other);
});

Deno.test("a consumer that does not reconnect outlives a change of its prefetch", async () => {
  await using connection = createConnection(`memory://${crypto.randomUUID()}`, {
    reconnect: false,
  });
  const queue = new Queue("q");
  const consumer = connection.consumer(queue, { prefetch: 1 });
  const messages = consumer[Symbol.asyncIterator]();
  await connection.send(queue, 1);
  const held = (await messages.next()).value;
  await consumer.setPrefetch(2);
  await connection.send(queue, 2);
  const next = await messages.next();
  assertEquals(next.value?.payload, 2);
  await held?.ack();
  await next.value?.ack();
});
