import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  AccessRefusedError,
  ChannelError,
  createConnection,
  Exchange,
  Queue,
  TimeoutError,
  UnroutableError,
} from "@dashi/mq";
import { SYSTEM_CLOCK } from "../../../async/clock.ts";
import { Limits } from "../../../async/limits.ts";
import { Line } from "../../../async/line.ts";
import { turn } from "../../../async/turn.ts";
import { Declarations } from "../../../messaging/connection/declarations.ts";
import type { Session } from "../../../messaging/connection/session.ts";
import type { Link } from "../../../messaging/connection/topology_channel.ts";
import { NO_PLACE } from "../../../messaging/publish/publish_call.ts";
import { SessionPublisher } from "../../../messaging/publish/publisher.ts";
import { TestClock } from "../../../testing/clock.ts";
import type { Channel } from "../../../transports/transport.ts";
import { createTransport } from "../../../transports/memory/mod.ts";
import { MemoryBroker } from "../../../transports/memory/broker.ts";
import { MemoryStore } from "../../../transports/memory/store.ts";
import { createStoreTransport } from "../../../transports/store/mod.ts";
import { withChannels } from "../../support/changed_channels.ts";
import { changed } from "../../support/stores.ts";

Deno.test("publish() tries again what the broker was too busy for, though the channel is well (row 2)", async () => {
  let refusals = 10;
  const channels = new Set<unknown>();
  const stores = createStoreTransport({
    name: "busy",
    open(_, { clock }) {
      const inner = new MemoryStore(new MemoryBroker(clock), { clock });
      const store = changed(inner, {
        messages: {
          put(items, options) {
            if (refusals-- <= 0) return inner.messages.put(items, options);
            return Promise.reject(
              new ChannelError("Cannot publish: it is busy", {
                code: "channel-closed",
                outcome: "not-sent",
              }),
            );
          },
        },
      });
      return Promise.resolve(store);
    },
  });
  const transport = {
    ...stores,
    async connect(...args: Parameters<typeof stores.connect>) {
      const connection = await stores.connect(...args);
      const openChannel = connection.openChannel.bind(connection);
      connection.openChannel = async (options) => {
        const channel = await openChannel(options);
        channels.add(channel);
        return channel;
      };
      return connection;
    },
  };
  await using connection = createConnection("busy://", {
    transport,
    reconnect: { initialDelay: 1, maxDelay: 5 },
  });
  const queue = new Queue("q");
  await connection.declare(queue);
  const producer = connection.producer();
  const options = { routingKey: queue.name, timeout: 5000 };
  await Promise.all([1, 2, 3].map((each) => producer.publish(each, options)));
  assertEquals(refusals, -3);
  assertEquals((await connection.declare(queue)).messageCount, 3);
  // One to declare, one to publish: what is well is not left behind for another.
  assertEquals(channels.size, 2);
});

Deno.test("publishes that are like a refused one are refused, and each is asked for once", async () => {
  let asked = 0;
  const transport = withChannels((channel) => {
    channel.publish = () => {
      asked++;
      return Promise.reject(new AccessRefusedError("not to this exchange"));
    };
  });
  const url = `memory://${crypto.randomUUID()}`;
  await using connection = createConnection(url, { transport });
  const exchange = new Exchange("forbidden");
  const producer = connection.producer({ exchange });
  for (const count of [1, 2, 3]) {
    await assertRejects(
      () => producer.publish(count, { timeout: 5000 }),
      AccessRefusedError,
      "not to this exchange",
    );
    assertEquals(asked, count);
  }
});

Deno.test("producer.ready slows a loop that awaits no publish, from the first connect on, and flush() comes after what it was told", async () => {
  await using connection = createConnection(`memory://${crypto.randomUUID()}`);
  const queue = new Queue("lines", {
    maxLength: 4000,
    arguments: { "x-overflow": "reject-publish" },
  });
  const producer = connection.producer({ queue, maxInFlight: 100 });
  let [begun, answered, most, refused] = [0, 0, 0, 0];
  for (; begun < 5000; begun++) {
    await producer.ready;
    most = Math.max(most, begun - answered);
    producer.publish(begun).then(
      () => answered++,
      () => {
        answered++;
        refused++;
      },
    );
  }
  await producer.flush();
  assertEquals([answered, refused], [5000, 1000]);
  assert(most <= 100, String(most));
});

Deno.test("flush() says when it is late, and ready never rejects", async () => {
  const memory = createTransport();
  const hang = Promise.withResolvers<never>();
  const transport = {
    ...memory,
    connect: () => hang.promise,
  };
  const connection = createConnection("memory://late-flush", {
    transport,
    reconnect: false,
  });
  const producer = connection.producer({ maxInFlight: 1 });
  const published = producer.publish(1, { routingKey: "q", timeout: 1500 });
  const failure = assertRejects(() => published, TimeoutError);
  const ready = producer.ready;
  await assertRejects(
    () => producer.flush({ timeout: 10 }),
    TimeoutError,
    "Cannot flush in time",
  );
  await ready;
  await failure;
  await producer.flush();
  hang.reject(new Error("over"));
  await connection.close();
});

Deno.test("a publish with a short timeout names the broker that it still waits for, and has something to declare or not", async () => {
  const hang = Promise.withResolvers<never>();
  const dialled = Promise.withResolvers<void>();
  const transport = {
    ...createTransport(),
    connect() {
      dialled.resolve();
      return hang.promise;
    },
  };
  const connection = createConnection("memory://silent", { transport });
  const connecting = assertRejects(() => connection.connect());
  // Until then it may be the import that a publish has waited for.
  await dialled.promise;
  const queue = new Queue("orders");
  for (const options of [{ queue }, { queue: "orders" }]) {
    const producer = connection.producer(options);
    const error = await assertRejects(
      () => producer.publish(1, { timeout: 20 }),
      TimeoutError,
      'Cannot connect to "memory://silent/" in time: it has not answered yet',
    );
    assertEquals(error.outcome, "not-sent");
  }
  hang.reject(new Error("over"));
  await connection.close();
  await connecting;
});

Deno.test("a message that waits for its queue is overtaken by none of its producer, and holds up no other producer", async () => {
  const memory = createTransport();
  const slow = Promise.withResolvers<void>();
  const published: string[] = [];
  const transport = {
    ...memory,
    async connect(...args: Parameters<typeof memory.connect>) {
      const connection = await memory.connect(...args);
      const { openChannel } = connection;
      connection.openChannel = async (options) => {
        const channel = await openChannel.call(connection, options);
        const { declareQueue, publish } = channel;
        channel.declareQueue = async (queue, call) => {
          if (queue.name === "slow") await slow.promise;
          return await declareQueue.call(channel, queue, call);
        };
        channel.publish = (message, call) => {
          published.push(message.properties.messageId ?? "");
          return publish.call(channel, message, call);
        };
        return channel;
      };
      return connection;
    },
  };
  await using connection = createConnection("memory://slow", { transport });
  const [first, second] = [connection.producer(), connection.producer()];
  const fanout = new Exchange("all", { type: "fanout" });
  const to = { exchange: "amq.fanout" };
  const waiting = [
    first.publish(1, {
      ...to,
      messageId: "first",
      declare: [new Queue("slow")],
    }),
    first.publish(2, { ...to, messageId: "second" }),
    first.publish(3, { exchange: fanout, messageId: "third" }),
  ];
  await second.publish(4, {
    routingKey: "nobody",
    mandatory: false,
    messageId: "other",
  });
  assertEquals(published, ["other"]);
  slow.resolve();
  await Promise.all(waiting);
  assertEquals(published, ["other", "first", "second", "third"]);
});

/** A transport whose channels return so many messages, whatever queue there is. */
function returning(times: number) {
  const memory = createTransport();
  const told = { left: times };
  const transport = {
    ...memory,
    async connect(...args: Parameters<typeof memory.connect>) {
      const connection = await memory.connect(...args);
      const { openChannel } = connection;
      connection.openChannel = async (options) => {
        const channel = await openChannel.call(connection, options);
        const { publish } = channel;
        channel.publish = async (message, call) => {
          if (told.left-- <= 0) {
            return await publish.call(channel, message, call);
          }
          return { type: "returned", replyText: "NO_ROUTE" };
        };
        return channel;
      };
      return connection;
    },
  };
  return { told, transport };
}

Deno.test("a message that comes back though its queue was declared just now is published until that is there, and through an exchange once more", async () => {
  const { told, transport } = returning(4);
  await using connection = createConnection(
    `memory://${crypto.randomUUID()}`,
    { transport, reconnect: { initialDelay: 1, maxDelay: 5 } },
  );
  const exchange = new Exchange("x", { type: "direct" });
  const queue = new Queue("q", { exchange, routingKey: "k" });
  await connection.declare(queue);
  const producer = connection.producer();
  await producer.publish(1, { routingKey: queue.name });
  assertEquals(told.left, -1);
  told.left = 4;
  await assertRejects(
    () => producer.publish(2, { exchange, routingKey: "k", mandatory: true }),
    UnroutableError,
  );
  assertEquals(told.left, 2);
});

Deno.test("a request whose reply queue is gone is published when that is declared anew, with its new name", async () => {
  const limits = new Limits(SYSTEM_CLOCK);
  const declarations = new Declarations();
  const slow = Promise.withResolvers<void>();
  let count = 0;
  const replyTos: (string | undefined)[] = [];
  const channel = {
    closed: new Promise(() => {}),
    async declareQueue() {
      if (++count > 1) await slow.promise;
      return { name: `chosen-${count}`, messageCount: 0, consumerCount: 0 };
    },
    publish(message) {
      replyTos.push(message.properties.replyTo);
      return Promise.resolve({ type: "accepted", queues: 1 });
    },
  } as Partial<Channel> as Channel;
  const link = {
    connection: { openChannel: () => Promise.resolve(channel) },
    topology: {
      run: (_: unknown, action: (channel: Channel) => Promise<unknown>) =>
        action(channel),
    },
  } as unknown as Link;
  const call = { signal: undefined, deadline: Infinity, retry: true };
  const publisher = new SessionPublisher({
    clock: SYSTEM_CLOCK,
    limits,
    declarations,
    knowsQueues: true,
    call: () => call,
    link: () => Promise.resolve(link),
  } as Partial<Session> as Session);
  const replies = new Queue("", { exclusive: true });
  await declarations.declare(replies, channel, {});
  declarations.doubtQueue(replies);
  const published = publisher.publish(
    {
      exchange: "",
      routingKey: "q",
      mandatory: false,
      delay: 0,
      properties: { replyTo: "chosen-1" },
      body: new Uint8Array(1),
    },
    call,
    { ...NO_PLACE, line: new Line() },
  );
  for (let i = 0; i < 5; i++) await turn();
  assertEquals([count, replyTos], [2, []]);
  slow.resolve();
  await published;
  assertEquals(replyTos, ["chosen-2"]);
  limits.end(() => new Error("ended"));
});

Deno.test("a message that is refused again is kept apart for a minute from then on", async () => {
  const clock = new TestClock();
  const limits = new Limits(clock);
  const by: string[] = [];
  let count = 0;
  const link = {
    connection: {
      openChannel: () => {
        const name = `channel ${++count}`;
        return Promise.resolve({
          closed: new Promise(() => {}),
          publish() {
            by.push(name);
            return Promise.reject(new AccessRefusedError("you may not"));
          },
          [Symbol.asyncDispose]: () => Promise.resolve(),
        });
      },
    },
  } as unknown as Link;
  const call = { signal: undefined, deadline: Infinity, retry: true };
  const publisher = new SessionPublisher({
    clock,
    limits,
    declarations: new Declarations(),
    knowsQueues: true,
    call: () => call,
    link: () => Promise.resolve(link),
    retry: (_: unknown, action: () => Promise<void>) => action(),
  } as unknown as Session);
  const message = {
    exchange: "",
    routingKey: "q",
    mandatory: false,
    delay: 0,
    properties: {},
    body: new Uint8Array(1),
  };
  for (let i = 0; i < 4; i++) {
    const place = { ...NO_PLACE, line: new Line() };
    await assertRejects(
      () => publisher.publish(message, call, place),
      AccessRefusedError,
    );
    clock.pass(50_000);
  }
  assertEquals(by.map((name) => name === "channel 1"), [
    true,
    false,
    false,
    false,
  ]);
  clock.pass(10_000);
  const place = { ...NO_PLACE, line: new Line() };
  await assertRejects(() => publisher.publish(message, call, place));
  assertEquals(by.at(-1), "channel 1");
  limits.end(() => new Error("ended"));
});
