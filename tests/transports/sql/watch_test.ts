import { assertEquals } from "@std/assert";
import { TestClock } from "../../../testing/clock.ts";
import type { Happening, Sql, Tx } from "../../../transports/sql/port.ts";
import { SqlTables } from "../../../transports/sql/tables.ts";
import { Watch } from "../../../transports/sql/watch.ts";
import { openMemory } from "../../support/sqlite_memory.ts";

Deno.test("what is heard while a watch looks is not forgotten for what it finds", async () => {
  const clock = new TestClock({ date: new Date("2026-11-30") });
  const database = await openMemory(clock);
  let tell: (happening: Happening) => void = () => {};
  let reads = 0;
  const sql: Sql = Object.assign(Object.create(database), {
    now: () => database.now(),
    listen: (callback: typeof tell) => {
      tell = callback;
      return () => {};
    },
    read: async <T>(work: (tx: Tx) => Promise<T>) => {
      const found = await database.read(work);
      // Another process has put something, and says when it is due: it was not there yet.
      if (reads++ === 0) {
        tell({ news: new Set(), soonest: database.now() + 5000 });
      }
      return found;
    },
  });
  const tables = new SqlTables(() => sql.now());
  const watch = new Watch({ sql, clock, tables });
  let wakes = 0;
  const stop = watch.listen("orders", () => wakes++);
  await clock.advance(4000);
  assertEquals([reads, wakes], [1, 1]);
  await clock.advance(2000);
  assertEquals([reads, wakes], [2, 2]);
  stop();
  watch.end();
  await database[Symbol.asyncDispose]();
});
