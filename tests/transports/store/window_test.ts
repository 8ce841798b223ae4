import { assertEquals } from "@std/assert";
import { deliveryTag } from "../../../model/message.ts";
import { Window } from "../../../transports/store/window.ts";

Deno.test("a window finds by its tag what is unsettled, and counts it", () => {
  const window = new Window<string>();
  assertEquals([window.size, window.oldest, window.next], [0, 1, 1]);
  const tags = ["a", "b", "c"].map((each) => window.add(each));
  assertEquals(tags.map(Number), [1, 2, 3]);
  assertEquals([window.size, window.oldest, window.next], [3, 1, 4]);
  assertEquals(tags.map((tag) => window.at(tag)), ["a", "b", "c"]);
  assertEquals(window.take(deliveryTag(2)), "b");
  assertEquals(window.take(deliveryTag(2)), undefined);
  assertEquals(window.at(deliveryTag(2)), undefined);
  assertEquals([window.size, window.oldest], [2, 1]);
  assertEquals(
    [...window.entries()].map(([tag, held]) => [Number(tag), held]),
    [
      [1, "a"],
      [3, "c"],
    ],
  );
  assertEquals(window.take(deliveryTag(1)), "a");
  assertEquals([window.size, window.oldest], [1, 3]);
  for (const wrong of [0, 1, 4, 100, -1]) {
    assertEquals(window.take(deliveryTag(wrong)), undefined);
    assertEquals(window.at(deliveryTag(wrong)), undefined);
  }
  assertEquals(window.clear(), ["c"]);
  assertEquals([window.size, window.oldest, window.next], [0, 4, 4]);
});

Deno.test("a window takes out all up to a tag, the oldest first, and no more than there is", () => {
  const window = new Window<number>();
  for (let i = 1; i <= 5; i++) window.add(i);
  window.take(deliveryTag(2));
  assertEquals(window.takeUpTo(deliveryTag(3)), [1, 3]);
  assertEquals(window.takeUpTo(deliveryTag(3)), []);
  assertEquals(window.takeUpTo(deliveryTag(99)), [4, 5]);
  assertEquals(window.size, 0);
});

Deno.test("a window replaces what is unsettled alone", () => {
  const window = new Window<string>();
  const [a, b] = [window.add("a"), window.add("b")];
  window.take(a);
  window.replace(a, "x");
  window.replace(b, "y");
  window.replace(deliveryTag(3), "z");
  assertEquals([window.at(a), window.at(b), window.size], [undefined, "y", 1]);
});

Deno.test("a window grows where the oldest stays, and goes round where it does not", () => {
  const window = new Window<number>();
  const oldest = window.add(0);
  for (let i = 1; i < 1000; i++) {
    const tag = window.add(i);
    if (i % 3 !== 0) assertEquals(window.take(tag), i);
  }
  assertEquals(window.size, 334);
  assertEquals(window.take(oldest), 0);
  assertEquals(window.oldest, 4);
  const left = [...window.entries()].map(([, held]) => held);
  assertEquals(left, Array.from({ length: 333 }, (_, i) => 3 * (i + 1)));
  assertEquals(window.clear(), left);
  for (let i = 0; i < 10_000; i++) {
    assertEquals(window.take(window.add(i)), i);
  }
  assertEquals([window.size, window.oldest], [0, 11_001]);
});

Deno.test("a window's room goes by what is unsettled, however many come and go behind it", () => {
  const window = new Window<number>();
  const stay = [window.add(0), window.add(1)];
  for (let i = 2; i < 300_000; i++) {
    const tag = window.add(i);
    if (i % 50_000 === 0) stay.push(tag);
    else assertEquals(window.take(tag), i);
    // At a cost that grew with what was delivered, these would take hours.
    if (i % 10 === 0) {
      let count = 0;
      for (const [each] of window.entries()) {
        assertEquals(each, stay[count++]);
      }
      assertEquals([count, window.size], [stay.length, stay.length]);
      assertEquals(window.oldest, Number(stay[0]));
    }
  }
  const held = stay.map((tag) => window.at(tag));
  assertEquals(held, [0, 1, 50_000, 100_000, 150_000, 200_000, 250_000]);
  const [first, second, third] = stay;
  if (first === undefined || second === undefined || third === undefined) {
    throw new Error("they stay");
  }
  window.replace(second, 7);
  assertEquals([window.take(first), window.take(first)], [0, undefined]);
  assertEquals([window.oldest, window.size], [Number(second), 6]);
  assertEquals(window.takeUpTo(third), [7, 50_000]);
  assertEquals(window.clear(), [100_000, 150_000, 200_000, 250_000]);
  assertEquals([window.size, window.oldest], [0, window.next]);
});
