/** Two processes' knowledge of a schedule, joined. */

import { assertEquals } from "@std/assert";
import {
  type Definition,
  join,
  type ScheduleState,
} from "../../../messaging/schedule/state.ts";

const definition = (every: number): Definition => ({
  when: { every },
  missed: "one",
  exchange: "",
  routingKey: "q",
  properties: {},
  body: "",
});

const state = (given: Partial<ScheduleState>): ScheduleState => ({
  name: "s",
  version: 0,
  since: 100,
  definition: definition(1000),
  from: 100,
  last: 100,
  ...given,
});

/** Both ways, twice: the order and the number of copies do not matter. */
function joined(a: ScheduleState, b: ScheduleState): ScheduleState {
  const result = join(a, b);
  assertEquals(join(b, a), result);
  assertEquals(join(result, a), result);
  assertEquals(join(b, result), result);
  return result;
}

Deno.test("two tokens that a crash has left go on after the later tick", () => {
  const old = state({ last: 5000 });
  assertEquals(joined(old, { ...old, last: 7000 }).last, 7000);
});

Deno.test("one that is given again goes on where it was, with what was missed", () => {
  const held = state({ last: 5000 });
  const again = state({ since: 90_000, from: 90_000, last: 90_000 });
  const { last, since } = joined(held, again);
  assertEquals([last, since], [5000, 90_000]);
  // Given by two at once, before anybody has held it.
  const fresh = joined(again, {
    ...again,
    since: 90_500,
    from: 90_500,
    last: 90_500,
  });
  assertEquals(fresh.last, 90_000);
});

Deno.test("ticks between a token that a killed process still held and one that was given meanwhile are published", () => {
  const killed = state({ last: 5000 });
  const meanwhile = state({ since: 8000, from: 8000, last: 30_000 });
  const { from, last } = joined(killed, meanwhile);
  assertEquals([from, last], [100, 5000]);
  const later = joined(state({ last: 9000 }), meanwhile);
  assertEquals([later.from, later.last], [100, 30_000]);
});

Deno.test("of one version that holds which was given later, and of two the higher", () => {
  const first = state({ since: 1 });
  const later = state({ since: 2, definition: definition(2000) });
  assertEquals(joined(first, later).definition, later.definition);
  const higher = state({ version: 1, definition: definition(3000) });
  assertEquals(joined(higher, later).definition, higher.definition);
});

Deno.test("one at another time begins when it was given: its ticks before that were never meant", () => {
  const held = state({ last: 5000 });
  const changed = state({
    since: 90_000,
    from: 90_000,
    last: 90_000,
    definition: definition(2000),
  });
  assertEquals(joined(held, changed).last, 90_000);
  // The payload changes, and the times do not: nothing is left out.
  const payload = { ...definition(1000), body: "MQ==" };
  const other = state({ since: 90_000, from: 90_000, definition: payload });
  assertEquals(joined(held, other).last, 5000);
});

Deno.test("a removal holds against all of its version, given later too, and not against a higher one", () => {
  const removed = state({ since: 50, definition: null, version: 1 });
  const old = state({ since: 99_000, version: 1 });
  assertEquals(joined(removed, old).definition, null);
  const higher = state({ since: 60, version: 2, from: 60, last: 60 });
  const { definition, last } = joined(removed, higher);
  assertEquals([definition, last], [higher.definition, 60]);
});
