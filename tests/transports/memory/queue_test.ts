import { assertEquals } from "@std/assert";
import { Kept } from "../../../transports/memory/kept.ts";
import { MemoryQueue } from "../../../transports/memory/queue.ts";
import { Slab } from "../../../model/slab.ts";
import { messageTo } from "../../support/redis_transport.ts";

const SLAB = new Slab();

Deno.test("memory: messages that are due at the same moment come in the order of their puts", () => {
  const queue = new MemoryQueue("q", {}, 0);
  const dueAt = [5, 5, 3, 5, 3, 4];
  for (const [sequence, due] of dueAt.entries()) {
    queue.push({
      message: new Kept(messageTo("", "q"), SLAB),
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

Deno.test("memory: as many bytes as a queue may have are not too many", () => {
  const body = new Uint8Array(10);
  const queue = new MemoryQueue("q", { "x-max-length-bytes": 20 }, 0);
  for (let sequence = 0; sequence < 3; sequence++) {
    assertEquals(queue.overflows, false);
    queue.push({
      message: new Kept({ ...messageTo("", "q"), body }, SLAB),
      sequence,
      expiresAt: Infinity,
      dueAt: 0,
      deliveryCount: 0,
    }, 0);
  }
  assertEquals(queue.overflows, true);
  queue.take();
  assertEquals(queue.overflows, false);
});
