import { assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { logging } from "@dashi/mq/middleware";

Deno.test("no message fails for a line that cannot be logged", async () => {
  await using connection = createConnection(`memory://${crypto.randomUUID()}`);
  const logs = [
    () => {
      throw new Error("the disk is full");
    },
    () => Promise.reject(new Error("the collector is away")),
  ];
  for (const log of logs) connection.use(logging({ log }));
  const queue = new Queue("logged");
  await connection.send(queue, 1);
  const consumer = connection.consumer(queue);
  let calls = 0;
  await consumer.run(() => {
    if (++calls === 1) throw new Error("once");
    void consumer.cancel();
  }, { retry: { attempts: 2, backoff: 0 } });
  assertEquals(calls, 2);
  assertEquals((await connection.queueStatus(queue)).messageCount, 0);
});
