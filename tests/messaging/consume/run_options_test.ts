import { assertEquals, assertStringIncludes } from "@std/assert";
import { createConnection, Queue } from "../../../mod.ts";

const place = () => `memory://${crypto.randomUUID()}`;

Deno.test("a schema whose issues are no list is told so", async () => {
  await using connection = createConnection(place(), { onUnhandled: () => {} });
  const queue = new Queue("jobs");
  await connection.send(queue, 1);
  const { promise, resolve } = Promise.withResolvers<Error>();
  const consumer = connection.consumer(queue, {
    schema: {
      "~standard": {
        version: 1,
        vendor: "careless",
        validate: () => ({ issues: "too small" as never }),
      },
    },
    async onInvalid(error, message) {
      await message.ack();
      await consumer.cancel();
      resolve(error);
    },
  });
  await consumer.run(() => {});
  assertStringIncludes(
    (await promise).message,
    `says why by "too small"; "issues" of a Standard Schema is an array`,
  );
});

Deno.test("a policy without attempts has five of them", async () => {
  await using connection = createConnection(place(), { onUnhandled: () => {} });
  const queue = new Queue("jobs", { deadLetter: "jobs.dead" });
  await connection.send(queue, 1);
  const attempts: number[] = [];
  const consumer = connection.consumer(queue, { onError: () => {} });
  await consumer.run(({ attempt }) => {
    if (attempts.push(attempt) === 5) void consumer.cancel();
    throw new Error("no");
  }, { retry: { backoff: 0 } });
  assertEquals(attempts, [1, 2, 3, 4, 5]);
  assertEquals((await connection.queue("jobs.dead").status()).messageCount, 1);
});
