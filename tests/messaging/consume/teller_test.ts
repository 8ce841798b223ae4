/** The errors of a run, and who is told of them. */

import { assertEquals } from "@std/assert";
import type { Message } from "../../../messaging/consume/message.ts";
import { Teller } from "../../../messaging/consume/teller.ts";

const MESSAGE = {
  deliveryInfo: { queue: "q" },
  properties: {},
  attempt: 1,
} as Partial<Message<unknown>> as Message<unknown>;

Deno.test("an error that onError was told of is heard, and one that it throws is not", async () => {
  const [down, bug, late] = ["down", "bug", "late"].map((each) =>
    new Error(each)
  );
  const onErrors = {
    none: undefined,
    good: () => {},
    bad: () => {
      throw bug;
    },
    late: () => Promise.reject(late),
  };
  const told: unknown[] = [];
  const noted: unknown[] = [];
  for (const onError of Object.values(onErrors)) {
    const teller = new Teller(
      (event, isHeard) => {
        if (event.type === "handler-failed") told.push([event.error, isHeard]);
      },
      onError,
      (error) => noted.push(error),
    );
    teller.failed(down, MESSAGE);
    await Promise.resolve();
  }
  assertEquals(told, [
    [down, false],
    [down, true],
    [down, true],
    [bug, false],
    [down, true],
    [late, false],
  ]);
  assertEquals(noted, [down, down, down, down]);
});
