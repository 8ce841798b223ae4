import { assertEquals } from "@std/assert";
import { History } from "../../../cli/ui/history.ts";

function seen(ready: Readonly<Record<string, number | undefined>>) {
  return new Map(
    Object.entries(ready).map(([name, count]) => [
      name,
      { ready: count, delayed: undefined, unacked: 0 },
    ]),
  );
}

Deno.test("a history forgets the oldest for the newest", () => {
  const history = new History(3, 10);
  for (let i = 1; i <= 5; i++) history.add(i * 1000, seen({ a: i }));
  assertEquals(history.of("a"), {
    times: [3000, 4000, 5000],
    ready: [3, 4, 5],
    delayed: [null, null, null],
    unacked: [0, 0, 0],
    published: [null, null, null],
    consumed: [null, null, null],
  });
  assertEquals(history.of("a", 2)?.ready, [4, 5]);
});

Deno.test("a history knows nothing of the time before a queue, nor of a gap", () => {
  const history = new History(5, 10);
  history.add(1000, seen({ a: 1 }));
  history.add(2000, seen({ a: 2, b: 7 }));
  history.addGap(3000);
  history.add(4000, seen({ a: 4, b: 9 }));
  assertEquals(history.of("a")?.ready, [1, 2, null, 4]);
  assertEquals(history.of("b")?.ready, [null, 7, null, 9]);
  assertEquals(history.rateOf("a", "depth", 3), 1);
  assertEquals(history.rateOf("b", "depth", 3), 1);
});

Deno.test("a history forgets a queue that is gone, and has room for another one", () => {
  const history = new History(3, 1);
  history.add(1000, seen({ a: 1, b: 1 }));
  assertEquals([history.of("a")?.ready, history.of("b")], [[1], undefined]);
  history.add(2000, seen({ b: 2 }));
  assertEquals([history.of("a"), history.of("b")?.ready], [
    undefined,
    [null, 2],
  ]);
});

Deno.test("a rate is that of the last times, and of what is known", () => {
  const history = new History(10, 10);
  assertEquals(history.rateOf("a", "depth", 2), undefined);
  history.add(1000, seen({ a: 100, b: undefined }));
  assertEquals(history.rateOf("a", "depth", 2), undefined);
  history.add(2000, seen({ a: 100 }));
  history.add(4000, seen({ a: 70 }));
  assertEquals(history.rateOf("a", "depth", 1), -15);
  assertEquals(history.rateOf("a", "depth", 2), -10);
});

Deno.test("what comes in and what leaves is counted by itself", () => {
  const history = new History(10, 10);
  const add = (time: number, published: number, consumed: number) =>
    history.add(time, new Map([["a", { ready: 7, published, consumed }]]));
  add(1000, 100, 93);
  add(3000, 140, 133);
  assertEquals(history.rateOf("a", "published", 1), 20);
  assertEquals(history.rateOf("a", "consumed", 1), 20);
  assertEquals(history.rateOf("a", "depth", 1), 0);
});
