/** Schedules that cannot be any. */

import { assert, assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";

Deno.test("a schedule is refused that cannot be one", async () => {
  await using connection = createConnection(`memory://${crypto.randomUUID()}`);
  // deno-lint-ignore no-explicit-any -- as a program without types has it
  const loose = (value: unknown): any => value;
  for (
    const [name, when, options, ...words] of [
      ["", { every: 1000 }, { queue: "q" }, '""', "1 to 200"],
      ["s", {}, { queue: "q" }, '"s"', "cron", "every"],
      ["s", { cron: "* * * * *", every: 1000 }, { queue: "q" }, "every"],
      ["s", { every: 999 }, { queue: "q" }, "999", "1000"],
      ["s", { every: 1000, timezone: "UTC" }, { queue: "q" }, "timezone"],
      ["s", { interval: 1000 }, { queue: "q" }, "interval", '"every"'],
      ["s", { cron: "* * * *" }, { queue: "q" }, '"* * * *"'],
      ["s", { every: 1000 }, {}, '"queue"', '"exchange"'],
      ["s", { every: 1000 }, { queue: "q", exchange: "e" }, '"queue"'],
      ["s", { every: 1000 }, { queue: "q", missed: "some" }, "some", '"all"'],
      ["s", { every: 1000 }, { queue: "q", version: -1 }, "-1"],
      ["s", { every: 1000 }, { queue: "q", table: "a b" }, "a b", "letters"],
      ["s", { every: 1000 }, { queue: "q", delay: 5 }, "delay"],
      [
        "s",
        { every: 1000 },
        { queue: "q", headers: { at: new Date() } },
        "JSON",
      ],
    ] as const
  ) {
    const error = await connection.schedule(
      name,
      loose(when),
      loose(options),
    ).catch((error: unknown) => error);
    assert(error instanceof Error);
    assertEquals(error.name, "OptionError", error.message);
    for (const word of words) {
      assert(error.message.includes(word), `${word}: ${error.message}`);
    }
  }
  for (const version of [-1, 1.5, "1"]) {
    const error = await connection.unschedule("s", { version: loose(version) })
      .catch((error: unknown) => error);
    assert(error instanceof Error);
    assertEquals(error.name, "OptionError", error.message);
    assert(error.message.includes('"version"'), error.message);
  }
  assertEquals(connection.health().schedules.taking, 0);
});

Deno.test("the headers of a schedule are what JSON can write", async () => {
  await using connection = createConnection(`memory://${crypto.randomUUID()}`);
  const queue = new Queue("q");
  const schedule = (header: unknown) =>
    connection.schedule("s", { every: 1000 }, {
      queue,
      headers: { header } as never,
    });
  const bare = Object.assign(Object.create(null), { a: 1 });
  for (
    const good of ["text", 1.5, true, null, undefined, {}, [], {
      a: [{ b: 1 }],
    }, bare]
  ) await schedule(good);
  class Own {}
  const endless: unknown[] = [];
  endless.push(endless);
  for (
    const bad of [
      NaN,
      1n,
      new Map(),
      new Own(),
      [new Date()],
      { a: () => {} },
      endless,
    ]
  ) {
    const error = await schedule(bad).catch((error: unknown) => error);
    assert(error instanceof Error, String(typeof bad));
    assertEquals(error.name, "OptionError", error.message);
  }
  await connection.unschedule("s");
});
