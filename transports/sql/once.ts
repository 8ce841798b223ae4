import type { Rate } from "../../async/windows.ts";
import type { Mark } from "../store/store.ts";
import type { Tx } from "./port.ts";

/** Finds the token of who has left a mark. */
export async function findMark(
  tx: Tx,
  { key }: Mark,
  now: number,
): Promise<string | undefined> {
  await tx.lock(`mark ${key}`);
  const [found] = await tx.rows(
    "SELECT token FROM dashi.marks WHERE key = ? AND until > ?",
    key,
    now,
  );
  return found === undefined ? undefined : String(found.token);
}

/** Leaves a mark that was not found. */
export async function leaveMark(
  tx: Tx,
  { key, token, window }: Mark,
  now: number,
): Promise<void> {
  await tx.run(
    `INSERT INTO dashi.marks (key, token, until) VALUES (?, ?, ?)
      ON CONFLICT (key) DO UPDATE SET
        token = excluded.token, until = excluded.until`,
    key,
    token,
    now + window,
  );
}

/** Counts one more of a group, or says how many ms until one may be. */
export async function admit(
  tx: Tx,
  name: string,
  { limit, interval }: Rate,
  now: number,
): Promise<number> {
  await tx.lock(`rate ${name}`);
  const [first] = await tx.rows(
    `SELECT at FROM dashi.starts WHERE name = ? AND at > ?
      ORDER BY at DESC LIMIT 1 OFFSET ?`,
    name,
    now - interval,
    limit - 1,
  );
  if (first !== undefined) return Number(first.at) + interval - now;
  await tx.run(
    "INSERT INTO dashi.starts (name, at, until) VALUES (?, ?, ?)",
    name,
    now,
    now + interval,
  );
  await tx.run(
    "DELETE FROM dashi.starts WHERE name = ? AND at <= ?",
    name,
    now - interval,
  );
  return 0;
}

/** Forgets marks and starts that are over. */
export async function forgetOver(tx: Tx, now: number): Promise<void> {
  await tx.run("DELETE FROM dashi.marks WHERE until <= ?", now);
  await tx.run("DELETE FROM dashi.starts WHERE until <= ?", now);
}
