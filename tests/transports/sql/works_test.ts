/** The transactions that many calls share. */

import { assert, assertEquals } from "@std/assert";
import { turn } from "../../../async/turn.ts";
import { TestClock } from "../../../testing/clock.ts";
import { each, Works } from "../../../transports/sql/works.ts";
import { openMemory } from "../../support/sqlite_memory.ts";

/** A body that a database with no room for another page has none for. */
const LARGE = "x".repeat(1_000_000);

Deno.test("what waits to be tried again leaves no timer when its database has ended", async () => {
  const clock = new TestClock();
  const database = await openMemory(clock);
  const [count] = await database.read((tx) => tx.rows("PRAGMA page_count"));
  const pages = Number(count?.page_count);
  await database.read((tx) => tx.rows(`PRAGMA max_page_count = ${pages}`));
  const before = clock.timers;
  const works = new Works(database, clock);
  const write = each<string, number>((tx, body) =>
    tx.run(
      "INSERT INTO dashi.messages (head, body) VALUES (?, ?)",
      "{}",
      new TextEncoder().encode(body),
    )
  );
  const failed = works.do("publish", write, LARGE, { deadline: 60_000 })
    .then(() => undefined, (error: Error) => error);
  for (let i = 0; i < 1000 && clock.timers < before + 2; i++) await turn();
  assertEquals(clock.timers, before + 2); // its deadline, and the pause
  works.end();
  await database[Symbol.asyncDispose]();
  const error = await failed;
  assert(error !== undefined, "there was room");
  assertEquals(clock.timers, 0);
});
