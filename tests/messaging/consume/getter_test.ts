/** Single messages, and the channel that they are taken by. */

import { assertEquals, assertRejects } from "@std/assert";
import {
  ClosedError,
  ConnectionError,
  createConnection,
  Queue,
  TimeoutError,
} from "@dashi/mq";
import { createTransport } from "../../../transports/memory/mod.ts";

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
