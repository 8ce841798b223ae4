import type { CallOptions } from "../../model/call_options.ts";
import { DecodeError } from "../../model/errors.ts";
import type {
  NumberedOutboxRow,
  OutboxRelay,
  OutboxRow,
  OutboxRows,
  OutboxStatus,
} from "../outbox.ts";
import { bytesOf } from "./message.ts";
import type { Row, Sql, Tx } from "./port.ts";
import { type DoOptions, each, type Verb } from "./works.ts";

/** What happens to an outbox is told as if this were the number of a queue. */
export const OUTBOX_NEWS = -1;

/** So many rows are removed by one statement. */
const PIECE = 50;

/** So many bytes of bodies are read at once: all of them are in memory, more than once. */
const BYTES = 16_000_000;

/** Does a call with the next transaction. */
type Do = <C, R>(
  action: string,
  verb: Verb<C, R>,
  call: C,
  options: CallOptions | undefined,
  more?: DoOptions,
) => Promise<R>;

interface Turn {
  readonly outbox: string;
  readonly relay: OutboxRelay;
  readonly published: readonly number[];
  readonly limit: number;
}

/**
 * Keeps outboxes in a table of their own.
 *
 * @returns The part of a store; `undefined` where nobody can have a transaction.
 */
export function outboxOf(sql: Sql, todo: Do): OutboxRows | undefined {
  if (sql.within === undefined) return undefined;
  const within = sql.within.bind(sql);
  const now = () => sql.now();
  const next = each((tx: Tx, turn: Turn) => goOn(tx, turn, now()));
  const leave = each((tx: Tx, turn: Turn) => giveUp(tx, turn));
  const status = each((tx: Tx, outbox: string) => count(tx, outbox, now()));
  return {
    add: (outbox: string, row: OutboxRow, transaction) =>
      within(transaction, async (tx) => {
        tx.news.add(OUTBOX_NEWS);
        await tx.addToOutbox(outbox, row, now());
      }),
    next: (outbox, relay, published, limit, options) =>
      todo(
        "read an outbox",
        next,
        { outbox, relay, published, limit },
        options,
      ),
    leave: (outbox, relay, published, options) =>
      todo(
        "leave an outbox",
        leave,
        { outbox, relay, published, limit: 0 },
        options,
      ),
    status: (outbox, options) =>
      todo("count an outbox", status, outbox, options),
    listen: (onNews) =>
      sql.listen((happening) => {
        if (happening?.news.has(OUTBOX_NEWS) !== false) onNews();
      }),
  };
}

async function goOn(
  tx: Tx,
  { outbox, relay, published, limit }: Turn,
  now: number,
): Promise<readonly NumberedOutboxRow[] | undefined> {
  await remove(tx, published);
  const changed = await tx.run(
    `INSERT INTO dashi.relays (outbox, name, until) VALUES (?, ?, ?)
      ON CONFLICT (outbox) DO UPDATE SET
        name = excluded.name, until = excluded.until
        WHERE dashi.relays.name = excluded.name OR dashi.relays.until <= ?`,
    outbox,
    relay.name,
    now + relay.lease,
    now,
  );
  if (changed === 0) return undefined;
  if (limit === 0) return [];
  const last = await lastOf(tx, outbox, limit);
  if (last === undefined) return [];
  const rows = await tx.rows(
    `SELECT m.id, m.message_id, m.head, m.body FROM dashi.outbox m
      WHERE m.outbox = ? AND m.id <= ? ORDER BY m.id LIMIT ?`,
    outbox,
    last,
    limit,
  );
  const at = rows.findIndex(({ head }) => head === null);
  if (at < 0) return rows.map(rowOf);
  // Those before it are published first, and that is committed.
  if (at > 0 || published.length > 0) return rows.slice(0, at).map(rowOf);
  const [large = {}] = rows;
  throw new DecodeError(
    `Cannot read row ${large.id} of outbox "${outbox}", message id "${large.message_id}": it is larger than the option maxResponseSize allows; give the relay's connection a larger one`,
  );
}

/** Says how far to read at once: one row at least. */
async function lastOf(
  tx: Tx,
  outbox: string,
  limit: number,
): Promise<number | undefined> {
  const sizes = await tx.rows(
    `SELECT id, length(body) AS size FROM dashi.outbox
      WHERE outbox = ? ORDER BY id LIMIT ?`,
    outbox,
    limit,
  );
  let last: number | undefined;
  let bytes = 0;
  for (const { id, size } of sizes) {
    bytes += Number(size);
    if (last !== undefined && bytes > BYTES) break;
    last = Number(id);
  }
  return last;
}

async function giveUp(
  tx: Tx,
  { outbox, relay, published }: Turn,
): Promise<void> {
  await remove(tx, published);
  await tx.run(
    "DELETE FROM dashi.relays WHERE outbox = ? AND name = ?",
    outbox,
    relay.name,
  );
  tx.news.add(OUTBOX_NEWS);
}

async function remove(tx: Tx, ids: readonly number[]): Promise<void> {
  for (let from = 0; from < ids.length; from += PIECE) {
    await tx.run(
      REMOVE,
      ...Array.from({ length: PIECE }, (_, i) => ids[from + i] ?? -1),
    );
  }
}

const REMOVE = `DELETE FROM dashi.outbox WHERE id IN (${
  Array.from({ length: PIECE }, () => "?").join(", ")
})`;

async function count(
  tx: Tx,
  outbox: string,
  now: number,
): Promise<OutboxStatus> {
  const [row] = await tx.rows(
    `SELECT count(*) AS count, min(written_at) AS first FROM dashi.outbox
      WHERE outbox = ?`,
    outbox,
  );
  const first = row?.first ?? null;
  return {
    count: Number(row?.count),
    oldestAge: first === null
      ? undefined
      : Math.max(0, (now - Number(first)) / 1000),
  };
}

function rowOf({ id, message_id, head, body }: Row): NumberedOutboxRow {
  return {
    id: Number(id),
    messageId: String(message_id),
    head: String(head),
    body: bytesOf(body),
  };
}
