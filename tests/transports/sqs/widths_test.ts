import { assertEquals } from "@std/assert";
import { Widths } from "../../../transports/sqs/widths.ts";

/** Plays rounds `[got, took]`, each as wide as was learned, and returns how wide each was. */
function play(widths: Widths, rounds: readonly [number, number][]): number[] {
  return rounds.map(([got, took]) => {
    const asked = widths.of("q");
    widths.learn("q", { asked, got: Math.min(got, asked), took });
    return asked;
  });
}

const MANY: [number, number] = [10, 5];

Deno.test("after three quick answers in a row two receives are sent at once, then twice as many, to ten", () => {
  const widths = new Widths();
  assertEquals(
    play(widths, Array(9).fill(MANY)),
    [1, 1, 1, 2, 4, 8, 10, 10, 10],
  );
  assertEquals(widths.of("another"), 1);
});

Deno.test("an answer that was waited for, or has nothing, begins the row anew", () => {
  const others: [number, number][] = [[1, 251], [0, 5], [0, 1000]];
  for (const other of others) {
    const rounds = [MANY, MANY, other, MANY, MANY, MANY, MANY];
    assertEquals(play(new Widths(), rounds), [1, 1, 1, 1, 1, 1, 2]);
  }
});

Deno.test("a round in which not all had a message makes the next as wide as those that had", () => {
  const widths = new Widths();
  play(widths, Array(6).fill(MANY));
  assertEquals(play(widths, [[7, 5], [7, 5], [3, 5]]), [10, 7, 10]);
  assertEquals(play(widths, [[0, 5], [0, 1000]]), [3, 1]);
});

Deno.test("where there was no more again and again, more is asked for ever more rarely, until messages are waited for", () => {
  const widths = new Widths();
  const one: [number, number] = [1, 5];
  const asked = play(widths, Array(300).fill(one));
  const gaps = asked.flatMap((each, at) => each > 1 ? [at] : [])
    .map((at, i, all) => at - (all[i - 1] ?? -1) - 1);
  assertEquals(gaps, [3, 6, 12, 24, 48, 96, 96]);
  play(widths, [[1, 2000]]);
  assertEquals(play(widths, Array(4).fill(MANY)), [1, 1, 1, 2]);
});

Deno.test("who wants one alone keeps what was learned while it comes quickly", () => {
  const widths = new Widths();
  play(widths, Array(5).fill(MANY));
  assertEquals(widths.of("q"), 8);
  widths.learn("q", { asked: 1, got: 1, took: 5 });
  assertEquals(widths.of("q"), 8);
  widths.learn("q", { asked: 2, got: 2, took: 5 });
  assertEquals(widths.of("q"), 8);
  widths.learn("q", { asked: 1, got: 1, took: 300 });
  assertEquals(widths.of("q"), 1);
});
