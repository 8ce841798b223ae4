import type { Reserved, ReserveWant } from "../store/store.ts";
import { removeOne } from "./contents.ts";
import type { Holder } from "./holder.ts";
import { takeInTurn } from "./lanes.ts";
import { placeOf, SqlReservation } from "./message.ts";
import { forgetLate } from "./owners.ts";
import type { Row, Tx } from "./port.ts";
import { ripen } from "./ripening.ts";
import { HELD } from "./schema.ts";
import type { NumberedQueue, SqlTables } from "./tables.ts";

/** The most expired messages that one call takes, of all queues. */
const EXPIRED = 500;

/** What is to be done before a take: whoever looks sees to it. */
const TODO = `SELECT
  (SELECT min(until) FROM dashi.holders WHERE until <= ?) AS late,
  (SELECT id FROM dashi.holders WHERE id = ?) AS known,
  (SELECT min(expires_at) FROM dashi.places
    WHERE expires_at IS NOT NULL AND holder IS NULL AND expires_at <= ?)
    AS expired`;

/** What a take needs of a connection. */
export interface TakerParts {
  readonly tables: SqlTables;
  readonly now: () => number;
  readonly holder: Holder;
}

/** Takes messages. */
export class Taker {
  readonly #parts: TakerParts;

  /** Makes one for a connection. */
  constructor(parts: TakerParts) {
    this.#parts = parts;
  }

  /** Takes messages for calls that stand one after another. */
  readonly reserve = async (
    tx: Tx,
    calls: readonly (readonly ReserveWant[])[],
  ): Promise<readonly Reserved[]> => {
    const { tables, holder, now } = this.#parts;
    await tables.sync(tx);
    const [todo] = await tx.rows(TODO, now(), holder.number, now());
    if (todo?.late !== null) await forgetLate(tx, now());
    if (todo?.known === null || todo?.late !== null) await holder.ensure(tx);
    const expired = todo?.expired === null ? [] : await this.#takeExpired(tx);
    const results: Reserved[] = [];
    for (const wants of calls) {
      const reservations = expired.splice(0);
      const missing: string[] = [];
      for (const { queue: name, limit } of wants) {
        const queue = tables.queue(name);
        if (queue === undefined) missing.push(name);
        else reservations.push(...await this.takeFrom(tx, queue, limit));
      }
      results.push({ reservations, missing });
    }
    return results;
  };

  /** Takes messages of a queue whose turn it is. */
  async takeFrom(
    tx: Tx,
    queue: NumberedQueue,
    limit: number,
  ): Promise<SqlReservation[]> {
    const { ordered } = queue.traits;
    const now = this.#parts.now();
    const claim = {
      queue: queue.number,
      limit,
      now,
      holder: this.#parts.holder.number,
    };
    await ripen(tx, queue.number, { now, ordered });
    const rows = ordered ? await takeInTurn(tx, claim) : await tx.claim(claim);
    return rows.map((row) => this.#reservation(queue, row, false));
  }

  /** Takes what has expired, where it goes somewhere; the rest of it is removed. */
  async #takeExpired(tx: Tx): Promise<SqlReservation[]> {
    const { tables, now, holder } = this.#parts;
    const rows = await tx.rows(
      `SELECT * FROM dashi.places
        WHERE expires_at IS NOT NULL AND holder IS NULL AND expires_at <= ?
        ORDER BY expires_at, id LIMIT ? FOR NOBODY ELSE`,
      now(),
      EXPIRED,
    );
    const taken: SqlReservation[] = [];
    for (const row of rows) {
      const queue = tables.numbered(Number(row.queue));
      const place = placeOf(row);
      if (queue?.traits.deadLetterExchange === undefined) {
        await removeOne(tx, Number(row.state), place);
        continue;
      }
      const changed = await tx.run(
        `UPDATE dashi.places SET state = ${HELD}, rank = home, holder = ?
          WHERE state = ? AND queue = ? AND rank = ? AND id = ?
            AND holder IS NULL`,
        holder.number,
        Number(row.state),
        place.queue,
        place.rank,
        place.id,
      );
      const [message] = await tx.rows(
        "SELECT head, body FROM dashi.messages WHERE id = ?",
        place.id,
      );
      if (changed === 0 || message === undefined) continue;
      const whole = { ...row, ...message, rank: row.home ?? 0 };
      taken.push(this.#reservation(queue, whole, true));
    }
    return taken;
  }

  #reservation(
    { name, traits: { ordered } }: NumberedQueue,
    row: Row,
    expired: boolean,
  ): SqlReservation {
    const holder = this.#parts.holder.number;
    return new SqlReservation(name, row, holder, { expired, ordered });
  }
}
