/** Messages in flight on a channel that one of them has ended. */

import { assertEquals, assertRejects } from "@std/assert";
import { type Connection, createConnection, Queue } from "@dashi/mq";
import { turn } from "../../../async/turn.ts";
import {
  ChannelError,
  PreconditionFailedError,
} from "../../../model/errors.ts";
import { createTransport } from "../../../transports/memory/mod.ts";
import type { Channel, CloseReason } from "../../../transports/transport.ts";

/** A channel that ends with all that is in flight when it is given poison, as those of AMQP do. */
function frail(inner: Channel, ends: () => void): Channel {
  const { promise: closed, resolve } = Promise.withResolvers<CloseReason>();
  inner.closed.then(resolve);
  let isOver = false;
  const publish: Channel["publish"] = async (message, options) => {
    await turn();
    if (new TextDecoder().decode(message.body).includes("poison")) {
      isOver = true;
      ends();
      const error = new PreconditionFailedError("poison");
      resolve({ type: "lost", error });
    }
    if (!isOver) return await inner.publish(message, options);
    throw new ChannelError("it has ended", { code: "channel-closed" });
  };
  return new Proxy(inner, {
    get(target, key) {
      if (key === "closed") return closed;
      if (key === "publish") return publish;
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** A connection to a broker whose channels are frail; the set has those to publish on that are open. */
function open(channels: Set<Channel> = new Set()): Connection {
  const memory = createTransport();
  const transport = {
    ...memory,
    async connect(...args: Parameters<typeof memory.connect>) {
      const connection = await memory.connect(...args);
      const openChannel = connection.openChannel.bind(connection);
      connection.openChannel = async (options) => {
        const channel = await openChannel(options);
        if (options?.use !== "publish") return channel;
        channels.add(channel);
        const ends = () => channels.delete(channel);
        channel.closed.then(ends);
        return frail(channel, ends);
      };
      return connection;
    },
  };
  return createConnection(`memory://${crypto.randomUUID()}`, {
    transport,
    reconnect: { initialDelay: 1, maxDelay: 5 },
  });
}

Deno.test("of many messages in flight on a channel that some of them end, those alone are refused", async () => {
  await using connection = open();
  const queue = new Queue("q");
  await connection.declare(queue);
  const producer = connection.producer({ routingKey: queue.name });
  const payloads = ["a", "b", "poison 1", "c", "poison 2", "d"];
  const results = await Promise.allSettled(
    payloads.map((each) => producer.publish(each)),
  );
  const codes = results.map((each) =>
    each.status === "fulfilled" ? "taken" : each.reason.code
  );
  const refused = "precondition-failed";
  assertEquals(codes, ["taken", "taken", refused, "taken", refused, "taken"]);
  assertEquals((await connection.declare(queue)).messageCount, 4);
});

Deno.test("the channel on which messages were published apart is closed when they are through", async () => {
  const channels = new Set<Channel>();
  await using connection = open(channels);
  const queue = new Queue("q");
  await connection.declare(queue);
  const producer = connection.producer({ routingKey: queue.name });
  const payloads = ["a", "poison", "b"];
  await Promise.allSettled(payloads.map((each) => producer.publish(each)));
  await producer.publish("c");
  for (let i = 0; i < 20 && channels.size > 1; i++) await turn();
  assertEquals(channels.size, 1);
  assertEquals((await connection.declare(queue)).messageCount, 3);
});

Deno.test("a duplicate in flight on a channel that another message ends is told as one", async () => {
  await using connection = open();
  const queue = new Queue("q");
  const producer = connection.producer({ queue });
  const dedupe = { id: "order-7", window: 60_000 };
  await producer.publish("first", { dedupe });
  const poison = assertRejects(
    () => producer.publish("poison"),
    PreconditionFailedError,
  );
  const second = await producer.publish("second", { dedupe });
  await poison;
  assertEquals(second, { duplicate: true });
  assertEquals((await connection.declare(queue)).messageCount, 1);
});
