import { allTaken } from "../store/taking.ts";
import type { Claims } from "./claims.ts";
import type { Database, FullRow } from "./database.ts";
import {
  endOf,
  EXPIRIES,
  isOrphan,
  isReady,
  readExpiryId,
  readMessageId,
} from "./ids.ts";
import type { Row } from "./records.ts";
import type { RecordReservation } from "./reservation.ts";
import type { Tables } from "./tables.ts";

/** How soon to look again for a message that expired while it was taken, ms. */
const TAKEN_EXPIRED = 1000;

/** The maximum number of expired messages that are taken at once. */
const MAX_EXPIRED = 100;

/** Takes messages that have expired and are dead-lettered: each has a note of when it does. */
export class Expired {
  readonly #database: Database;
  readonly #topology: Tables;
  readonly #claims: Claims;
  #nextAt = 0;

  /** Makes one that does not know what will expire. */
  constructor(database: Database, topology: Tables, claims: Claims) {
    this.#database = database;
    this.#topology = topology;
    this.#claims = claims;
  }

  /** When the next may expire, ms since 1970. */
  get nextAt(): number {
    return this.#nextAt;
  }

  /** Forgets what it knows: changes were missed. */
  reset(): void {
    this.#nextAt = 0;
  }

  /** Is told of a note; says whether it is of the next. */
  onNote(id: string): boolean {
    const { expires } = readExpiryId(id);
    if (expires >= this.#nextAt) return false;
    this.#nextAt = expires;
    return true;
  }

  /** Takes expired messages, of whatever queue dead-letters them. */
  async take(isTold: boolean): Promise<RecordReservation[]> {
    if (isTold && this.#database.now() < this.#nextAt) return [];
    this.#nextAt = Infinity;
    try {
      return await this.#takeDue(this.#database.now());
    } catch (error) {
      this.#nextAt = 0;
      throw error;
    }
  }

  async #takeDue(now: number): Promise<RecordReservation[]> {
    const action = "look what has expired";
    const rows = await this.#database.list(action, {
      start: EXPIRIES,
      end: endOf(EXPIRIES),
      limit: MAX_EXPIRED + 1,
      withFields: false,
    });
    const due: [Row, string][] = [];
    for (const row of rows) {
      const { expires, message } = readExpiryId(row.id);
      if (expires > now) {
        this.#nextAt = Math.min(this.#nextAt, expires);
        break;
      }
      due.push([row, message]);
    }
    if (due.length === 0) return [];
    const ids = due.map(([, id]) => id);
    const read = await this.#database.read(action, ids);
    const found = new Map(read.map((row) => [row.id, row]));
    await this.#claims.prepare(
      [...new Set([...found.keys()].map((id) => readMessageId(id).queue))],
    );
    const claims: Promise<RecordReservation[]>[] = [];
    for (const [row, id] of due) {
      const message = this.#unlessOrphan(found.get(id));
      // The note goes when its message has gone, so that a crash loses neither.
      if (message === undefined) {
        void this.#database.remove(action, row).catch(() => {});
        continue;
      }
      this.#nextAt = Math.min(this.#nextAt, now + TAKEN_EXPIRED);
      if (message.fields.holder !== undefined) continue;
      claims.push(
        this.#claims.claim(message, 0).then((each) => each ? [each] : []),
      );
    }
    return await allTaken(claims);
  }

  /** The row, unless it is of a deleted queue: that goes. */
  #unlessOrphan(row: FullRow | undefined): FullRow | undefined {
    if (row === undefined) return undefined;
    const message = readMessageId(row.id);
    const { born } = this.#topology.traits(message.queue);
    if (!isOrphan(message, born)) return row;
    // The connection that took it sees that its queue is another.
    if (isReady(row.revision)) {
      const action = `remove the rest of queue "${message.queue}"`;
      void this.#database.remove(action, row).catch(() => {});
    }
    return undefined;
  }
}
