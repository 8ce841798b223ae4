import { setFree } from "./lanes.ts";
import type { Tx } from "./port.ts";
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

/** Gives back what the earlier connections of an owner held. */
export async function forgetOwner(tx: Tx, owner: string): Promise<void> {
  const rows = await tx.rows(
    "SELECT id FROM dashi.holders WHERE owner = ?",
    owner,
  );
  for (const { id } of rows) await forgetHolder(tx, Number(id));
}

/** Gives back what those held who have not been heard of in time. */
export async function forgetLate(tx: Tx, now: number): Promise<void> {
  const rows = await tx.rows(
    "SELECT id FROM dashi.holders WHERE until <= ?",
    now,
  );
  for (const { id } of rows) await forgetHolder(tx, Number(id));
}

/** Gives back what somebody held, as delivered before. */
export async function forgetHolder(tx: Tx, holder: number): Promise<void> {
  const rows = await tx.rows(
    `UPDATE dashi.places
      SET state = ?, holder = NULL, deliveries = deliveries + 1
      WHERE state = ? AND holder = ? RETURNING queue, rank, size`,
    READY,
    HELD,
    holder,
  );
  const lanes = new Map<number, number>();
  for (const { queue, rank, size } of rows) {
    tx.news.add(Number(queue));
    noteSize(tx, Number(queue), 1, Number(size));
    if (Number(rank) > 0) lanes.set(Number(rank), Number(queue));
  }
  for (const [lane, queue] of lanes) await setFree(tx, queue, lane);
  await tx.run("DELETE FROM dashi.holders WHERE id = ?", holder);
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
    await forgetOwner(tx, String(owner));
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
