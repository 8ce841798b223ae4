import type { QueueDeclaration } from "../../model/queue.ts";
import { hasLimit, queueTraits } from "../../virtual/queue_arguments.ts";
import type { StoredCounts } from "../store/store.ts";
import type { Place, Row, Tx } from "./port.ts";
import { ASIDE, DELAYED, HELD, READY } from "./schema.ts";
import { forgetSize, keepSize } from "./sizes.ts";

/** Which messages may be delivered: not those whose time is over. */
const IN_TIME = `(expires_at IS NULL OR expires_at > ?)`;

/** Gives a queue its number. */
export async function makeQueue(
  tx: Tx,
  { name, arguments: declared }: QueueDeclaration,
  now: number,
): Promise<number> {
  const traits = queueTraits(declared);
  const [row] = await tx.rows(
    `INSERT INTO dashi.queues (name, used_at, expires) VALUES (?, ?, ?)
      ON CONFLICT (name) DO UPDATE SET used_at = excluded.used_at
      RETURNING id`,
    name,
    now,
    traits.expires ?? null,
  );
  const number = Number(row?.id);
  if (hasLimit(traits)) await keepSize(tx, number);
  return number;
}

/** Deletes all that is in a queue, and the queue's number; returns how many messages were ready. */
export async function deleteQueue(
  tx: Tx,
  queue: number,
  now: number,
): Promise<number> {
  const ready = await countReady(tx, queue, now);
  for (const state of [READY, HELD, DELAYED, ASIDE]) {
    await empty(tx, state, queue);
  }
  await tx.run("DELETE FROM dashi.lanes WHERE queue = ?", queue);
  await tx.run("DELETE FROM dashi.sizes WHERE queue = ?", queue);
  tx.sizes.delete(queue);
  await tx.run("DELETE FROM dashi.queues WHERE id = ?", queue);
  return ready;
}

/** Removes what a transaction of somebody's has put into a queue that was deleted meanwhile. */
export async function removeStrays(tx: Tx, now: number): Promise<void> {
  for (const state of [READY, DELAYED]) {
    // From one queue to the next, however many messages lie in each.
    const strays = await tx.rows(
      `WITH RECURSIVE met (queue) AS (
          SELECT min(queue) FROM dashi.places WHERE state = ?
          UNION ALL
          SELECT (SELECT min(p.queue) FROM dashi.places p
            WHERE p.state = ? AND p.queue > met.queue)
            FROM met WHERE met.queue IS NOT NULL
        )
        SELECT queue FROM met WHERE queue NOT IN (SELECT id FROM dashi.queues)`,
      state,
      state,
    );
    for (const { queue } of strays) await deleteQueue(tx, Number(queue), now);
  }
}

/** Removes a message, in whichever state it is; says whether it was there. */
export async function removeOne(
  tx: Tx,
  state: number,
  place: Place,
): Promise<boolean> {
  if (!await removePlace(tx, state, place)) return false;
  await tx.run("DELETE FROM dashi.messages WHERE id = ?", place.id);
  return true;
}

/** Removes the place of a message, and leaves the message; says whether it was there. */
export async function removePlace(
  tx: Tx,
  state: number,
  { queue, rank, id }: Place,
): Promise<boolean> {
  const removed = await tx.run(
    `DELETE FROM dashi.places
      WHERE state = ? AND queue = ? AND rank = ? AND id = ?`,
    state,
    queue,
    rank,
    id,
  );
  return removed > 0;
}

/** Removes the ready messages of a queue; returns how many. */
export async function purge(
  tx: Tx,
  queue: number,
  now: number,
): Promise<number> {
  // Who puts into a queue with a limit counts meanwhile.
  await tx.lock(`queue ${queue}`);
  const ready = await countReady(tx, queue, now);
  await empty(tx, READY, queue);
  await empty(tx, DELAYED, queue, now);
  await forgetSize(tx, queue);
  return ready;
}

async function empty(
  tx: Tx,
  state: number,
  queue: number,
  until = Number.MAX_SAFE_INTEGER,
): Promise<void> {
  const these = "state = ? AND queue = ? AND rank <= ?";
  await tx.run(
    `DELETE FROM dashi.messages WHERE id IN
      (SELECT id FROM dashi.places WHERE ${these})`,
    state,
    queue,
    until,
  );
  await tx.run(`DELETE FROM dashi.places WHERE ${these}`, state, queue, until);
}

/** Counts the messages of a queue that may be delivered now. */
export async function countReady(
  tx: Tx,
  queue: number,
  now: number,
): Promise<number> {
  return (await readyOf(tx, queue, now)).count;
}

/** Counts the messages of a queue that may be delivered now, and the bytes of their bodies. */
async function readyOf(
  tx: Tx,
  queue: number,
  now: number,
): Promise<{ count: number; bytes: number; first: number | undefined }> {
  const of = async (state: number, until: number) => {
    const [row] = await tx.rows(
      `SELECT count(*) AS count, sum(size) AS bytes, min(put_at) AS first
        FROM dashi.places
        WHERE state = ? AND queue = ? AND rank <= ? AND ${IN_TIME}`,
      state,
      queue,
      until,
      now,
    );
    return row;
  };
  const ready = await of(READY, Number.MAX_SAFE_INTEGER);
  const due = await of(DELAYED, now);
  const first = ready?.first ?? due?.first ?? undefined;
  return {
    count: sum("count", ready, due),
    bytes: sum("bytes", ready, due),
    first: first === undefined ? undefined : Number(first),
  };
}

/** Counts all that is in a queue. */
export async function look(
  tx: Tx,
  queue: number,
  now: number,
): Promise<StoredCounts> {
  const [out] = await tx.rows(
    "SELECT count(*) AS count FROM dashi.places WHERE state = ? AND queue = ?",
    HELD,
    queue,
  );
  const [later] = await tx.rows(
    `SELECT count(*) AS count FROM dashi.places
      WHERE state = ? AND queue = ? AND rank > ?`,
    DELAYED,
    queue,
    now,
  );
  const { count, bytes, first } = await readyOf(tx, queue, now);
  return {
    ready: count,
    delayed: sum("count", later),
    unacked: sum("count", out),
    oldestAge: first === undefined
      ? undefined
      : Math.max(0, (now - first) / 1000),
    bytes,
  };
}

/** The ready messages whose turn comes first: of an ordered queue those of keys of which one is out come last. */
export async function peek(
  tx: Tx,
  queue: number,
  { max, now, ordered }: {
    readonly max: number;
    readonly now: number;
    readonly ordered: boolean;
  },
): Promise<readonly Row[]> {
  const columns = "m.head, m.body, p.deliveries";
  const from = `FROM dashi.places p JOIN dashi.messages m ON m.id = p.id`;
  const where = `WHERE p.state = ? AND p.queue = ? AND
    (p.expires_at IS NULL OR p.expires_at > ?)`;
  return await tx.rows(
    ordered
      ? `SELECT ${columns},
          row_number() OVER (PARTITION BY p.rank ORDER BY p.id) AS nth
          ${from} JOIN dashi.lanes l ON l.id = p.rank ${where}
          ORDER BY nth, l.busy, l.turn, p.id LIMIT ?`
      : `SELECT ${columns} ${from} ${where} ORDER BY p.rank, p.id LIMIT ?`,
    READY,
    queue,
    now,
    max,
  );
}

function sum(name: string, ...rows: readonly (Row | undefined)[]): number {
  return rows.reduce((all, row) => all + Number(row?.[name] ?? 0), 0);
}
