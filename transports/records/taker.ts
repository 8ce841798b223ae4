import { Batchers } from "../../async/batcher.ts";
import { notAnswered } from "../connection_errors.ts";
import type { Lifeline } from "../store/lifeline.ts";
import { Claims } from "./claims.ts";
import { QueueCursor } from "./cursor.ts";
import type { Database } from "./database.ts";
import { Expired } from "./expired.ts";
import {
  after,
  dueRangeEnd,
  EXPIRIES,
  isOrphan,
  isReady,
  rangeOf,
  readMessageId,
} from "./ids.ts";
import type { Leases } from "./leases.ts";
import type { Row } from "./records.ts";
import type { RecordReservation } from "./reservation.ts";
import type { Tables } from "./tables.ts";
import type { Unacked } from "./unacked.ts";

/** By how much the clocks of two machines may differ, ms: a database may tell whole seconds. */
const SKEW = 2000;

/** A message that was put longer ago than this is there by now, ms: the search for the oldest need not begin before. */
const SETTLED = 60_000;

/** How many names are read to find messages that nobody has taken: at first, and then at most. */
const [NEXT_PAGE, LARGEST_PAGE] = [100, 1000];

/** After a lost race the messages are chosen among so many times as many as are wanted. */
const SPREAD = 8;

const TAKE = "take messages";

/** The parts of a connection that take part in taking. */
export interface TakerContext {
  readonly database: Database;
  readonly topology: Tables;
  readonly leases: Leases;
  readonly unacked: Unacked;
  readonly lifeline: Lifeline;
}

interface Page {
  readonly start: string;
  /** How many to look at. */
  readonly page: number;
  /** How many to take. */
  readonly wanted: number;
  /** Whether others take from it, and were faster. */
  readonly raced: boolean;
}

/** Takes messages: reads the head of a queue's range, and claims what is free there. */
export class Taker {
  readonly #database: Database;
  readonly #topology: Tables;
  readonly #claims: Claims;
  readonly #expired: Expired;
  readonly #cursors = new Map<string, QueueCursor>();
  /** How many are wanted by calls that are not told what changes, by queue. */
  readonly #wanted: Batchers<string, number, RecordReservation[]>;
  /** By queue, before which id there is no record any more: a database may walk over all that were removed. */
  readonly #lowWaterMarks = new Map<string, string>();

  /** Makes one that knows of no queue. */
  constructor(
    { database, topology, leases, unacked, lifeline: { limits } }: TakerContext,
  ) {
    this.#database = database;
    this.#topology = topology;
    this.#claims = new Claims(
      database,
      leases,
      (row) => unacked.releaseRow(row),
    );
    this.#expired = new Expired(database, topology, this.#claims);
    this.#wanted = new Batchers((queue) => ({
      limits,
      count: Infinity,
      // Calls that come meanwhile are served together: they would only get in each other's way.
      atOnce: 1,
      actionOf: () => TAKE,
      late: () => notAnswered(TAKE, "unknown"),
      send: async (wanted) => {
        const total = wanted.reduce((sum, limit) => sum + limit, 0);
        const taken = await this.#take(queue, total, false);
        return wanted.map((limit) => taken.splice(0, limit));
      },
    }));
  }

  /** Puts back what is held for nobody; `false` while that is not known of each. */
  finish(): Promise<boolean> {
    return this.#claims.finish();
  }

  /** Forgets what it knows: changes were missed. */
  reset(): void {
    this.#cursors.clear();
    this.#expired.reset();
  }

  /** Is told that a record changed; returns whose consumers should look: a queue's, all, or nobody's. */
  onChange(
    id: string,
    revision: string,
    isRemoved: boolean,
  ): { readonly queue: string } | "all" | undefined {
    if (isRemoved) return undefined;
    if (id.startsWith(EXPIRIES)) {
      return this.#expired.onNote(id) ? "all" : undefined;
    }
    if (!id.startsWith("m/") || !isReady(revision)) return undefined;
    const { queue, delayed, time } = readMessageId(id);
    const cursor = this.#cursors.get(queue);
    if (cursor === undefined) return undefined;
    if (delayed && time > this.#now) {
      cursor.nextDue = Math.min(cursor.nextDue, time);
    } else {
      cursor.rewindTo(id);
      if (time > this.#now + SKEW) cursor.isAhead = true;
    }
    return { queue };
  }

  /** When time alone may bring something to these queues, ms since 1970. */
  nextAt(queues: readonly string[]): number {
    let next = this.#expired.nextAt;
    for (const queue of queues) {
      next = Math.min(next, this.#cursors.get(queue)?.nextDue ?? Infinity);
    }
    return next;
  }

  /**
   * Takes messages of a queue.
   *
   * @param queue The queue.
   * @param limit The maximum.
   * @param isTold Whether the database tells what changes: then nothing is read twice.
   * @returns The messages that were taken.
   */
  take(
    queue: string,
    limit: number,
    isTold: boolean,
  ): Promise<RecordReservation[]> {
    return isTold
      ? this.#take(queue, limit, true)
      : this.#wanted.add(queue, queue, limit);
  }

  async #take(
    queue: string,
    limit: number,
    isTold: boolean,
  ): Promise<RecordReservation[]> {
    const cursor = this.#cursorOf(queue, isTold);
    if (cursor.nextDue <= this.#now) cursor.restart(this.#lowWaterMark(queue));
    if (!cursor.isDirty) return [];
    const taken = await this.#takeFrom(queue, cursor, limit, isTold);
    if (cursor.isDirty) return taken;
    cursor.isAhead = false;
    if (!isTold && taken.length > 0) return taken;
    try {
      await this.#lookAhead(queue, cursor);
    } catch (error) {
      cursor.restart(this.#lowWaterMark(queue));
      if (taken.length === 0) throw error;
      return taken;
    }
    if (!cursor.isAhead || taken.length > 0) return taken;
    return await this.#takeFrom(queue, cursor, limit, isTold);
  }

  async #takeFrom(
    queue: string,
    cursor: QueueCursor,
    limit: number,
    isTold: boolean,
  ): Promise<RecordReservation[]> {
    await this.#claims.prepare([queue]);
    const taken: RecordReservation[] = [];
    // Larger pages where others took the head.
    for (let page = 0, raced = false; cursor.isDirty && taken.length < limit;) {
      const wanted = limit - taken.length;
      page = page === 0 ? limit : Math.max(
        wanted,
        Math.min(Math.max(page * 4, NEXT_PAGE), LARGEST_PAGE),
      );
      const start = cursor.begin();
      try {
        const claimed = await this.#takePage(queue, cursor, {
          start,
          page,
          wanted,
          raced,
        });
        for (const each of claimed) if (each !== undefined) taken.push(each);
        raced = claimed.includes(undefined);
        // More may come with each look, and nobody is to wait for that: a call that is told comes again.
        if (isTold && taken.length > 0) break;
      } catch (error) {
        cursor.rewindTo(start);
        // What is ours by now is handed out first: the next call is told.
        if (taken.length === 0) throw error;
        break;
      }
    }
    return taken;
  }

  /** Takes expired messages, of whatever queue dead-letters them. */
  takeExpired(isTold: boolean): Promise<RecordReservation[]> {
    return this.#expired.take(isTold);
  }

  /** Takes from a page; of what another connection was faster to take there is `undefined`. */
  async #takePage(
    queue: string,
    cursor: QueueCursor,
    { start, page, wanted, raced }: Page,
  ): Promise<readonly (RecordReservation | undefined)[]> {
    const now = this.#now;
    const { maxPriority, deadLetters, born } = this.#topology.traits(queue);
    const inOrder = maxPriority === 0;
    const action = `take from queue "${queue}"`;
    const rows = await this.#database.list(action, {
      start,
      end: inOrder && !cursor.isAhead
        ? dueRangeEnd(queue, now + SKEW)
        : rangeOf(queue)[1],
      limit: page,
      // If others took most of them the names tell which are free.
      withFields: page <= wanted,
    });
    if (inOrder && start === this.#lowWaterMark(queue)) {
      const settled = dueRangeEnd(queue, now - SETTLED);
      const first = rows[0]?.id ?? settled;
      this.#lowWaterMarks.set(queue, first < settled ? first : settled);
    }
    const free: Row[] = [];
    const over: Row[] = [];
    for (const row of rows) {
      const { id, revision, fields } = row;
      const isFree = fields === undefined
        ? isReady(revision)
        : fields.holder === undefined;
      if (!isFree) continue;
      const message = readMessageId(id);
      const { delayed, time, expires } = message;
      if (isOrphan(message, born)) {
        over.push(row);
      } else if (delayed && time > now) {
        cursor.nextDue = Math.min(cursor.nextDue, time);
      } else if (expires > now || deadLetters) free.push(row);
      else over.push(row);
    }
    const spare = Math.max(0, free.length - wanted);
    const skipped = raced
      ? Math.floor(Math.random() * Math.min(spare + 1, SPREAD * wanted))
      : 0;
    const chosen = free.slice(skipped, skipped + wanted);
    const claims = await this.#claims.begin(action, chosen, now);
    const claiming = Promise.allSettled(claims);
    const dropped = await Promise.allSettled(
      over.map((row) => this.#database.remove(action, row)),
    );
    const claimed = await claiming;
    const taken = claimed.map((each) =>
      each.status === "fulfilled" ? each.value : undefined
    );
    const failure = [...claimed, ...dropped].find((each) =>
      each.status === "rejected"
    );
    if (failure !== undefined) {
      if (taken.every((each) => each === undefined)) throw failure.reason;
      cursor.rewindTo(start);
    }
    const left = free[skipped > 0 ? 0 : wanted]?.id;
    if (left !== undefined) cursor.rewindTo(left);
    else if (rows.length === page) {
      cursor.rewindTo(after(rows.at(-1)?.id ?? ""));
    }
    return taken;
  }

  /** Looks behind what is due by now: when more will be, and whether something stands there that is due already. */
  async #lookAhead(queue: string, cursor: QueueCursor): Promise<void> {
    if (cursor.hasLookedAhead) return;
    cursor.hasLookedAhead = true;
    // Of a queue with priorities the whole range was read.
    const { maxPriority, born } = this.#topology.traits(queue);
    if (maxPriority > 0) return;
    const rows = await this.#database.list(`wait for queue "${queue}"`, {
      start: dueRangeEnd(queue, this.#now + SKEW),
      end: rangeOf(queue)[1],
      limit: LARGEST_PAGE,
      withFields: false,
    });
    for (const { id, revision } of rows) {
      const message = readMessageId(id);
      const { time, delayed } = message;
      if (isOrphan(message, born)) continue;
      if (delayed) cursor.nextDue = Math.min(cursor.nextDue, time);
      else if (isReady(revision)) {
        cursor.rewindTo(id);
        cursor.isAhead = true;
        return;
      }
    }
  }

  #lowWaterMark(queue: string): string {
    const [start] = rangeOf(queue);
    // With priorities what is put last may stand first.
    if (this.#topology.traits(queue).maxPriority > 0) return start;
    return this.#lowWaterMarks.get(queue) ?? start;
  }

  #cursorOf(queue: string, isTold: boolean): QueueCursor {
    let cursor = isTold ? this.#cursors.get(queue) : undefined;
    if (cursor === undefined) {
      cursor = new QueueCursor(this.#lowWaterMark(queue));
      if (isTold) this.#cursors.set(queue, cursor);
    }
    return cursor;
  }

  get #now(): number {
    return this.#database.now();
  }
}
