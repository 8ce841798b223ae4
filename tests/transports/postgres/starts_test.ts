import { assertEquals } from "@std/assert";
import { Starts } from "../../../transports/postgres/starts.ts";

/** So many rows, whose numbers begin at one. */
function rowsFrom(first: number, count: number) {
  return Array.from({ length: count }, (_, i) => ({ id: first + i }));
}

Deno.test("takes of a long queue begin behind what was taken, and now and then at the beginning", () => {
  const starts = new Starts();
  const froms: number[] = [];
  for (let i = 0; i < 24; i++) {
    const from = starts.of(1);
    froms.push(from);
    const rows = rowsFrom(1 + 100 * i, 100);
    starts.took(1, { from, rows, limit: 100 });
  }
  // Five takes until it is worth while, then sixteen, one from the beginning, and on.
  const behind = Array.from({ length: 16 }, (_, i) => 501 + 100 * i);
  assertEquals(froms, [0, 0, 0, 0, 0, ...behind, 0, 2201, 2301]);
  assertEquals(starts.of(2), 0);
});

Deno.test("a take that has found less than it asked for has seen all", () => {
  const starts = new Starts();
  starts.took(1, { from: 0, rows: rowsFrom(1, 500), limit: 500 });
  assertEquals(starts.of(1), 501);
  starts.took(1, { from: 501, rows: rowsFrom(501, 3), limit: 500 });
  assertEquals(starts.of(1), 0);
});
