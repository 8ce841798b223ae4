/** What is known of schedules while tokens come and go. */

import { assertEquals } from "@std/assert";
import type { ScheduleHost } from "../../../messaging/schedule/schedule_host.ts";
import type { ScheduleState } from "../../../messaging/schedule/state.ts";
import { Tokens } from "../../../messaging/schedule/tokens.ts";

const DEFINITION = {
  when: { every: 1000 },
  missed: "one",
  exchange: "",
  routingKey: "q",
  properties: {},
  body: "",
} as const;

function stateOf(from: number, last: number, since = from): ScheduleState {
  const definition = DEFINITION;
  return { name: "beat", version: 0, since, definition, from, last };
}

/** Nothing is published here. */
const HOST = {} as ScheduleHost;

Deno.test("a token that comes while a tick is published leaves none of its ticks out", () => {
  const tokens = new Tokens(HOST, "dashi.schedules");
  // Given again while a killed process still held the token: the ticks of between are nobody's.
  const state = tokens.learn(stateOf(138_000, 150_000));
  tokens.learn(stateOf(0, 100_000));
  assertEquals(tokens.done(state, 151_000), undefined);
  assertEquals(tokens.stateOf("beat")?.last, 100_000);
  const next = tokens.stateOf("beat");
  assertEquals(next && tokens.done(next, 101_000)?.last, 101_000);
});

Deno.test("ticks are done with one after another, and by what another process knows", () => {
  const tokens = new Tokens(HOST, "dashi.schedules");
  const first = tokens.learn(stateOf(0, 5000));
  const second = tokens.done(first, 6000);
  assertEquals(second?.last, 6000);
  assertEquals(second && tokens.done(second, 7000)?.last, 7000);
  tokens.learn(stateOf(0, 9000));
  assertEquals(second && tokens.done(second, 8000), undefined);
  assertEquals(tokens.stateOf("beat")?.last, 9000);
});
