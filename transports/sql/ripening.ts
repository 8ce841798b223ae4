import { removePlace } from "./contents.ts";
import { laneOf, setFree } from "./lanes.ts";
import { placeOf } from "./message.ts";
import type { Row, Tx, Value } from "./port.ts";
import { DELAYED, READY } from "./schema.ts";
import { noteSize } from "./sizes.ts";

/** So many become ready in one transaction. */
const PAGE = 1000;

/**
 * Makes the messages of a queue ready whose time has come: behind those that are, in the
 * order of their moments.
 *
 * @returns Whether there may be more of them.
 */
export async function ripen(
  tx: Tx,
  queue: number,
  { now, ordered }: { readonly now: number; readonly ordered: boolean },
): Promise<boolean> {
  const due = await tx.rows(
    `SELECT * FROM dashi.places WHERE state = ? AND queue = ? AND rank <= ?
      ORDER BY rank, id LIMIT ${PAGE} FOR NOBODY ELSE`,
    DELAYED,
    queue,
    now,
  );
  for (const row of due) {
    if (Number(row.home) > 0) await comeBack(tx, row);
    else await putLast(tx, row, ordered);
  }
  return due.length === PAGE;
}

/** A message that waited for another attempt is the first of its key again. */
async function comeBack(
  tx: Tx,
  { queue, rank, id, key, size }: Row,
): Promise<void> {
  const lane = await laneOf(tx, Number(queue), textOf(key));
  const changed = await tx.run(
    `UPDATE dashi.places SET state = ?, rank = ?, home = ?
      WHERE state = ? AND queue = ? AND rank = ? AND id = ?`,
    READY,
    lane,
    lane,
    DELAYED,
    queue ?? 0,
    rank ?? 0,
    id ?? 0,
  );
  if (changed > 0) noteSize(tx, Number(queue), 1, Number(size));
  await setFree(tx, Number(queue), lane, { waited: true });
}

/**
 * Moves a message to the end of its queue: it has another number then.
 *
 * @returns Whether it was still there.
 */
export async function putLast(
  tx: Tx,
  row: Row,
  ordered: boolean,
): Promise<boolean> {
  const { state = 0, queue = 0, key, id = 0 } = row;
  if (!await removePlace(tx, Number(state), placeOf(row))) return false;
  const home = ordered
    ? await laneOf(tx, Number(queue), textOf(key))
    : Number(row.home);
  // Within the database: it may be large.
  const [copy] = await tx.rows(
    `INSERT INTO dashi.messages (head, body)
      SELECT head, body FROM dashi.messages WHERE id = ? RETURNING id`,
    id,
  );
  await tx.run("DELETE FROM dashi.messages WHERE id = ?", id);
  if (copy === undefined) return false;
  await tx.run(
    `INSERT INTO dashi.places (state, queue, rank, id, home, key, message_id,
        expires_at, deliveries, put_at, size)
      VALUES (?, ?, ?, ?, ?, ?, NULL, ?, ?, ?, ?)`,
    READY,
    queue,
    home,
    copy.id ?? 0,
    home,
    textOf(key) ?? null,
    row.expires_at ?? null,
    row.deliveries ?? 0,
    row.put_at ?? 0,
    row.size ?? 0,
  );
  noteSize(tx, Number(queue), 1, Number(row.size));
  tx.news.add(Number(queue));
  return true;
}

function textOf(value: Value | undefined): string | undefined {
  return typeof value === "string" ? value : undefined;
}
