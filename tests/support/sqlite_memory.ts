import { type Clock, SYSTEM_CLOCK } from "../../async/clock.ts";
import { loadSqlite } from "../../transports/sqlite/client.ts";
import { SqliteDatabase } from "../../transports/sqlite/database.ts";

/** Opens a database of SQLite in memory, with the tables in it. */
export async function openMemory(
  clock: Clock = SYSTEM_CLOCK,
): Promise<SqliteDatabase> {
  const open = await loadSqlite();
  const database = new SqliteDatabase(open(":memory:"), {
    broker: "sqlite::memory:",
    clock,
    path: undefined,
    synchronous: "full",
    poll: 10,
    patience: 1000,
  });
  await database.open();
  return database;
}
