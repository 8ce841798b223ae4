import { Claims } from "./claims.ts";
import type { Database, Doc, Row } from "./database.ts";
import type { Holders } from "./holders.ts";
import {
  after,
  dueRangeEnd,
  endOf,
  EXPIRIES,
  isOrphan,
  isReady,
  rangeOf,
  readExpiryId,
  readMessageId,
} from "./ids.ts";
import type { CouchdbReservation } from "./reservation.ts";
import { newShelf, reach, type Shelf } from "./shelf.ts";
import type { SharedTopology } from "./topology.ts";

/** By how much the clocks of two machines may differ, ms: the server's tells whole seconds. */
const SKEW = 2000;

/** What was put longer ago than this is there by now, ms: whoever looks for the oldest need not look before. */
const SETTLED = 60_000;

/** Greater than every message's id. */
const BEHIND_ALL = "n";

/** How soon to look again for what expired while somebody held it, ms. */
const HELD_EXPIRED = 1000;

/** The most expired messages that are taken at once. */
const MAX_EXPIRED = 100;

/** How many names are read to find messages that nobody holds: at first, and then at most. */
const [NEXT_PAGE, LARGEST_PAGE] = [100, 1000];

/** Who lost a race chooses among so many times the messages that it wants. */
const SPREAD = 8;

interface Ask {
  readonly limit: number;
  readonly resolve: (taken: CouchdbReservation[]) => void;
  readonly reject: (error: unknown) => void;
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

/** Takes messages: reads the head of a queue's range, and writes our name into the documents. */
export class Taker {
  readonly #database: Database;
  readonly #topology: SharedTopology;
  readonly #holders: Holders;
  readonly #claims: Claims;
  readonly #shelves = new Map<string, Shelf>();
  /** Who asks without being told what changes, by queue. */
  readonly #asking = new Map<string, Ask[]>();
  /** By queue, before which id there is no document any more: the server walks over all that were removed. */
  readonly #floors = new Map<string, string>();
  #nextExpiry = 0;

  /** Makes one that knows of no queue. */
  constructor(database: Database, topology: SharedTopology, holders: Holders) {
    this.#database = database;
    this.#topology = topology;
    this.#holders = holders;
    this.#claims = new Claims(database, holders);
  }

  /** Forgets what it knows: changes were missed. */
  reset(): void {
    this.#shelves.clear();
    this.#nextExpiry = 0;
  }

  /** Hears that a document changed; returns whose consumers should look: a queue, all, or nobody. */
  heard(
    id: string,
    rev: string,
    deleted: boolean,
  ): { readonly queue: string } | "all" | undefined {
    if (deleted) return undefined;
    if (id.startsWith(EXPIRIES)) {
      const { expires } = readExpiryId(id);
      if (expires >= this.#nextExpiry) return undefined;
      this.#nextExpiry = expires;
      return "all";
    }
    if (!id.startsWith("m/") || !isReady(rev)) return undefined;
    const { queue, delayed, time } = readMessageId(id);
    const shelf = this.#shelves.get(queue);
    if (shelf === undefined) return undefined;
    if (delayed && time > this.#now) {
      shelf.nextDue = Math.min(shelf.nextDue, time);
    } else {
      reach(shelf, id);
      if (time > this.#now + SKEW) shelf.ahead = true;
    }
    return { queue };
  }

  /** When time alone may bring something to these queues, ms since 1970. */
  nextAt(queues: readonly string[]): number {
    let next = this.#nextExpiry;
    for (const queue of queues) {
      next = Math.min(next, this.#shelves.get(queue)?.nextDue ?? Infinity);
    }
    return next;
  }

  /**
   * Takes messages of a queue.
   *
   * @param queue The queue.
   * @param limit The most.
   * @param told Whether the feed tells what changes: then nothing is read twice.
   * @returns What was taken.
   */
  take(
    queue: string,
    limit: number,
    told: boolean,
  ): Promise<CouchdbReservation[]> {
    if (told) return this.#take(queue, limit, true);
    return new Promise((resolve, reject) => {
      const ask = { limit, resolve, reject };
      const asking = this.#asking.get(queue);
      if (asking !== undefined) asking.push(ask);
      else {
        const asks = [ask];
        this.#asking.set(queue, asks);
        void this.#serve(queue, asks);
      }
    });
  }

  /** Those who ask for a queue meanwhile are served together: they would only get in each other's way. */
  async #serve(queue: string, asks: Ask[]): Promise<void> {
    while (asks.length > 0) {
      const batch = asks.splice(0);
      const total = batch.reduce((sum, { limit }) => sum + limit, 0);
      try {
        const taken = await this.#take(queue, total, false);
        for (const { limit, resolve } of batch) {
          resolve(taken.splice(0, limit));
        }
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    this.#asking.delete(queue);
  }

  async #take(
    queue: string,
    limit: number,
    told: boolean,
  ): Promise<CouchdbReservation[]> {
    const shelf = this.#shelfOf(queue, told);
    if (shelf.nextDue <= this.#now) {
      shelf.nextDue = Infinity;
      shelf.looked = false;
      shelf.from = this.#floorOf(queue);
      shelf.dirty = true;
    }
    if (!shelf.dirty) return [];
    const taken = await this.#takeFrom(queue, shelf, limit, told);
    if (shelf.dirty) return taken;
    shelf.ahead = false;
    if (!told && taken.length > 0) return taken;
    await this.#lookAhead(queue, shelf);
    if (!shelf.ahead || taken.length > 0) return taken;
    return await this.#takeFrom(queue, shelf, limit, told);
  }

  async #takeFrom(
    queue: string,
    shelf: Shelf,
    limit: number,
    told: boolean,
  ): Promise<CouchdbReservation[]> {
    await this.#holders.ensure([queue]);
    const taken: CouchdbReservation[] = [];
    // Larger pages where others hold the head.
    for (let page = 0, raced = false; shelf.dirty && taken.length < limit;) {
      const wanted = limit - taken.length;
      page = page === 0 ? limit : Math.max(
        wanted,
        Math.min(Math.max(page * 4, NEXT_PAGE), LARGEST_PAGE),
      );
      const start = shelf.from;
      // What is heard of while we read is kept.
      shelf.from = BEHIND_ALL;
      shelf.dirty = false;
      try {
        const claimed = await this.#takePage(queue, shelf, {
          start,
          page,
          wanted,
          raced,
        });
        for (const each of claimed) if (each !== undefined) taken.push(each);
        raced = claimed.includes(undefined);
        // More may come with each look, and nobody is to wait for that: whoever is told asks again.
        if (told && taken.length > 0) break;
      } catch (error) {
        reach(shelf, start);
        throw error;
      }
    }
    return taken;
  }

  /** Takes expired messages, of whatever queue dead-letters them. */
  async takeExpired(): Promise<CouchdbReservation[]> {
    const now = this.#now;
    if (now < this.#nextExpiry) return [];
    this.#nextExpiry = Infinity;
    const action = "look what has expired";
    const rows = await this.#database.list(action, {
      start: EXPIRIES,
      end: endOf(EXPIRIES),
      limit: MAX_EXPIRED + 1,
      docs: false,
    });
    const due: [Row, string][] = [];
    for (const row of rows) {
      const { expires, message } = readExpiryId(row.id);
      if (expires > now) {
        this.#nextExpiry = Math.min(this.#nextExpiry, expires);
        break;
      }
      due.push([row, message]);
    }
    if (due.length === 0) return [];
    const ids = due.map(([, id]) => id);
    const found = new Map<string, Row>();
    for (const row of await this.#database.read(action, ids)) {
      found.set(row.id, row);
    }
    await this.#holders.ensure(
      [...new Set([...found.keys()].map((id) => readMessageId(id).queue))],
    );
    const taken = await Promise.all(due.map(([row, id]) => {
      const doc = this.#docOf(found.get(id));
      // The note goes when its message has gone, so that a crash loses neither.
      if (doc === undefined) {
        void this.#database.remove(row.id, row.rev).catch(() => {});
        return undefined;
      }
      this.#nextExpiry = Math.min(this.#nextExpiry, now + HELD_EXPIRED);
      return doc.holder === undefined
        ? this.#claims.claim(doc, true)
        : undefined;
    }));
    return taken.filter((each) => each !== undefined);
  }

  /** The document of a row, unless it is of a deleted queue: that goes. */
  #docOf(row: Row | undefined): Doc | undefined {
    if (row === undefined) return undefined;
    const { id, rev, doc } = row;
    const message = readMessageId(id);
    const { born } = this.#topology.traits(message.queue);
    if (!isOrphan(message, born)) return doc;
    // Whoever holds it sees that its queue is another.
    if (isReady(rev)) void this.#database.remove(id, rev).catch(() => {});
    return undefined;
  }

  /** Takes of a page; of what somebody else was faster to take there is `undefined`. */
  async #takePage(
    queue: string,
    shelf: Shelf,
    { start, page, wanted, raced }: Page,
  ): Promise<readonly (CouchdbReservation | undefined)[]> {
    const now = this.#now;
    const { maxPriority, deadLetters, born } = this.#topology.traits(queue);
    const inOrder = maxPriority === 0;
    const action = `take from queue "${queue}"`;
    const rows = await this.#database.list(action, {
      start,
      end: inOrder && !shelf.ahead
        ? dueRangeEnd(queue, now + SKEW)
        : rangeOf(queue)[1],
      limit: page,
      // Where most are held by others the names tell which are not.
      docs: page <= wanted,
    });
    if (inOrder && start === this.#floorOf(queue)) {
      const settled = dueRangeEnd(queue, now - SETTLED);
      const first = rows[0]?.id ?? settled;
      this.#floors.set(queue, first < settled ? first : settled);
    }
    const free: Row[] = [];
    const dropping: Promise<unknown>[] = [];
    for (const row of rows) {
      const { id, rev, doc } = row;
      if (doc === undefined ? !isReady(rev) : doc.holder !== undefined) {
        continue;
      }
      const message = readMessageId(id);
      const { delayed, time, expires } = message;
      if (isOrphan(message, born)) {
        dropping.push(this.#database.remove(id, rev));
      } else if (delayed && time > now) {
        shelf.nextDue = Math.min(shelf.nextDue, time);
      } else if (expires > now || deadLetters) free.push(row);
      else dropping.push(this.#database.remove(id, rev));
    }
    const spare = Math.max(0, free.length - wanted);
    const skipped = raced
      ? Math.floor(Math.random() * Math.min(spare + 1, SPREAD * wanted))
      : 0;
    const chosen = free.slice(skipped, skipped + wanted);
    const [claimed] = await Promise.all([
      this.#claims.all(action, chosen, now),
      ...dropping,
    ]);
    const left = free[skipped > 0 ? 0 : wanted]?.id;
    if (left !== undefined) reach(shelf, left);
    else if (rows.length === page) reach(shelf, after(rows.at(-1)?.id ?? ""));
    return claimed;
  }

  /** Looks behind what is due by now: when more will be, and whether something stands there that is due already. */
  async #lookAhead(queue: string, shelf: Shelf): Promise<void> {
    if (shelf.looked) return;
    shelf.looked = true;
    // Of a queue with priorities the whole range was read.
    const { maxPriority, born } = this.#topology.traits(queue);
    if (maxPriority > 0) return;
    const rows = await this.#database.list(`wait for queue "${queue}"`, {
      start: dueRangeEnd(queue, this.#now + SKEW),
      end: rangeOf(queue)[1],
      limit: LARGEST_PAGE,
      docs: false,
    });
    for (const { id, rev } of rows) {
      const message = readMessageId(id);
      const { time, delayed } = message;
      if (isOrphan(message, born)) continue;
      if (delayed) shelf.nextDue = Math.min(shelf.nextDue, time);
      else if (isReady(rev)) {
        reach(shelf, id);
        shelf.ahead = true;
        return;
      }
    }
  }

  #floorOf(queue: string): string {
    const [start] = rangeOf(queue);
    // With priorities what is put last may stand first.
    if (this.#topology.traits(queue).maxPriority > 0) return start;
    return this.#floors.get(queue) ?? start;
  }

  #shelfOf(queue: string, told: boolean): Shelf {
    let shelf = told ? this.#shelves.get(queue) : undefined;
    if (shelf === undefined) {
      const from = this.#floorOf(queue);
      shelf = newShelf(from);
      if (told) this.#shelves.set(queue, shelf);
    }
    return shelf;
  }

  get #now(): number {
    return this.#database.client.time.now();
  }
}
