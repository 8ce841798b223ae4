import { assert, assertEquals, assertRejects } from "@std/assert";
import { createConnection, TimeoutError } from "../../../mod.ts";
import { createTestBroker } from "@dashi/mq/testing";

Deno.test("get() keeps its deadline, says what would be right, and waits without end where it is told to", async () => {
  await using broker = createTestBroker({
    connection: { operationTimeout: 60_000 },
  });
  const { connection, clock } = broker;
  const queue = connection.simpleQueue<number>("jobs");
  assertEquals(await queue.getNoWait(), undefined);
  const waiting = queue.get({ timeout: Infinity });
  const error = await assertRejects(
    () => clock.advanceUntil(queue.get()),
    TimeoutError,
    'Cannot get a message of queue "jobs": none came within 60000 ms; getNoWait() does not wait, and timeout: Infinity waits without end',
  );
  assert(error.retryable);
  await queue.put(1);
  const message = await waiting;
  assertEquals(message.payload, 1);
  await message.ack();
  await queue.close();
});

Deno.test("get() that waits when its connection is closed rejects", async () => {
  const connection = createConnection(
    `memory://simple-${crypto.randomUUID()}`,
  );
  const waiting = connection.simpleQueue("jobs").get();
  const ended = assertRejects(() => waiting, Error, "closed");
  await connection.close();
  await ended;
});
