import type { Database, FullRow } from "./database.ts";
import { readMessageId } from "./ids.ts";
import type { Leases } from "./leases.ts";
import type { Row } from "./records.ts";
import { RecordReservation } from "./reservation.ts";

/** Takes messages: writes the lease's name into their records. */
export class Claims {
  readonly #database: Database;
  readonly #leases: Leases;

  /** Makes one over a database. */
  constructor(database: Database, leases: Leases) {
    this.#database = database;
    this.#leases = leases;
  }

  /** Takes what is free of some rows; of what another connection was faster to take there is `undefined`. */
  async all(
    action: string,
    rows: readonly Row[],
    now: number,
  ): Promise<readonly (RecordReservation | undefined)[]> {
    const unread = rows.filter(({ fields }) => fields === undefined);
    const read = await this.#database.read(action, unread.map(({ id }) => id));
    const full = new Map(read.map((row) => [row.id, row]));
    return await Promise.all(
      rows.map(({ id, revision, fields }) => {
        const row = fields === undefined
          ? full.get(id)
          : { id, revision, fields };
        return row === undefined || row.fields.holder !== undefined
          ? undefined
          : this.claim(row, readMessageId(id).expires - now);
      }),
    );
  }

  /** Takes one that has so many ms left to live; `undefined` if another connection was faster, as a conflict tells. */
  async claim(
    { id, revision, fields }: FullRow,
    timeLeft: number,
  ): Promise<RecordReservation | undefined> {
    const taken = { ...fields, holder: this.#leases.name };
    const action = "take a message";
    const draft = { id, revision, fields: taken, action };
    const written = await this.#database.write(draft);
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
