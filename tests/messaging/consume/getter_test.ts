/** Single messages, and the channel that they are taken by. */

import { assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
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
