import { assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { Marks } from "../../../transports/memory/marks.ts";
import { TestClock } from "../../../testing/clock.ts";

Deno.test("marks of messages that were published once go by themselves: their number stays flat", () => {
  const clock = new TestClock();
  const marks = new Marks(clock);
  let most = 0;
  for (let i = 0; i < 20_000; i++) {
    const mark = { key: `k${i}`, token: "t", window: i % 2 === 0 ? 10 : 100 };
    assertEquals(marks.find(mark), undefined);
    marks.leave(mark);
    most = Math.max(most, marks.size);
    clock.pass(1);
  }
  // One each millisecond: half of them stay for 10 ms, half for 100.
  assertEquals(most <= 56, true, `${most}`);
  clock.pass(100);
  assertEquals(marks.find({ key: "k0", token: "t", window: 1 }), undefined);
  assertEquals(marks.size, 0);
});

Deno.test("a publish without dedupe leaves no mark, and resolves with nothing", async () => {
  await using connection = createConnection(`memory://${crypto.randomUUID()}`);
  const queue = new Queue("plain");
  const options = { messageId: "7" };
  assertEquals(await connection.send(queue, 1, options), undefined);
  assertEquals(await connection.send(queue, 1, options), undefined);
  assertEquals((await connection.declare(queue)).messageCount, 2);
});
