import { createConnection, Queue } from "@dashi/mq";

Deno.test("cancel() of a consumer that has not begun has nothing to ask, and so nothing that could be late", async () => {
  await using connection = createConnection(`memory://${crypto.randomUUID()}`);
  const consumer = connection.consumer(new Queue("q"));
  await consumer.cancel({ signal: AbortSignal.abort(new Error("too late")) });
});
