import type { CallOptions } from "../../model/call_options.ts";
import type { DelayedMessage } from "../delayed.ts";
import { removeOne } from "./contents.ts";
import { messageOf, placeOf } from "./message.ts";
import type { Place, Row, Tx } from "./port.ts";
import { DELAYED } from "./schema.ts";

/** So many are read at once: they may be large. */
const PAGE = 50;

/** The calls of a store by which delayed messages are listed. */
export interface DelayedCalls {
  now(): number;
  /** Reads so many that are due after a place. */
  read(after: Place, limit: number): Promise<readonly Row[]>;
  /** Removes one; says whether it was there. */
  remove(place: Place, options?: CallOptions): Promise<boolean>;
}

/**
 * Lists delayed messages.
 *
 * @param calls How.
 * @returns The pages.
 */
export async function* listDelayed(
  { now, read, remove }: DelayedCalls,
): AsyncIterable<readonly DelayedMessage[]> {
  let after: Place = { queue: 0, rank: now(), id: Number.MAX_SAFE_INTEGER };
  for (;;) {
    const rows = await read(after, PAGE);
    const last = rows.at(-1);
    if (last === undefined) return;
    after = placeOf(last);
    const page = rows.flatMap((row): readonly DelayedMessage[] => {
      const place = placeOf(row);
      const delay = place.rank - now();
      const message = messageOf(row);
      if (delay <= 0 || "error" in message) return [];
      return [{ delay, message, remove: (options) => remove(place, options) }];
    });
    if (page.length > 0) yield page;
  }
}

/** The delayed messages of a queue that are due after a place: those that a name finds, for others wait for the rest. */
export function delayedAfter(
  tx: Tx,
  queue: number,
  { rank, id }: Place,
  limit: number,
): Promise<readonly Row[]> {
  return tx.rows(
    `SELECT p.queue, p.rank, p.id, m.head, m.body
      FROM dashi.places p JOIN dashi.messages m ON m.id = p.id
      WHERE p.state = ? AND p.queue = ? AND p.message_id IS NOT NULL
        AND (p.rank > ? OR (p.rank = ? AND p.id > ?))
      ORDER BY p.rank, p.id LIMIT ?`,
    DELAYED,
    queue,
    rank,
    rank,
    id,
    limit,
  );
}

/** Removes a delayed message; says whether it was there. */
export function removeDelayed(tx: Tx, place: Place): Promise<boolean> {
  return removeOne(tx, DELAYED, place);
}
