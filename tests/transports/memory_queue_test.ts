import { assertEquals } from "@std/assert";
import { MemoryQueue } from "../../transports/memory/queue.ts";
import { messageTo } from "../support/redis_transport.ts";

Deno.test("memory: what is due at the same moment comes in the order of its puts", () => {
  const queue = new MemoryQueue("q", {}, 0);
  const dueAt = [5, 5, 3, 5, 3, 4];
  for (const [sequence, due] of dueAt.entries()) {
    queue.push({
      message: messageTo("", "q"),
      sequence,
      expiresAt: Infinity,
      dueAt: due,
      deliveryCount: 0,
    }, 0);
  }
  assertEquals([queue.size, queue.nextAt()], [0, 3]);
  queue.pass(10);
  const taken = dueAt.map(() => queue.take()?.sequence);
  assertEquals(taken, [2, 4, 5, 0, 1, 3]);
});
