import type { Place, Row, Tx } from "./port.ts";
import { HELD, READY } from "./schema.ts";

/** The key of the lane of messages that have none: any number of them may be out. */
export const NO_KEY = "";

/** The last place of the ring of a queue's lanes. */
export const LAST: string =
  "(SELECT coalesce(max(turn), 0) + 1 FROM dashi.lanes WHERE queue = ?)";

/**
 * Finds the lane of a key of an ordered queue, whose number is the rank of its messages.
 * One that is new stands last in the ring.
 */
export async function laneOf(
  tx: Tx,
  queue: number,
  key: string | undefined,
): Promise<number> {
  await lockLanes(tx, queue);
  const [row] = await tx.rows(
    `INSERT INTO dashi.lanes (queue, key, turn, busy) VALUES (?, ?, ${LAST}, 0)
      ON CONFLICT (queue, key) DO UPDATE SET key = excluded.key
      RETURNING id`,
    queue,
    key ?? NO_KEY,
    queue,
  );
  return Number(row?.id);
}

/** Takes messages of an ordered queue: each turn one, and of a key no other while one is out. */
export async function takeInTurn(
  tx: Tx,
  { queue, limit, now, holder }: {
    readonly queue: number;
    readonly limit: number;
    readonly now: number;
    readonly holder: number;
  },
): Promise<readonly Row[]> {
  await lockLanes(tx, queue);
  const taken: Row[] = [];
  for (;;) {
    const most = limit - taken.length;
    const lanes = await tx.rows(
      `SELECT id, key, (SELECT min(p.id) FROM dashi.places p
          WHERE p.state = ? AND p.queue = l.queue AND p.rank = l.id
            AND (p.expires_at IS NULL OR p.expires_at > ?)) AS head
        FROM dashi.lanes l WHERE queue = ? AND busy = 0
        ORDER BY turn, id LIMIT ?`,
      READY,
      now,
      queue,
      most,
    );
    const heads: Place[] = [];
    let forgotten = 0;
    for (const { id, head } of lanes) {
      const rank = Number(id);
      if (head !== null) heads.push({ queue, rank, id: Number(head) });
      else forgotten += await forget(tx, queue, rank);
    }
    const rows = heads.length > 0
      ? await tx.takeHeads(queue, heads, holder)
      : [];
    taken.push(...inOrderOf(heads, rows));
    // Those that have no key are no lane's last: they may have more.
    const isAll = lanes.length < most &&
      !lanes.some(({ key }) => key === NO_KEY);
    if (isAll || taken.length >= limit) break;
    if (rows.length === 0 && forgotten === 0) break;
  }
  return taken;
}

function inOrderOf(
  places: readonly Place[],
  rows: readonly Row[],
): readonly Row[] {
  const byId = new Map(rows.map((row) => [Number(row.id), row]));
  return places.flatMap(({ id }) => {
    const row = byId.get(id);
    return row === undefined ? [] : [row];
  });
}

/** The lane of a message that waits for another attempt: its key waits with it. */
export async function keepWaiting(tx: Tx, lane: number): Promise<void> {
  await tx.run(
    "UPDATE dashi.lanes SET busy = 2 WHERE id = ? AND key <> ?",
    lane,
    NO_KEY,
  );
}

/**
 * A message of a lane is out no more: the lane stands last in the ring, or goes if it has
 * nothing. One whose message waits for another attempt is free when that `waited`.
 */
export async function setFree(
  tx: Tx,
  queue: number,
  lane: number,
  { waited = false }: { readonly waited?: boolean } = {},
): Promise<void> {
  await lockLanes(tx, queue);
  const [freed] = await tx.rows(
    `UPDATE dashi.lanes SET turn = ${LAST}, busy =
        CASE WHEN key <> ? AND EXISTS (SELECT 1 FROM dashi.places
          WHERE state = ? AND queue = ? AND rank = ?) THEN 1 ELSE 0 END
      WHERE id = ? AND busy <> ?
      RETURNING CASE WHEN EXISTS (SELECT 1 FROM dashi.places
        WHERE state IN (?, ?) AND queue = ? AND rank = ?) THEN 1 ELSE 0 END
        AS has`,
    queue,
    NO_KEY,
    HELD,
    queue,
    lane,
    lane,
    waited ? -1 : 2,
    READY,
    HELD,
    queue,
    lane,
  );
  const isEmpty = freed !== undefined && Number(freed.has) === 0;
  if (isEmpty && await forget(tx, queue, lane) > 0) return;
  tx.news.add(queue);
}

/** One transaction at a time changes what stands in the ring of a queue. */
function lockLanes(tx: Tx, queue: number): Promise<void> {
  return tx.lock(`queue ${queue}`);
}

/** Forgets a lane that has nothing, and of which nothing is out. */
function forget(tx: Tx, queue: number, lane: number): Promise<number> {
  return tx.run(
    `DELETE FROM dashi.lanes WHERE id = ? AND busy <> 2 AND NOT EXISTS
      (SELECT 1 FROM dashi.places
        WHERE state IN (?, ?) AND queue = ? AND rank = ?)`,
    lane,
    READY,
    HELD,
    queue,
    lane,
  );
}
