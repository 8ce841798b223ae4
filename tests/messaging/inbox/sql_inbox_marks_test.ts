/** The table of the marks: that it is made, and loses those whose window is over. */

import { assertEquals, assertRejects } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { createSqlInbox } from "@dashi/mq/inbox_sql";
import { TestClock } from "@dashi/mq/testing";

const WINDOW = { window: 3_600_000 };

Deno.test("marks whose window is over are removed once a minute, and one that cannot be keeps nobody from work", async () => {
  const file = new DatabaseSync(":memory:");
  const clock = new TestClock();
  let isStuck = false;
  const inbox = createSqlInbox<DatabaseSync>(
    {
      begin: (work: (transaction: DatabaseSync) => Promise<unknown>) =>
        work(file),
      query(_, text, values) {
        if (isStuck && text.startsWith("DELETE")) throw new Error("stuck");
        const given = values.map(String);
        const named = text.replaceAll("$", "?");
        return Promise.resolve({ rows: file.prepare(named).all(...given) });
      },
    },
    { window: 1000 },
    clock,
  );
  const told: string[] = [];
  const handle = async (key: string) => {
    const { signal } = new AbortController();
    const onError = ({ message }: Error) => void told.push(message);
    await inbox.handle(key, () => Promise.resolve(), { signal, onError });
    const rows = file.prepare("SELECT key FROM dashi_inbox ORDER BY key").all();
    return rows.map(({ key }) => key);
  };
  assertEquals(await handle("a"), ["a"]);
  clock.pass(59_999);
  assertEquals(await handle("b"), ["a", "b"], "a minute is not over");
  clock.pass(1);
  assertEquals(await handle("c"), ["b", "c"], "what is remembered stays");
  clock.pass(60_000);
  isStuck = true;
  assertEquals(await handle("d"), ["b", "c", "d"]);
  assertEquals(told, ["stuck"]);
  clock.pass(60_000);
  isStuck = false;
  assertEquals(await handle("e"), ["e"]);
  file.close();
});

Deno.test("a table of marks that cannot be made is the error of the message, and is made for the next", async () => {
  const file = new DatabaseSync(":memory:");
  let isStuck = true;
  const inbox = createSqlInbox<DatabaseSync>({
    begin: (work: (transaction: DatabaseSync) => Promise<unknown>) =>
      work(file),
    query(_, text, values) {
      if (isStuck && text.startsWith("CREATE")) throw new Error("no room");
      const named = text.replaceAll("$", "?");
      const given = values.map(String);
      return Promise.resolve({ rows: file.prepare(named).all(...given) });
    },
  }, WINDOW);
  let calls = 0;
  const handle = () =>
    inbox.handle("a", () => Promise.resolve(void calls++), {
      signal: new AbortController().signal,
      onError: () => {},
    });
  await assertRejects(handle, Error, "no room");
  isStuck = false;
  assertEquals([await handle(), calls], ["handled", 1]);
  file.close();
});
