import { assert, assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { nativeClient } from "@dashi/mq/sqlite";
import { TestClock } from "../../../testing/clock.ts";
import type { Happening, Sql, Tx } from "../../../transports/sql/port.ts";
import { SqlTables } from "../../../transports/sql/tables.ts";
import { Watch } from "../../../transports/sql/watch.ts";
import { until } from "../../conformance/support.ts";
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
  watch.takes()();
  await clock.advance(4000);
  assertEquals([reads, wakes], [1, 1]);
  await clock.advance(2000);
  assertEquals([reads, wakes], [2, 2]);
  stop();
  watch.end();
  await database[Symbol.asyncDispose]();
});

Deno.test("a watch looks for who goes on listening, and not for who has enough by what is taken at once", async () => {
  const clock = new TestClock({ date: new Date("2026-12-01") });
  const database = await openMemory(clock);
  let reads = 0;
  const sql: Sql = Object.assign(Object.create(database), {
    now: () => database.now(),
    listen: () => () => {},
    read: <T>(work: (tx: Tx) => Promise<T>) => {
      reads++;
      return database.read(work);
    },
  });
  const watch = new Watch({
    sql,
    clock,
    tables: new SqlTables(() => sql.now()),
  });
  const lasting = watch.listen("others", () => {});
  watch.takes()();
  await clock.advance(1000);
  assertEquals(reads, 1);
  const listen = () => watch.listen("orders", () => {});
  for (let i = 0; i < 10; i++) {
    const stop = listen();
    const isOver = watch.takes();
    await clock.advance(1000);
    isOver();
    stop();
    // Who begins anew takes anew.
    const again = listen();
    await clock.advance(1000);
    again();
  }
  assertEquals(reads, 1);
  const stop = listen();
  watch.takes()();
  await clock.advance(1000);
  assertEquals(reads, 2);
  stop();
  lasting();
  watch.end();
  await database[Symbol.asyncDispose]();
});

Deno.test("who consumes on looks at its own queue, however many others are waited at", async () => {
  await using connection = createConnection("sqlite::memory:");
  const native = await connection.native(nativeClient);
  let looks = 0;
  const prepare = native.prepare.bind(native);
  const counting = (sql: string) => {
    const statement = prepare(sql);
    const heard = (verb: "all" | "run") => {
      const call = statement[verb].bind(statement);
      return (...values: Parameters<typeof call>) => {
        if (/state = [02]\s+AND queue/.test(sql)) looks++;
        return call(...values);
      };
    };
    return { all: heard("all"), run: heard("run") };
  };
  Object.assign(native, { prepare: counting });
  const queues = Array.from({ length: 60 }, (_, i) => new Queue(`queue-${i}`));
  await connection.declare(queues);
  const stop = new AbortController();
  const { promise: done, resolve } = Promise.withResolvers<void>();
  let handled = 0;
  const running = queues.map((queue) =>
    connection.consumer(queue, { prefetch: 1 }).run(() => {
      if (++handled === 20) resolve();
    }, { signal: stop.signal })
  );
  await connection.send("queue-7", 0);
  await until(() => handled === 1, "the first message");
  looks = 0;
  for (let i = 1; i < 20; i++) {
    await connection.send("queue-7", i);
    await until(() => handled === i + 1, "the next message");
  }
  await done;
  stop.abort();
  await Promise.all(running);
  assert(looks < 20 * 10, `${looks} looks for 20 messages`);
});
