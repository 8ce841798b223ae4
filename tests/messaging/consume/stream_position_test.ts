/** The offset at which a consumer of streams goes on. */

import { assertEquals, assertStrictEquals } from "@std/assert";
import { positionsOf } from "../../../messaging/consume/stream_options.ts";
import { StreamPositions } from "../../../messaging/consume/stream_position.ts";
import type { Delivery } from "../../../model/message.ts";

const OFFSET = "x-stream-offset";

function at(offset: number): Delivery {
  const properties = { headers: { [OFFSET]: offset } };
  return { properties } as Partial<Delivery> as Delivery;
}

Deno.test("a stream is read on from the first that is not settled, and each stream by itself", () => {
  const positions = new StreamPositions({ [OFFSET]: "first" });
  const next = (queue: string) => positions.argumentsFor(queue)?.[OFFSET];
  const stream = positions.of("s");
  assertEquals(next("s"), "first");
  for (const offset of [3, 2, 4]) stream?.take(at(offset));
  stream?.settle(at(2));
  assertEquals(next("s"), 3);
  // A message that was in hand is delivered anew: it does not count before it has come.
  assertEquals(next("s"), 3);
  stream?.take(at(7));
  stream?.settle(at(7));
  assertEquals(next("s"), 8);
  stream?.settle(at(3));
  assertEquals(next("s"), 8);
  assertEquals(next("other"), "first");
});

Deno.test("a stream without a given beginning keeps no positions", () => {
  const positions = new StreamPositions({ other: 1 });
  assertEquals(positions.of("s"), undefined);
  assertEquals(positions.argumentsFor("s"), { other: 1 });
});

Deno.test("a stream that is consumed once more goes on from what was noted before", () => {
  const positions = new StreamPositions({ [OFFSET]: "first" });
  const before = positions.of("s");
  before?.take(at(5));
  before?.settle(at(5));
  assertStrictEquals(positions.of("s"), before);
  assertEquals(positions.argumentsFor("s")?.[OFFSET], 6);
});

Deno.test("a message without an offset moves nothing", () => {
  const positions = new StreamPositions({ [OFFSET]: "first" });
  const stream = positions.of("s");
  const none = { properties: {} } as Partial<Delivery> as Delivery;
  stream?.take(none);
  assertEquals(positions.argumentsFor("s")?.[OFFSET], "first");
  stream?.take(at(5));
  stream?.take(none);
  stream?.settle(none);
  assertEquals(positions.argumentsFor("s")?.[OFFSET], 5);
});

Deno.test("a consumer's offset is added to its arguments, and without one these stay", () => {
  const given = { other: 1 };
  const all = (offset?: number) =>
    positionsOf({ offset, arguments: given }, ["s"]).argumentsFor("s");
  assertEquals(all(5), { other: 1, [OFFSET]: 5 });
  assertEquals(all(), given);
});
