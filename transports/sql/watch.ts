import { atNextTurn } from "../../async/turn.ts";
import type { Clock } from "../../async/clock.ts";
import type { QueueNotifier } from "../store/store.ts";
import { OUTBOX_NEWS } from "./outbox.ts";
import type { Happening, Sql, Tx, Value } from "./port.ts";
import { DELAYED, READY } from "./schema.ts";
import type { SqlTables } from "./tables.ts";

/** Called with a queue that may have something, or that is no more. */
type Listener = (queue: string) => void;

/** Those who listen are told after so long at the least, ms: time is counted in whole ones. */
const LEAST = 1;

/** So many queues are asked for one by one; more, all together. */
const FEW = 8;

/** What a look has found. */
interface Found {
  /** Queues that have something, or are no more. */
  readonly queues: readonly string[];
  /** When time brings something, ms since 1970. */
  readonly next: number;
}

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
  /** Whether it looks at all queues; else at those that somebody goes on listening to. */
  #looksAtAll = false;
  readonly #lasting = new Set<string>();
  /** What somebody has begun to listen to, and was not looked at. */
  readonly #fresh = new Map<string, symbol>();
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
    this.#fresh.set(queue, Symbol());
    return () => this.#forget(queue, onNews);
  }

  /**
   * A take begins. Whoever begins to listen takes next, and one that gets enough by that
   * listens no more: a look for each would cost more than the takes. Those who go on are
   * looked for.
   *
   * @returns A function that is called when it is over, before its caller has gone on.
   */
  takes(): () => void {
    const fresh = [...this.#fresh];
    return () => {
      if (fresh.length > 0) atNextTurn(() => this.#lookForLasting(fresh));
    };
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
    this.#fresh.delete(queue);
    if (this.#listeners.size === 0) this.#idle();
  }

  #lookForLasting(fresh: readonly (readonly [string, symbol])[]): void {
    for (const [queue, begun] of fresh) {
      if (this.#fresh.get(queue) === begun) this.#lasting.add(queue);
    }
    if (this.#lasting.size > 0) this.#lookSoon();
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
    this.#looksAtAll = true;
    this.#lookSoon();
  }

  #lookSoon(): void {
    this.#looksAgain = true;
    if (this.#isLooking) return;
    this.#isLooking = true;
    this.#lookOn().catch(() => {
      // The next call fails, too, and says why.
      this.#looksAtAll = true;
    }).finally(() => this.#isLooking = false);
  }

  async #lookOn(): Promise<void> {
    while (this.#looksAgain && this.#listeners.size > 0) {
      const isOfAll = this.#looksAtAll;
      const names = [...(isOfAll ? this.#listeners.keys() : this.#lasting)]
        .filter((name) => this.#listeners.has(name));
      this.#looksAgain = this.#looksAtAll = false;
      this.#lasting.clear();
      for (const name of names) this.#fresh.delete(name);
      this.#heard = Infinity;
      const found = await this.#parts.sql.read((tx) => this.#find(tx, names));
      for (const queue of new Set(found.queues)) this.#wake(queue);
      // What time brings to the others is known already.
      if (isOfAll) this.#disarm();
      this.#arm(Math.min(found.next, this.#heard));
    }
  }

  async #find(tx: Tx, names: readonly string[]): Promise<Found> {
    const { sql, tables } = this.#parts;
    await tables.load(tx);
    const now = sql.now();
    const queues: string[] = [];
    let next = Infinity;
    const byNumber = new Map<number, string>();
    for (const name of names) {
      const queue = tables.queue(name);
      if (queue === undefined) queues.push(name);
      else byNumber.set(queue.number, name);
    }
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
    // All leave at once, where statements can.
    const [looks] = await Promise.all([
      byNumber.size > FEW
        ? tx.rows(LOOK, now, now)
        : Promise.all([...byNumber.keys()].map(async (number) => {
          const [row] = await tx.rows(
            `${LOOK} WHERE q.id = ?`,
            now,
            now,
            number,
          );
          return row ?? {};
        })),
      ...waiting,
    ]);
    for (const { id, ready, due, later } of looks) {
      const name = byNumber.get(Number(id));
      if (name === undefined) continue;
      if (ready === 1 || typeof due === "number") queues.push(name);
      next = Math.min(next, momentOf(later));
    }
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

/** What is in queues: whether something is ready, and since and until when delayed messages wait. */
const LOOK = `SELECT q.id,
    CASE WHEN EXISTS (SELECT 1 FROM dashi.places
      WHERE state = ${READY} AND queue = q.id) THEN 1 ELSE 0 END AS ready,
    (SELECT min(rank) FROM dashi.places
      WHERE state = ${DELAYED} AND queue = q.id AND rank <= ?) AS due,
    (SELECT min(rank) FROM dashi.places
      WHERE state = ${DELAYED} AND queue = q.id AND rank > ?) AS later
  FROM dashi.queues q`;

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
  return momentOf(row?.first);
}

/** A row that somebody else wrote may tell none. */
function momentOf(value: Value | undefined): number {
  const moment = Number(value ?? Infinity);
  return Number.isNaN(moment) ? Infinity : moment;
}
