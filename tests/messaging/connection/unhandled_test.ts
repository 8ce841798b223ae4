/** The lines on the console while nobody listens. */

import { assertEquals } from "@std/assert";
import { SettlementError } from "../../../mod.ts";
import { Unhandled } from "../../../messaging/connection/unhandled.ts";
import { TestClock } from "../../../testing/clock.ts";

Deno.test("events that were counted and not told are told in one line at the end", () => {
  const lines: string[] = [];
  const { error } = console;
  // deno-lint-ignore no-console -- it is looked at
  console.error = (line: string) => lines.push(line);
  try {
    const unhandled = new Unhandled(new TestClock(), undefined);
    for (const queue of ["a", "b", "b"]) {
      unhandled.tell({
        type: "dropped",
        queue,
        messageId: undefined,
        error: new Error("no place"),
      });
    }
    unhandled.flush();
    unhandled.flush();
  } finally {
    // deno-lint-ignore no-console -- it is looked at
    console.error = error;
  }
  const told = lines.filter((line) => line.includes("more of"));
  assertEquals(told.length, 1, lines.join("\n"));
});

Deno.test("a message that no handler was called for is told as refused, and others by their attempts", () => {
  const lines: string[] = [];
  const { error } = console;
  // deno-lint-ignore no-console -- it is looked at
  console.error = (line: string) => lines.push(line);
  try {
    for (const attempts of [0, 1, 5]) {
      new Unhandled(new TestClock(), undefined).tell({
        type: "parked",
        queue: "jobs",
        to: { kind: "queue", name: "jobs.failed" },
        messageId: undefined,
        error: new Error("no id"),
        attempts,
      });
    }
  } finally {
    // deno-lint-ignore no-console -- it is looked at
    console.error = error;
  }
  assertEquals(
    lines.map((line) => line.replace(/^.* is /, "")),
    [
      'refused, and parked in queue "jobs.failed": no id',
      'parked in queue "jobs.failed" after 1 attempt: no id',
      'parked in queue "jobs.failed" after 5 attempts: no id',
    ],
  );
});

Deno.test("a message that its connection took with it is not told as its handler's failure", () => {
  const lines: string[] = [];
  const { error } = console;
  // deno-lint-ignore no-console -- it is looked at
  console.error = (line: string) => lines.push(line);
  try {
    new Unhandled(new TestClock(), undefined).tell({
      type: "handler-failed",
      queue: "jobs",
      messageId: "7",
      error: new SettlementError("Cannot ack it: its connection has ended", {
        code: "message-settled",
      }),
      attempt: 1,
      next: undefined,
    });
  } finally {
    // deno-lint-ignore no-console -- it is looked at
    console.error = error;
  }
  assertEquals(lines, [
    '@dashi/mq: a message (7) of queue "jobs" is not settled here: Cannot ack it: its connection has ended',
  ]);
});
