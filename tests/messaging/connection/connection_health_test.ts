import { assert, assertEquals } from "@std/assert";
import { createConnection, Queue } from "../../../mod.ts";

Deno.test("connection.health() tells what keeps a process from ending", async () => {
  const connection = createConnection(`memory://${crypto.randomUUID()}`);
  assertEquals(connection.health(), {
    healthy: true,
    state: { type: "idle" },
    consumers: [],
    inFlight: 0,
    requests: {
      waiting: 0,
      lateReplies: 0,
      undeliveredReplies: 0,
      expiredRequests: 0,
    },
    schedules: { taking: 0, held: 0, published: 0, failures: 0 },
    holds: [],
  });
  const queue = new Queue("jobs");
  const sending = connection.send(queue, 1);
  assertEquals(connection.health().inFlight, 1);
  await sending;
  const consumer = connection.consumer(queue);
  const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
  const { promise: done, resolve: finish } = Promise.withResolvers<void>();
  const running = consumer.run(async () => {
    begin();
    await done;
  });
  await begun;
  const { healthy, consumers: [told], holds } = connection.health();
  assertEquals([healthy, told?.queues, told?.inFlight], [true, ["jobs"], 1]);
  assertEquals(holds.slice(1), [
    `a consumer of "jobs", with 1 message unsettled`,
  ]);
  assert(holds[0]?.startsWith(`the connection to "memory://`), holds[0]);
  finish();
  await consumer.cancel();
  await running;
  await connection.close();
  assertEquals(connection.health().holds, []);
});
