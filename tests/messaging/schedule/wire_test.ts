import { assertEquals, assertThrows } from "@std/assert";
import { payloadOf, readSheet } from "../../../messaging/schedule/wire.ts";

const definition = {
  when: { every: 1000 },
  missed: "one",
  exchange: "",
  routingKey: "q",
  properties: {},
  body: "",
} as const;

const state = {
  name: "s",
  version: 0,
  since: 100,
  definition,
  from: 100,
  last: 100,
};

function bytesOf(change: object): Uint8Array {
  const token = payloadOf({ type: "token", by: "me", state });
  const text = JSON.stringify({
    ...token as object,
    state: { ...state, ...change },
  });
  return new TextEncoder().encode(text);
}

Deno.test("a token of a schedule, and of one that was removed, is read", () => {
  for (const change of [{}, { definition: null }]) {
    assertEquals(readSheet(bytesOf(change)).type, "token");
  }
  const when = { cron: "* * * * *", timezone: "Europe/Berlin" };
  readSheet(bytesOf({ definition: { ...definition, when } }));
});

for (
  const [what, change] of Object.entries({
    "that ticks without a pause": { when: { every: 0 } },
    "that ticks a thousand times a millisecond": { when: { every: 0.001 } },
    "that ticks backwards": { when: { every: -1000 } },
    "that ticks never": { when: {} },
    "whose time is a text": { when: "daily" },
    "that goes nowhere": { routingKey: undefined },
    "whose body is no text": { body: 7 },
    "without properties": { properties: null },
  })
) {
  Deno.test(`a token of a schedule ${what} is none`, () => {
    assertThrows(
      () => readSheet(bytesOf({ definition: { ...definition, ...change } })),
      Error,
      "none of this version",
    );
  });
}
