/** Single messages, and the channel that they are taken by. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  ChannelError,
  ClosedError,
  ConnectionError,
  createConnection,
  NotFoundError,
  OptionError,
  Queue,
  TimeoutError,
} from "@dashi/mq";
import { createTransport } from "../../../transports/memory/mod.ts";
import { withChannels } from "../../support/changed_channels.ts";
import { unlessItStoodStill } from "../../support/standing_still.ts";
import { turns } from "../../support/stores.ts";

Deno.test("all that is taken from a queue one by one comes by one channel", async () => {
  const memory = createTransport();
  let opened = 0;
  await using connection = createConnection(`memory://${crypto.randomUUID()}`, {
    transport: {
      ...memory,
      async connect(...args) {
        const connection = await memory.connect(...args);
        const openChannel = connection.openChannel.bind(connection);
        connection.openChannel = (options) => {
          opened++;
          return openChannel(options);
        };
        return connection;
      },
    },
  });
  await connection.declare(new Queue("q"));
  const queue = connection.queue("q");
  await queue.get();
  const before = opened;
  for (let i = 0; i < 3; i++) await queue.get();
  assertEquals(opened, before);
});

Deno.test("a simple queue that is closed opens nothing to purge its queue", async () => {
  await using connection = createConnection(`memory://${crypto.randomUUID()}`);
  const simple = connection.simpleQueue("q");
  await simple.put(1);
  await simple.close();
  await assertRejects(
    () => simple.clear(),
    ClosedError,
    'Cannot use queue "q": it was closed here',
  );
  assertEquals((await connection.queue("q").status()).messageCount, 1);
});

Deno.test("get() that waits in vain names why its queue could not be consumed", async () => {
  const memory = createTransport();
  const refusal = new ConnectionError("not now", { code: "connection-lost" });
  await using connection = createConnection(`memory://${crypto.randomUUID()}`, {
    transport: {
      ...memory,
      async connect(...args) {
        const connection = await memory.connect(...args);
        const openChannel = connection.openChannel.bind(connection);
        connection.openChannel = async (options) => {
          const channel = await openChannel(options);
          channel.consume = () => Promise.reject(refusal);
          return channel;
        };
        return connection;
      },
    },
  });
  const simple = connection.simpleQueue("q");
  const error = await assertRejects(
    () => simple.get({ timeout: 200 }),
    TimeoutError,
    "none came within 200 ms",
  );
  assertEquals(error.cause, refusal);
});

Deno.test("receive() that fails gives back what it has taken", async () => {
  const memory = createTransport();
  let gets = 0;
  await using connection = createConnection(`memory://${crypto.randomUUID()}`, {
    transport: {
      ...memory,
      async connect(...args) {
        const connection = await memory.connect(...args);
        const openChannel = connection.openChannel.bind(connection);
        connection.openChannel = async (options) => {
          const channel = await openChannel(options);
          const getMany = channel.getMany?.bind(channel);
          assert(getMany !== undefined);
          channel.getMany = (...args) =>
            ++gets === 2
              ? Promise.reject(new TimeoutError("too slow"))
              : getMany(...args);
          return channel;
        };
        return connection;
      },
    },
  });
  const producer = connection.producer({ queue: new Queue("q") });
  await producer.publishAll(["a", "b", "c"]);
  const queue = connection.queue("q");
  await assertRejects(() => queue.receive(), TimeoutError, "too slow");
  const messages = await queue.receive();
  assertEquals(messages.map(({ payload }) => payload), ["a", "b", "c"]);
  assertEquals(
    messages.map(({ deliveryInfo }) => deliveryInfo.redelivered),
    [true, true, true],
  );
});

Deno.test("receive() takes many by one request, where the broker has that", async () => {
  const memory = createTransport();
  const asked: number[] = [];
  await using connection = createConnection(`memory://${crypto.randomUUID()}`, {
    transport: {
      ...memory,
      async connect(...args) {
        const connection = await memory.connect(...args);
        const openChannel = connection.openChannel.bind(connection);
        connection.openChannel = async (options) => {
          const channel = await openChannel(options);
          const getMany = channel.getMany?.bind(channel);
          assert(getMany !== undefined);
          channel.getMany = (queue, max, options) => {
            asked.push(max);
            return getMany(queue, max, options);
          };
          return channel;
        };
        return connection;
      },
    },
  });
  const producer = connection.producer({ queue: new Queue("q") });
  await producer.publishAll(Array.from({ length: 7 }, (_, i) => i));
  const queue = connection.queue("q");
  const messages = await queue.receive({ max: 5 });
  assertEquals(messages.map(({ payload }) => payload), [0, 1, 2, 3, 4]);
  assertEquals((await queue.receive({ max: 5 })).length, 2);
  assertEquals(asked, [5, 5, 3]);
});

Deno.test("receive() whose channel has ended, by another call perhaps, takes messages by a new one", async () => {
  let asked = 0;
  const transport = withChannels((channel) => {
    const getMany = channel.getMany?.bind(channel);
    assert(getMany !== undefined);
    channel.getMany = (...given) => {
      if (asked++ > 0) return getMany(...given);
      const details = { code: "channel-closed", outcome: "not-sent" } as const;
      return Promise.reject(new ChannelError("it has ended", details));
    };
  });
  const url = `memory://${crypto.randomUUID()}`;
  await using connection = createConnection(url, { transport });
  await connection.send(new Queue("q"), 7);
  const messages = await connection.queue("q").receive({ wait: 0 });
  assertEquals(messages.map(({ payload }) => payload), [7]);
});

Deno.test("who asks for messages of a queue that is not there is told which may have been meant", async () => {
  await using connection = createConnection(`memory://${crypto.randomUUID()}`);
  await connection.declare(new Queue("orders"));
  const queue = connection.queue("ordres");
  for (
    const ask of [
      () => queue.get(),
      () => queue.receive({ wait: 0 }),
      () => queue.peek(),
    ]
  ) await assertRejects(ask, NotFoundError, 'did you mean "orders"?');
});

Deno.test("receive() that could not consume while it waited does not say that the queue is empty", async () => {
  const memory = createTransport();
  const refusal = new ConnectionError("not now", { code: "connection-lost" });
  await using connection = createConnection(`memory://${crypto.randomUUID()}`, {
    transport: {
      ...memory,
      async connect(...args) {
        const connection = await memory.connect(...args);
        const openChannel = connection.openChannel.bind(connection);
        connection.openChannel = async (options) => {
          const channel = await openChannel(options);
          channel.consume = () => Promise.reject(refusal);
          return channel;
        };
        return connection;
      },
    },
  });
  await connection.declare(new Queue("q"));
  const error = await assertRejects(
    () => connection.queue("q").receive({ wait: 200 }),
    TimeoutError,
    'Cannot receive from queue "q": it could not be consumed from within 200 ms',
  );
  assertEquals(error.cause, refusal);
});

Deno.test("receive() refuses options that make no sense", async () => {
  await using connection = createConnection(`memory://${crypto.randomUUID()}`);
  const queue = connection.queue("q");
  await assertRejects(() => queue.receive({ max: 0 }), RangeError, '"max"');
  await connection.declare([new Queue("q")]);
  assertEquals(await queue.receive({ max: 1000, wait: 0 }), []);
  await assertRejects(() => queue.receive({ max: 1001 }), RangeError, "1000");
  await assertRejects(
    () => queue.receive({ wait: Infinity }),
    RangeError,
    'Cannot use Infinity as "wait"',
  );
  // @ts-expect-error -- as from JavaScript
  const misspelt = () => queue.receive({ limit: 3 });
  await assertRejects(misspelt, OptionError, 'here it is "max"');
});

Deno.test("receive() that waits in vain ends when nothing consumes for it any more", () =>
  unlessItStoodStill(500, async () => {
    const cancelled = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    const transport = withChannels((channel) => {
      const consume = channel.consume.bind(channel);
      channel.consume = async (...given) => {
        const subscription = await consume(...given);
        const cancel = subscription[Symbol.asyncDispose].bind(subscription);
        subscription[Symbol.asyncDispose] = async () => {
          begun.resolve();
          await cancelled.promise;
          await cancel();
        };
        return subscription;
      };
    });
    const url = `memory://${crypto.randomUUID()}`;
    await using connection = createConnection(url, { transport });
    await connection.declare(new Queue("q"));
    let isOver = false;
    const receiving = connection.queue("q").receive({ wait: 20 })
      .then(() => isOver = true);
    try {
      await Promise.race([begun.promise, receiving]);
      await turns();
      assertEquals(isOver, false);
    } finally {
      cancelled.resolve();
      await receiving;
    }
  }));

Deno.test("peek() shows messages as a middleware hands them over that takes its time", async () => {
  await using connection = createConnection(`memory://${crypto.randomUUID()}`);
  connection.use({
    async receive({ headers, properties }) {
      await turns();
      return { headers, properties, body: new TextEncoder().encode("[2]") };
    },
  });
  await connection.send(new Queue("q"), [1]);
  const [message] = await connection.queue("q").peek();
  assertEquals(message?.payload, [2]);
});

Deno.test("receive() takes ten messages unless more or fewer are asked for", async () => {
  await using connection = createConnection(`memory://${crypto.randomUUID()}`);
  const producer = connection.producer({ queue: new Queue("q") });
  await producer.publishAll(Array.from({ length: 30 }, (_, i) => i));
  const queue = connection.queue("q");
  assertEquals((await queue.receive()).length, 10);
  assertEquals((await queue.receive({ max: 3 })).length, 3);
  assertEquals((await queue.receive({ max: 20 })).length, 17);
});

Deno.test("get() whose channel had ended before it was asked takes its message by a new one", async () => {
  let refusals = 1;
  const transport = withChannels((channel) => {
    const get = channel.get.bind(channel);
    channel.get = (...args) => {
      if (refusals-- <= 0) return get(...args);
      return Promise.reject(
        new ChannelError("the channel is closed", {
          code: "channel-closed",
          outcome: "not-sent",
        }),
      );
    };
  });
  const url = `memory://${crypto.randomUUID()}`;
  await using connection = createConnection(url, { transport });
  await connection.send(new Queue("q"), 7);
  assertEquals((await connection.queue("q").get())?.payload, 7);
});

Deno.test("where the broker knows no names, a queue that is not there is told with the one that was meant", async () => {
  const missing = () =>
    Promise.reject(
      new NotFoundError(
        "Cannot get: there is no such queue; declare it first",
      ),
    );
  const transport = withChannels((channel) => {
    channel.get = missing;
    channel.getMany = missing;
  });
  const url = `memory://${crypto.randomUUID()}`;
  await using connection = createConnection(url, { transport });
  await connection.declare(new Queue("orders"));
  const queue = connection.queue("ordres");
  for (const ask of [() => queue.get(), () => queue.receive({ wait: 0 })]) {
    await assertRejects(ask, NotFoundError, 'did you mean "orders"?');
  }
});
