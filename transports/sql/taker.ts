import { hasLimit } from "../../virtual/queue_arguments.ts";
import type { Reserved, ReserveWant } from "../store/store.ts";
import { removeOne } from "./contents.ts";
import type { Holder } from "./holder.ts";
import { takeInTurn } from "./lanes.ts";
import { placeOf, SqlReservation } from "./message.ts";
import { forgetLate } from "./owners.ts";
import type { Row, Tx } from "./port.ts";
import { ripen } from "./ripening.ts";
import { HELD, READY } from "./schema.ts";
import { noteSize } from "./sizes.ts";
import type { NumberedQueue, SqlTables } from "./tables.ts";
import { DUE, EXPIRED, LATE, UNKNOWN } from "./todo.ts";

/** The most expired messages that one call takes, of all queues. */
const PAGE = 500;

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
    const { tables } = this.#parts;
    await tables.sync(tx);
    const results: Reserved[] = [];
    for (const wants of calls) {
      const reservations: SqlReservation[] = [];
      const missing: string[] = [];
      for (const { queue: name, limit } of wants) {
        const queue = tables.queue(name);
        if (queue === undefined) missing.push(name);
        else {
          const expired: SqlReservation[] = [];
          const taken = await this.takeFrom(tx, queue, limit, expired);
          reservations.push(...expired, ...taken);
        }
      }
      results.push({ reservations, missing });
    }
    return results;
  };

  /** Takes messages of a queue whose turn it is; `expired` is given those of any queue whose time is over. */
  async takeFrom(
    tx: Tx,
    queue: NumberedQueue,
    limit: number,
    expired?: SqlReservation[],
  ): Promise<SqlReservation[]> {
    const { ordered, maxPriority } = queue.traits;
    const { holder, now } = this.#parts;
    const claim = (limit: number) => ({
      queue: queue.number,
      limit,
      now: now(),
      holder: holder.number,
      isFlat: maxPriority === undefined,
    });
    await holder.refresh(tx);
    // Those of an ordered queue are taken by their lanes.
    let { rows, todo } = await tx.claim(claim(ordered ? 0 : limit));
    if ((todo & (LATE | UNKNOWN)) !== 0) {
      if ((todo & LATE) !== 0) await forgetLate(tx, now());
      await holder.ensure(tx);
    }
    if ((todo & EXPIRED) !== 0) {
      expired?.push(...await this.#takeExpired(tx));
    }
    if ((todo & DUE) !== 0) {
      await ripen(tx, queue.number, { now: now(), ordered });
    }
    if (ordered) rows = await takeInTurn(tx, claim(limit));
    else if ((todo & ~EXPIRED) !== 0 && rows.length < limit) {
      const more = await tx.claim(claim(limit - rows.length));
      rows = [...rows, ...more.rows];
    }
    const taken = rows.map((row) => this.#reservation(queue, row, false));
    if (hasLimit(queue.traits)) {
      for (const each of taken) noteSize(tx, queue.number, -1, -each.size);
    }
    return taken;
  }

  /** Takes what has expired of one queue. */
  async takeExpiredOf(
    tx: Tx,
    { number }: NumberedQueue,
  ): Promise<readonly SqlReservation[]> {
    await this.#parts.holder.refresh(tx);
    await this.#parts.holder.ensure(tx);
    return await this.#takeExpired(tx, number);
  }

  /** Takes what has expired, of one queue or of all, where it goes somewhere; the rest of it is removed. */
  async #takeExpired(tx: Tx, only?: number): Promise<SqlReservation[]> {
    const { tables, now, holder } = this.#parts;
    const rows = await tx.rows(
      `SELECT * FROM dashi.places
        WHERE expires_at IS NOT NULL AND holder IS NULL AND expires_at <= ?${
        only === undefined ? "" : " AND queue = ?"
      } ORDER BY expires_at, id LIMIT ? FOR NOBODY ELSE`,
      now(),
      ...only === undefined ? [] : [only],
      PAGE,
    );
    const taken: SqlReservation[] = [];
    for (const row of rows) {
      const queue = tables.numbered(Number(row.queue));
      const place = placeOf(row);
      if (queue?.traits.deadLetterExchange === undefined) {
        if (await removeOne(tx, Number(row.state), place)) leaves(tx, row);
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
        "SELECT m.head, m.body FROM dashi.messages m WHERE m.id = ?",
        place.id,
      );
      if (changed === 0 || message === undefined) continue;
      leaves(tx, row);
      const whole = { ...row, ...message, rank: row.home ?? 0 };
      taken.push(this.#reservation(queue, whole, true));
    }
    return taken;
  }

  #reservation(
    { name, traits }: NumberedQueue,
    row: Row,
    expired: boolean,
  ): SqlReservation {
    const holder = this.#parts.holder.number;
    return new SqlReservation(name, row, holder, {
      expired,
      traits,
      now: this.#parts.now(),
    });
  }
}

function leaves(tx: Tx, { state, queue, size }: Row): void {
  if (state === READY) noteSize(tx, Number(queue), -1, -Number(size));
}
