import type { Size, Tx } from "./port.ts";
import { READY } from "./schema.ts";

/** So many changes of a size are added up at a time. */
const MANY = 64;

/** Begins to keep the size of a queue that has a limit. */
export async function keepSize(tx: Tx, queue: number): Promise<void> {
  await tx.run(WRITE_WHOLE, queue, null, null);
}

/** Notes that a queue has so much more, or less, that may be taken. */
export function noteSize(
  { sizes }: Pick<Tx, "sizes">,
  queue: number,
  count: number,
  bytes: number,
): void {
  const note = sizes.get(queue);
  if (note === undefined) {
    sizes.set(queue, { read: undefined, count, bytes });
  } else {
    note.count += count;
    note.bytes += bytes;
  }
}

/**
 * Reads the size of a queue that has a limit. Whoever does has the lock of the queue: what
 * others take meanwhile is told by rows of theirs.
 */
export async function sizeOf(tx: Tx, queue: number): Promise<Size> {
  const { read, count, bytes } = tx.sizes.get(queue) ??
    { read: undefined, count: 0, bytes: 0 };
  if (read !== undefined) {
    return { count: read.count + count, bytes: read.bytes + bytes };
  }
  const [row] = await tx.rows(READ, queue);
  if (row?.wholes !== 1 || row.known !== row.written) {
    return await countAnew(tx, queue);
  }
  const known = { count: Number(row.messages), bytes: Number(row.bytes) };
  tx.sizes.set(queue, { read: known, count, bytes });
  if (Number(row.written) > MANY) await addUp(tx, queue);
  return { count: known.count + count, bytes: known.bytes + bytes };
}

/** Writes by how much the sizes of queues with a limit have changed. */
export async function writeSizes(tx: Tx): Promise<void> {
  for (const [queue, { count, bytes }] of tx.sizes) {
    if (count !== 0 || bytes !== 0) await tx.run(WRITE, count, bytes, queue);
  }
}

/** The size of a queue is not known any more: the next who needs it counts. */
export async function forgetSize(tx: Tx, queue: number): Promise<void> {
  await tx.run(
    "UPDATE dashi.sizes SET messages = NULL WHERE queue = ? AND whole = 1",
    queue,
  );
  tx.sizes.delete(queue);
}

/** Adds up what was written of queues into which nobody puts. */
export async function addUpSizes(tx: Tx): Promise<void> {
  const long = await tx.rows(
    `SELECT queue FROM dashi.sizes GROUP BY queue
      HAVING count(*) > ${MANY} ORDER BY queue`,
  );
  for (const { queue } of long) {
    await tx.lock(`queue ${queue}`);
    await sizeOf(tx, Number(queue));
  }
}

/** Rows that others write meanwhile stay: they are seen neither here nor in what was read. */
async function addUp(tx: Tx, queue: number): Promise<void> {
  const rows = await tx.rows(
    "DELETE FROM dashi.sizes WHERE queue = ? RETURNING messages, bytes",
    queue,
  );
  let [count, bytes] = [0, 0];
  for (const row of rows) {
    count += Number(row.messages);
    bytes += Number(row.bytes);
  }
  await tx.run(WRITE_WHOLE, queue, count, bytes);
}

/** By one statement: what it sees of the messages, and of the rows that tell of them, is of one moment. */
async function countAnew(tx: Tx, queue: number): Promise<Size> {
  const rows = await tx.rows(COUNT, READY, queue, queue);
  for (const { id } of rows) {
    if (id !== null) {
      await tx.run("DELETE FROM dashi.sizes WHERE id = ?", id ?? 0);
    }
  }
  const [first] = rows;
  const read = { count: Number(first?.count), bytes: Number(first?.bytes) };
  await tx.run(WRITE_WHOLE, queue, read.count, read.bytes);
  tx.sizes.set(queue, { read, count: 0, bytes: 0 });
  return read;
}

const READ = `SELECT count(*) AS written, sum(whole) AS wholes,
    count(messages) AS known, sum(messages) AS messages, sum(bytes) AS bytes
  FROM dashi.sizes WHERE queue = ?`;

const COUNT = `SELECT c.count, c.bytes, s.id FROM (
    SELECT count(*) AS count, coalesce(sum(size), 0) AS bytes
      FROM dashi.places WHERE state = ? AND queue = ?
  ) c LEFT JOIN dashi.sizes s ON s.queue = ?`;

const WRITE_WHOLE =
  "INSERT INTO dashi.sizes (queue, whole, messages, bytes) VALUES (?, 1, ?, ?)";

const WRITE = `INSERT INTO dashi.sizes (queue, whole, messages, bytes)
  SELECT queue, 0, CAST(? AS BIGINT), CAST(? AS BIGINT)
    FROM dashi.sizes WHERE queue = ? AND whole = 1`;
