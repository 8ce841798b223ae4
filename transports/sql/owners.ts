import { setFree } from "./lanes.ts";
import type { Tx, Value } from "./port.ts";
import { HELD, READY } from "./schema.ts";
import { noteSize } from "./sizes.ts";

/** Gives somebody a number, under which he takes messages. */
export async function addHolder(
  tx: Tx,
  owner: string,
  until: number,
): Promise<number> {
  const [row] = await tx.rows(
    "INSERT INTO dashi.holders (owner, until) VALUES (?, ?) RETURNING id",
    owner,
    until,
  );
  return Number(row?.id);
}

/** What a holder took may be about to be committed when it is given up: it is looked for again after so long, ms. */
const GRACE = 60_000;

/** Gives back what the earlier connections of an owner held; they may have been cut off at any step. */
export async function forgetOwner(
  tx: Tx,
  owner: string,
  now: number,
): Promise<void> {
  for (const id of await holdersOf(tx, owner)) {
    await giveBack(tx, Math.abs(id));
    if (id > 0) await keepForLater(tx, id, now);
  }
}

/** Gives back what an owner holds who ends in order: no take of its is under way. */
export async function endOwner(tx: Tx, owner: string): Promise<void> {
  for (const id of await holdersOf(tx, owner)) {
    await giveBack(tx, Math.abs(id));
    await tx.run("DELETE FROM dashi.holders WHERE id = ?", id);
  }
}

/** Gives back what those held who have not been heard of in time. */
export async function forgetLate(tx: Tx, now: number): Promise<void> {
  const rows = await tx.rows(
    "SELECT id FROM dashi.holders WHERE until <= ?",
    now,
  );
  for (const row of rows) {
    const id = Number(row.id);
    await giveBack(tx, Math.abs(id));
    if (id > 0) await keepForLater(tx, id, now);
    else await tx.run("DELETE FROM dashi.holders WHERE id = ?", id);
  }
}

/** Gives back what is held under numbers that nobody has: somebody has emptied the table of who holds messages. */
export async function forgetUnknown(tx: Tx): Promise<void> {
  const rows = await tx.rows(
    `SELECT DISTINCT holder FROM dashi.places WHERE state = ?
      AND NOT EXISTS (SELECT 1 FROM dashi.holders h
        WHERE h.id = holder OR h.id = 0 - holder)`,
    HELD,
  );
  for (const { holder } of rows) await giveBack(tx, holder ?? null);
}

async function holdersOf(tx: Tx, owner: string): Promise<readonly number[]> {
  const rows = await tx.rows(
    "SELECT id FROM dashi.holders WHERE owner = ?",
    owner,
  );
  return rows.map(({ id }) => Number(id));
}

/** Nobody takes under a number below 0. */
async function keepForLater(tx: Tx, id: number, now: number): Promise<void> {
  await tx.run(
    "UPDATE dashi.holders SET id = ?, until = ? WHERE id = ?",
    -id,
    now + GRACE,
    id,
  );
}

/** Gives back what somebody held, as delivered before. */
async function giveBack(tx: Tx, holder: Value): Promise<void> {
  const rows = await tx.rows(
    `UPDATE dashi.places
      SET state = ?, holder = NULL, deliveries = deliveries + 1
      WHERE state = ? AND holder ${
      holder === null ? "IS NULL" : "= ?"
    } RETURNING queue, rank, size`,
    READY,
    HELD,
    ...holder === null ? [] : [holder],
  );
  const lanes = new Map<number, number>();
  for (const { queue, rank, size } of rows) {
    tx.news.add(Number(queue));
    noteSize(tx, Number(queue), 1, Number(size));
    if (Number(rank) > 0) lanes.set(Number(rank), Number(queue));
  }
  for (const [lane, queue] of lanes) await setFree(tx, queue, lane);
  // Some of them may have expired.
  if (rows.length > 0) tx.soonest = 0;
}

/** Says that an owner is alive; says whether it had been taken for dead. */
export async function beat(
  tx: Tx,
  owner: string,
  until: number,
): Promise<boolean> {
  const alive = await tx.run(
    "UPDATE dashi.owners SET until = ? WHERE owner = ? AND dead = 0",
    until,
    owner,
  );
  if (alive > 0) return false;
  await tx.run(
    `INSERT INTO dashi.owners (owner, until, dead) VALUES (?, ?, 0)
      ON CONFLICT (owner) DO UPDATE SET until = excluded.until, dead = 0`,
    owner,
    until,
  );
  return true;
}

/**
 * Finds the owners that were not heard of in time, and gives back what they held. One that
 * is found stays for as long again: somebody else deletes its entities if its finder dies.
 */
export async function findDead(
  tx: Tx,
  now: number,
  ttl: number,
): Promise<readonly string[]> {
  const late = await tx.rows(
    "SELECT owner, dead FROM dashi.owners WHERE until < ? LIMIT 100",
    now,
  );
  for (const { owner, dead } of late) {
    await forgetOwner(tx, String(owner), now);
    if (dead === 0) {
      await tx.run(
        "UPDATE dashi.owners SET dead = 1, until = ? WHERE owner = ?",
        now + ttl,
        owner ?? "",
      );
    } else {
      await tx.run("DELETE FROM dashi.owners WHERE owner = ?", owner ?? "");
    }
  }
  return late.map(({ owner }) => String(owner));
}
