/** The lines on the console while nobody listens. */

import { assert, assertEquals } from "@std/assert";
import {
  type ConnectionEvent,
  createConnection,
  Queue,
  SettlementError,
} from "../../../mod.ts";
import { Unhandled } from "../../../messaging/connection/unhandled.ts";
import { TestClock } from "../../../testing/clock.ts";
import { until } from "../../conformance/support.ts";

Deno.test("events that were counted and not told are told in one line at the end", async () => {
  const lines = await linesOf(() => {
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
  });
  const told = lines.filter((line) => line.includes("more of"));
  assertEquals(told.length, 1, lines.join("\n"));
});

const WHERE: readonly (readonly [
  what: string,
  events: readonly ConnectionEvent[],
  told: string,
])[] = [
  [
    "queues",
    ["a", "b", "b", "c"].map((queue) => dropped(queue)),
    '3 more of "dropped", queue "b", queue "c"',
  ],
  [
    "many queues",
    Array.from({ length: 9 }, (_, i) => dropped(`q${i}`)),
    '8 more of "dropped", queue "q1", queue "q2", queue "q3", queue "q4", queue "q5" and others',
  ],
  [
    "as many queues as are named",
    Array.from({ length: 6 }, (_, i) => dropped(`q${i}`)),
    '5 more of "dropped", queue "q1", queue "q2", queue "q3", queue "q4", queue "q5"',
  ],
  ["queues without a name", [dropped(""), dropped("")], '1 more of "dropped"'],
  [
    "an exchange",
    ["k", "l"].map((routingKey) => ({
      type: "unroutable",
      exchange: "x",
      routingKey,
      messageId: undefined,
    })),
    '1 more of "unroutable", exchange "x"',
  ],
];

function dropped(queue: string): ConnectionEvent {
  const error = new Error("no place");
  return { type: "dropped", queue, messageId: undefined, error };
}

for (const [what, events, told] of WHERE) {
  Deno.test(`events that were counted are told with where they were: ${what}`, async () => {
    const lines = await linesOf(() => {
      const unhandled = new Unhandled(new TestClock(), undefined);
      for (const event of events) unhandled.tell(event);
      unhandled.flush();
    });
    const [start = "", end = ""] = lines.at(-1)?.split(" (") ?? [];
    assertEquals(start, `@dashi/mq: not told one by one: ${told}`);
    assert(end.includes("onUnhandled"), end);
  });
}

Deno.test("a message that no handler was called for is told as refused, and others by their attempts", async () => {
  const lines = await linesOf(() => {
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
  });
  assertEquals(
    lines.map((line) => line.replace(/^.* is /, "")),
    [
      'refused, and parked in queue "jobs.failed": no id',
      'parked in queue "jobs.failed" after 1 attempt: no id',
      'parked in queue "jobs.failed" after 5 attempts: no id',
    ],
  );
});

Deno.test("a message that its connection took with it is not told as its handler's failure", async () => {
  const lines = await linesOf(() => {
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
  });
  assertEquals(lines, [
    '@dashi/mq: a message (7) of queue "jobs" is not settled here: Cannot ack it: its connection has ended',
  ]);
});

/** Collects the lines on the console meanwhile. */
async function linesOf(
  run: () => void | Promise<void>,
): Promise<string[]> {
  const lines: string[] = [];
  const { error } = console;
  // deno-lint-ignore no-console -- it is looked at
  console.error = (line: string) => lines.push(line);
  try {
    await run();
  } finally {
    // deno-lint-ignore no-console -- it is looked at
    console.error = error;
  }
  return lines;
}

for (
  const [what, deadLetter, place] of [
    ["parked", undefined, "jobs.failed"],
    ["dead-lettered", "jobs.dead", "jobs.dead"],
  ] as const
) {
  Deno.test(`a message that its schema refuses, and that is ${what}, is one line`, async () => {
    const lines = await linesOf(async () => {
      await using connection = createConnection(
        `memory://${crypto.randomUUID()}`,
      );
      const schema = () => {
        throw new Error("no number");
      };
      const queue = new Queue<never>("jobs", { schema, deadLetter });
      for (const messageId of ["one", "two"]) {
        await connection.send(new Queue("jobs", { deadLetter }), 1, {
          messageId,
        });
      }
      const running = connection.consumer(queue).run(() => {});
      running.catch(() => {});
      const failed = async () =>
        await connection.queueStatus(place).catch(() => undefined);
      await until(
        async () => (await failed())?.messageCount === 2,
        "both among the failed messages",
      );
    });
    const [first = "", ...others] = lines;
    assert(/one.*jobs.*no number/.test(first), lines.join("\n"));
    // What came after it in the minute is one line at the end, for all of it.
    assertEquals(others.length, 1, lines.join("\n"));
    assert(others[0]?.includes("1 more of"), lines.join("\n"));
  });
}

Deno.test("a message that cannot be parked is told with why its handler failed, and why it stays", () => {
  const clock = new TestClock();
  return linesOf(() => {
    const unhandled = new Unhandled(clock, undefined);
    const failed = { type: "handler-failed", queue: "jobs", messageId: "7" };
    unhandled.tell({
      ...failed,
      type: "handler-failed",
      error: new Error("boom"),
      attempt: 1,
      next: { type: "park" },
    });
    unhandled.tell({
      ...failed,
      type: "handler-failed",
      error: new Error("no right to park it"),
      attempt: 1,
      next: undefined,
    });
    unhandled.flush();
    return Promise.resolve();
  }).then((lines) => {
    assert(lines[0]?.includes("boom"), lines.join("\n"));
    assertEquals(lines.length, 2, lines.join("\n"));
  });
});

Deno.test("a failure of a handler says when its message is tried again, in seconds with a tenth", async () => {
  const lines = await linesOf(() => {
    for (const delay of [0, 340, 61_960]) {
      new Unhandled(new TestClock(), undefined).tell({
        type: "handler-failed",
        queue: "jobs",
        messageId: undefined,
        error: new Error("no place"),
        attempt: 1,
        next: { type: "retry", delay, attempt: 2, attempts: 5 },
      });
    }
  });
  assertEquals(
    lines.map((line) => line.replace(/^.* it is /, "")),
    [
      "tried again at once (attempt 2 of 5)",
      "tried again in 0.3 s (attempt 2 of 5)",
      "tried again in 62 s (attempt 2 of 5)",
    ],
  );
});
