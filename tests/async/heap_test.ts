import { assertEquals } from "@std/assert";
import { Heap } from "../../async/heap.ts";

Deno.test("a heap gives back the first by its order, whatever came and went between", () => {
  const heap = new Heap<number>((a, b) => a < b);
  const sorted: number[] = [];
  for (let i = 0; i < 2000; i++) {
    const item = (i * 7919) % 1009;
    heap.add(item);
    sorted.push(item);
    sorted.sort((a, b) => a - b);
    if (i % 3 === 2) assertEquals(heap.take(), sorted.shift());
    assertEquals([heap.first, heap.size], [sorted[0], sorted.length]);
  }
  heap.keep((item) => item % 2 === 0);
  for (const item of sorted.filter((each) => each % 2 === 0)) {
    assertEquals(heap.take(), item);
  }
  assertEquals([heap.take(), heap.size], [undefined, 0]);
});
