import type { Clock } from "../../async/clock.ts";
import type { QueueNotifier } from "../store/store.ts";
import { OUTBOX_NEWS } from "./outbox.ts";
import type { Happening, Sql, Tx } from "./port.ts";
import { DELAYED, READY } from "./schema.ts";
import type { SqlTables } from "./tables.ts";

/** Called with a queue that may have something, or that is no more. */
type Listener = (queue: string) => void;

/** Those who listen are told after so long at the least, ms: time is counted in whole ones. */
const LEAST = 1;

/** What a watch needs of a connection. */
export interface WatchParts {
  readonly sql: Sql;
  readonly clock: Clock;
  readonly tables: SqlTables;
}

/** Tells those who listen to queues when to look: for what others do, and for what time brings. */
export class Watch implements QueueNotifier {
  readonly #parts: WatchParts;
  /** By queue, in the order of their turn. */
  readonly #listeners = new Map<string, Listener[]>();
  #stopListening: (() => void) | undefined;
  #stopTimer: (() => void) | undefined;
  #timerAt = Infinity;
  #isLooking = false;
  #looksAgain = false;
  /** The first moment that was heard of while it looks: what it finds may be older. */
  #heard = Infinity;

  /** Makes one for a connection. */
  constructor(parts: WatchParts) {
    this.#parts = parts;
  }

  listen(queue: string, onNews: Listener): () => void {
    const sharing = this.#listeners.get(queue);
    if (sharing === undefined) this.#listeners.set(queue, [onNews]);
    else sharing.push(onNews);
    this.#stopListening ??= this.#parts.sql.listen(this.#onHappening);
    this.#look();
    return () => this.#forget(queue, onNews);
  }

  /** Calls nobody any more. */
  end(): void {
    this.#listeners.clear();
    this.#idle();
  }

  #forget(queue: string, onNews: Listener): void {
    const sharing = this.#listeners.get(queue);
    const index = sharing?.indexOf(onNews) ?? -1;
    if (sharing === undefined || index < 0) return;
    sharing.splice(index, 1);
    // It may have left something.
    if (sharing.length > 0) return this.#wake(queue);
    this.#listeners.delete(queue);
    if (this.#listeners.size === 0) this.#idle();
  }

  #idle(): void {
    this.#stopListening?.();
    this.#stopListening = undefined;
    this.#disarm();
  }

  readonly #onHappening = (happening: Happening): void => {
    if (happening === undefined) return this.#look();
    for (const number of happening.news) {
      if (number === OUTBOX_NEWS) continue;
      const queue = this.#parts.tables.numbered(number);
      if (queue === undefined) this.#look();
      else this.#wake(queue.name);
    }
    this.#heard = Math.min(this.#heard, happening.soonest);
    this.#arm(happening.soonest);
  };

  #wake(queue: string): void {
    const sharing = this.#listeners.get(queue);
    const first = sharing?.shift();
    if (sharing === undefined || first === undefined) return;
    sharing.push(first);
    first(queue);
  }

  /** Looks which queues have something, and when others will. */
  #look(): void {
    this.#looksAgain = true;
    if (this.#isLooking) return;
    this.#isLooking = true;
    this.#lookOn().catch(() => {
      // The next call fails, too, and says why.
    }).finally(() => this.#isLooking = false);
  }

  async #lookOn(): Promise<void> {
    while (this.#looksAgain && this.#listeners.size > 0) {
      this.#looksAgain = false;
      this.#heard = Infinity;
      const found = await this.#parts.sql.read((tx) => this.#find(tx));
      for (const queue of new Set(found.queues)) this.#wake(queue);
      this.#disarm();
      this.#arm(Math.min(found.next, this.#heard));
    }
  }

  async #find(
    tx: Tx,
  ): Promise<{ readonly queues: readonly string[]; readonly next: number }> {
    const { sql, tables } = this.#parts;
    await tables.load(tx);
    const now = sql.now();
    const queues: string[] = [];
    let next = Infinity;
    // All leave at once, where statements can.
    const looking = [...this.#listeners.keys()].map(async (name) => {
      const queue = tables.queue(name);
      if (queue === undefined) {
        queues.push(name);
        return;
      }
      const { number } = queue;
      const [[ready], due, later] = await Promise.all([
        tx.rows(READY_ONE, number),
        first(tx, `${DUE} AND rank <= ?`, number, now),
        first(tx, `${DUE} AND rank > ?`, number, now),
      ]);
      if (ready !== undefined || due < Infinity) queues.push(name);
      next = Math.min(next, later);
    });
    const [any] = this.#listeners.keys();
    const waiting = [EXPIRED, LATE].map(async (moments) => {
      const [past, later] = await Promise.all([
        first(tx, moments, 0),
        first(tx, moments, now),
      ]);
      // Any take of any queue sees to those whose time has come.
      if (any !== undefined && past <= now) queues.push(any);
      next = Math.min(next, later);
    });
    await Promise.all([...looking, ...waiting]);
    return { queues, next };
  }

  #arm(at: number): void {
    if (at >= this.#timerAt || this.#listeners.size === 0) return;
    this.#disarm();
    this.#timerAt = at;
    const { clock, sql } = this.#parts;
    const delay = Math.max(LEAST, Math.ceil(at - sql.now()));
    this.#stopTimer = clock.timer(() => {
      this.#timerAt = Infinity;
      this.#look();
    }, delay);
  }

  #disarm(): void {
    this.#stopTimer?.();
    this.#stopTimer = undefined;
    this.#timerAt = Infinity;
  }
}

const READY_ONE =
  `SELECT 1 AS one FROM dashi.places WHERE state = ${READY} AND queue = ? LIMIT 1`;

/** When the first delayed message of a queue is due. */
const DUE = `SELECT min(rank) AS first FROM dashi.places
  WHERE state = ${DELAYED} AND queue = ?`;

/** When the first message expires. */
const EXPIRED = `SELECT min(expires_at) AS first FROM dashi.places
  WHERE expires_at IS NOT NULL AND holder IS NULL AND expires_at > ?`;

/** When somebody who holds messages is given up, unless he is heard of before. */
const LATE = "SELECT min(until) AS first FROM dashi.holders WHERE until > ?";

async function first(
  tx: Tx,
  sql: string,
  ...values: readonly number[]
): Promise<number> {
  const [row] = await tx.rows(sql, ...values);
  const moment = Number(row?.first ?? Infinity);
  return Number.isNaN(moment) ? Infinity : moment; // of a row that somebody else wrote
}
