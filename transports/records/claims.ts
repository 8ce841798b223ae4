import type { Database, FullRow } from "./database.ts";
import { Doubts, type PutBack } from "./doubts.ts";
import { readMessageId } from "./ids.ts";
import type { Leases } from "./leases.ts";
import type { Row } from "./records.ts";
import { RecordReservation } from "./reservation.ts";

/** Takes messages: writes the lease's name into their records. */
export class Claims {
  readonly #database: Database;
  readonly #leases: Leases;
  readonly #doubts: Doubts;

  /** Makes one over a database; `putBack` is called for what was taken for nobody. */
  constructor(database: Database, leases: Leases, putBack: PutBack) {
    this.#database = database;
    this.#leases = leases;
    this.#doubts = new Doubts(database, putBack);
  }

  /** Sees to it that the lease names these queues, and that nothing is held for nobody. */
  async prepare(queues: readonly string[]): Promise<void> {
    await this.#leases.ensure(queues);
    await this.#doubts.settle(this.#leases.name);
  }

  /** Puts back what is held for nobody; `false` while that is not known of each. */
  async finish(): Promise<boolean> {
    await this.#doubts.settle(this.#leases.name);
    return this.#doubts.isEmpty;
  }

  /**
   * Begins to take what is free of some rows: one promise for each. It is `undefined` where
   * another connection was faster, and a claim that is refused ends none of those beside it.
   */
  async begin(
    action: string,
    rows: readonly Row[],
    now: number,
  ): Promise<readonly Promise<RecordReservation | undefined>[]> {
    const unread = rows.filter(({ fields }) => fields === undefined);
    const read = await this.#database.read(action, unread.map(({ id }) => id));
    const full = new Map(read.map((row) => [row.id, row]));
    return rows.map(({ id, revision, fields }) => {
      const row = fields === undefined
        ? full.get(id)
        : { id, revision, fields };
      return row === undefined || row.fields.holder !== undefined
        ? Promise.resolve(undefined)
        : this.claim(row, readMessageId(id).expires - now);
    });
  }

  /** Takes one that has so many ms left to live; `undefined` if another connection was faster, as a conflict tells. */
  async claim(
    { id, revision, fields }: FullRow,
    timeLeft: number,
  ): Promise<RecordReservation | undefined> {
    const taken = { ...fields, holder: this.#leases.name };
    const action = "take a message";
    const draft = { id, revision, fields: taken, action };
    const written = await this.#doubts.claim(draft);
    switch (written.type) {
      case "conflict":
        return undefined;
      case "refused":
        throw written.error;
    }
    const row = { id, revision: written.revision, fields: taken };
    return new RecordReservation(readMessageId(id).queue, row, timeLeft);
  }
}
