import { assertEquals } from "@std/assert";
import { addHolder } from "../../../transports/sql/owners.ts";
import { placeOf } from "../../../transports/sql/message.ts";
import type { Draft } from "../../../transports/sql/port.ts";
import { READY } from "../../../transports/sql/schema.ts";
import { LATE, UNKNOWN } from "../../../transports/sql/todo.ts";
import type { SqliteDatabase } from "../../../transports/sqlite/database.ts";
import { openMemory } from "../../support/sqlite_memory.ts";

/** The holders get these numbers, one after the other. */
const [QUEUE, OURS, THEIRS, LATER] = [1, 1, 2, 1e15];

async function openWithHolders(): Promise<SqliteDatabase> {
  const database = await openMemory();
  await database.transact(async (tx) => {
    for (const name of ["we", "they"]) await addHolder(tx, name, LATER);
  });
  return database;
}

function draft(text: string, more: Partial<Draft> = {}): Draft {
  return {
    state: READY,
    queue: QUEUE,
    rank: 0,
    home: 0,
    key: null,
    messageId: null,
    expiresAt: null,
    deliveries: 0,
    putAt: 1,
    size: text.length,
    head: text,
    body: new TextEncoder().encode(text),
    ...more,
  };
}

/** What lies in the queue, whoever has it, with what was published there. */
async function whole(
  database: SqliteDatabase,
): Promise<readonly (readonly unknown[])[]> {
  const rows = await database.read((tx) =>
    tx.rows(
      `SELECT m.head, p.size, p.expires_at, p.holder FROM dashi.messages m
        LEFT JOIN dashi.places p ON p.id = m.id ORDER BY m.id`,
    )
  );
  return rows.map((row) => [row.head, row.size, row.expires_at, row.holder]);
}

Deno.test("messages that are put together keep their order, and each what is its own", async () => {
  await using database = await openWithHolders();
  const texts = Array.from({ length: 150 }, (_, i) => "x".repeat(i + 1));
  const drafts = texts.map((text, i) =>
    // Some of them are not like those before.
    draft(text, i % 40 === 39 ? { expiresAt: LATER + i } : {})
  );
  await database.transact((tx) => tx.append(drafts));
  assertEquals(
    await whole(database),
    drafts.map(({ head, size, expiresAt }) => [head, size, expiresAt, null]),
  );
  const { rows } = await database.transact((tx) =>
    tx.claim({ queue: QUEUE, limit: 150, now: 1, holder: OURS, isFlat: true })
  );
  assertEquals(rows.map(({ head }) => head), texts);
});

Deno.test("who was not heard of in time takes nothing, and is told so", async () => {
  await using database = await openWithHolders();
  await database.transact((tx) => tx.append([draft("x")]));
  const claim = { queue: QUEUE, limit: 9, holder: OURS, isFlat: true };
  const take = (now: number) =>
    database.transact((tx) => tx.claim({ ...claim, now }));
  // What it took would be given back as what it had before.
  assertEquals(await take(LATER), { rows: [], todo: LATE | UNKNOWN });
  const { rows, todo } = await take(LATER - 1);
  assertEquals([rows.length, todo], [1, 0]);
});

Deno.test("of messages that are removed together, those that others have stay", async () => {
  await using database = await openWithHolders();
  const texts = Array.from({ length: 10 }, (_, i) => `message ${i}`);
  await database.transact((tx) => tx.append(texts.map((each) => draft(each))));
  const claim = (holder: number, limit: number) =>
    database.transact(async (tx) => {
      const claim = { queue: QUEUE, limit, now: 1, holder, isFlat: true };
      return (await tx.claim(claim)).rows.map(placeOf);
    });
  const [first, theirs, last] = [
    await claim(OURS, 4),
    await claim(THEIRS, 2),
    await claim(OURS, 4),
  ];
  // In any order, with two in the middle that somebody else has by now.
  const asked = [...last, ...theirs, ...first];
  const were = await database.transact((tx) => tx.remove(asked, OURS));
  assertEquals(were, [
    ...Array(4).fill(true),
    false,
    false,
    ...Array(4).fill(true),
  ]);
  assertEquals(
    await whole(database),
    ["message 4", "message 5"].map((text) => [text, 9, null, THEIRS]),
  );
  // Once more: nothing is left of them.
  assertEquals(
    await database.transact((tx) => tx.remove(first, OURS)),
    [false, false, false, false],
  );
});
