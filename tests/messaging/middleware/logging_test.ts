import { assert, assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { logging, type LogLine } from "@dashi/mq/middleware";

Deno.test("a line has what the message has, and how long it took in milliseconds", async () => {
  await using connection = createConnection(`memory://${crypto.randomUUID()}`);
  const lines: LogLine[] = [];
  connection.use(logging({ log: (line) => void lines.push(line) }));
  const queue = new Queue("logged");
  const began = performance.now();
  await connection.send(queue, 1);
  await connection.send(queue, 2, { delay: 1 });
  const consumer = connection.consumer(queue);
  let calls = 0;
  await consumer.run(() => void (++calls === 2 && consumer.cancel()));
  const took = performance.now() - began;
  const published = lines.filter(({ event }) => event === "published");
  assertEquals(published.map((line) => line.delay), [undefined, 1]);
  for (const { event, correlationId, delay } of lines) {
    if (event === "published") continue;
    assertEquals([correlationId, delay], [undefined, undefined], event);
  }
  const durations = lines.flatMap(({ duration }) => duration ?? []);
  assert(durations.length >= 2, JSON.stringify(lines));
  for (const each of durations) assert(each >= 0 && each <= took, `${each}`);
});

Deno.test("a line of a message and of its settlement has the correlation and the delay, where there are some", async () => {
  await using connection = createConnection(`memory://${crypto.randomUUID()}`);
  const lines: LogLine[] = [];
  connection.use(logging({ log: (line) => void lines.push(line) }));
  const queue = new Queue("logged");
  await connection.send(queue, 1, { correlationId: "order 1" });
  const consumer = connection.consumer(queue);
  let calls = 0;
  await consumer.run(async (message) => {
    if (++calls === 1) await message.requeue({ delay: 5 });
    else void consumer.cancel();
  });
  const all = lines.filter(({ queue, messageId }) => queue ?? messageId);
  const correlations = new Set(all.map(({ correlationId }) => correlationId));
  assertEquals([...correlations], ["order 1"], JSON.stringify(lines));
  assertEquals(lines.flatMap(({ delay }) => delay ?? []), [5]);
  for (const line of lines) assert(line.delay !== 0, JSON.stringify(line));
});

Deno.test("a line of a settlement has its delay and its error, where there are some", async () => {
  await using connection = createConnection(`memory://${crypto.randomUUID()}`);
  const lines: LogLine[] = [];
  connection.use(logging({ log: (line) => void lines.push(line) }));
  const queue = new Queue("logged");
  await connection.send(queue, 1);
  const consumer = connection.consumer(queue);
  let calls = 0;
  await consumer.run(async (message) => {
    calls++;
    if (calls === 1) return await message.requeue();
    if (calls === 2) return await message.requeue({ delay: 1 });
    void consumer.cancel();
    throw new Error("bad luck");
  }, { retry: false, onError: () => {} });
  const settled = lines.filter(({ event }) =>
    event === "requeued" || event === "parked"
  );
  assertEquals(
    settled.map((line) => [
      line.event,
      "delay" in line ? line.delay : "none",
      "error" in line ? line.error?.message : "none",
    ]),
    [
      ["requeued", "none", "none"],
      ["requeued", 1, "none"],
      ["parked", "none", "bad luck"],
    ],
  );
});

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

Deno.test("a line of a failure has the error's code, where it has one that is a text", async () => {
  await using connection = createConnection(`memory://${crypto.randomUUID()}`, {
    onUnhandled: () => {},
  });
  const errors: unknown[] = [];
  connection.use(logging({
    log: ({ event, error }) => void (event === "handled" && errors.push(error)),
  }));
  const queue = new Queue<number>("logged");
  for (let n = 0; n < 3; n++) await connection.send(queue, n);
  const consumer = connection.consumer(queue);
  const thrown = [
    Object.assign(new RangeError("a"), { code: "E_ORDER" }),
    Object.assign(new Error("b"), { code: 7 }),
    "c",
  ];
  await consumer.run(({ payload }) => {
    if (payload === 2) void consumer.cancel();
    throw thrown[payload];
  }, { retry: false });
  assertEquals(errors, [
    { name: "RangeError", message: "a", code: "E_ORDER" },
    { name: "Error", message: "b" },
    { name: "string", message: "c" },
  ]);
});
