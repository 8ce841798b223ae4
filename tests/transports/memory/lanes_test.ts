/** The lanes of an ordered queue: whose turn it is, and what expires in them. */

import { assert, assertEquals } from "@std/assert";
import type { Item } from "../../../transports/memory/kept.ts";
import { Kept } from "../../../transports/memory/kept.ts";
import { MemoryQueue } from "../../../transports/memory/queue.ts";
import { Slab } from "../../../model/slab.ts";
import { messageTo } from "../../support/redis_transport.ts";

const SLAB = new Slab();
let sequence = 0;

function item(key: string | undefined, over: Partial<Item> = {}): Item {
  const headers = key === undefined ? {} : { "x-key": key };
  return {
    message: new Kept({ ...messageTo("", "q"), properties: { headers } }, SLAB),
    sequence: ++sequence,
    expiresAt: Infinity,
    dueAt: 0,
    deliveryCount: 0,
    ...over,
  };
}

function ordered(): MemoryQueue {
  const declared = { "x-ordered": true, "x-dead-letter-exchange": "" };
  return new MemoryQueue("q", declared, 0);
}

Deno.test("memory: a key has its turn again at the end of the ring, when its message is settled", () => {
  const queue = ordered();
  const [a1, a2, b1, b2, c1] = ["a", "a", "b", "b", "c"].map((key) => {
    const each = item(key);
    queue.push(each, 0);
    return each;
  });
  assertEquals([queue.take(), queue.take()], [a1, b1]);
  if (a1 !== undefined) queue.settled(a1);
  assertEquals([queue.take(), queue.take(), queue.take()], [c1, a2, undefined]);
  if (b1 !== undefined) queue.restore(b1, true);
  assertEquals([queue.take(), queue.take(), queue.size], [b1, undefined, 1]);
  if (b1 !== undefined) queue.settled(b1);
  assertEquals([queue.take(), queue.take(), queue.size], [b2, undefined, 0]);
});

Deno.test("memory: a message that comes back later keeps its key, over a purge too", () => {
  const queue = ordered();
  const [a1, a2] = [item("a"), item("a")];
  queue.push(a1, 0);
  queue.push(a2, 0);
  assertEquals(queue.take(), a1);
  queue.push({ ...a1, dueAt: 10, keepsKey: true }, 0);
  assertEquals([queue.take(), queue.size, queue.nextAt()], [undefined, 1, 10]);
  assertEquals(queue.purge(), 1);
  const a3 = item("a");
  queue.push(a3, 0);
  assertEquals(queue.take(), undefined);
  queue.pass(10);
  assertEquals(queue.take()?.sequence, a1.sequence);
  assertEquals(queue.take(), undefined);
  queue.settled(a1);
  assertEquals(queue.take(), a3);
});

Deno.test("memory: messages expire while another of their key is out, and after many keys have come and gone", () => {
  const queue = ordered();
  const a1 = item("a");
  queue.push(a1, 0);
  assertEquals(queue.take(), a1);
  queue.push(item("a", { expiresAt: 5 }), 0);
  queue.push(item(undefined, { expiresAt: 7 }), 0);
  assertEquals(queue.nextAt(), 5);
  queue.pass(6);
  assertEquals([queue.expired.size, queue.size, queue.nextAt()], [1, 1, 7]);
  queue.pass(7);
  assertEquals([queue.expired.size, queue.size], [2, 0]);
  // The looks of keys that are gone are dropped, and not those of `a`.
  queue.push(item("a", { expiresAt: 2000 }), 8);
  const z1 = item("z", { expiresAt: 2000 });
  queue.push(z1, 8);
  assertEquals(queue.take(), z1);
  for (let i = 0; i < 500; i++) {
    const each = item(`key ${i}`, { expiresAt: 1000 + i });
    queue.push(each, 8);
    assertEquals(queue.take(), each);
    queue.settled(each);
  }
  queue.push(item("key 0", { expiresAt: 1500 }), 8);
  queue.push(item("z", { expiresAt: 2500 }), 8);
  queue.pass(1600);
  assertEquals([queue.expired.size, queue.size], [3, 2]);
  queue.pass(2000);
  assertEquals([queue.expired.size, queue.size], [4, 1]);
  queue.pass(2500);
  assertEquals([queue.expired.size, queue.size], [5, 0]);
  assertEquals([queue.nextAt(), queue.take()], [Infinity, undefined]);
});

Deno.test("memory: keys whose messages have all expired are forgotten when their turn comes", () => {
  const queue = ordered();
  for (let i = 0; i < 500; i++) {
    queue.push(item(`expired ${i}`, { expiresAt: 5 }), 0);
  }
  queue.push(item("a"), 0);
  queue.pass(5);
  assertEquals([queue.expired.size, queue.size], [500, 1]);
  assertEquals(queue.take()?.expiresAt, Infinity);
  // More keys come and go than are known: nothing is to be looked at for them.
  for (let i = 0; i < 100; i++) {
    const each = item(`key ${i}`, { expiresAt: 1000 + i });
    queue.push(each, 5);
    assertEquals(queue.take(), each);
    queue.settled(each);
  }
  assert(queue.nextAt() >= 1050, `it looks at ${queue.nextAt()}`);
});
