import type { Database, Doc, Row } from "./database.ts";
import { requestError } from "./errors.ts";
import type { Holders } from "./holders.ts";
import { readMessageId } from "./ids.ts";
import { CouchdbReservation } from "./reservation.ts";

/** Takes messages: writes our name into their documents. */
export class Claims {
  readonly #database: Database;
  readonly #holders: Holders;

  /** Makes one over a database. */
  constructor(database: Database, holders: Holders) {
    this.#database = database;
    this.#holders = holders;
  }

  /** Takes what is free of some rows; of what somebody else was faster to take there is `undefined`. */
  async all(
    action: string,
    rows: readonly Row[],
    now: number,
  ): Promise<readonly (CouchdbReservation | undefined)[]> {
    const unread = rows.filter(({ doc }) => doc === undefined);
    const read = await this.#database.read(action, unread.map(({ id }) => id));
    const docs = new Map(read.map(({ id, doc }) => [id, doc]));
    return await Promise.all(
      rows.map(({ id, doc = docs.get(id) }) =>
        doc === undefined || doc.holder !== undefined
          ? undefined
          : this.claim(doc, readMessageId(id).expires <= now)
      ),
    );
  }

  /** Whoever writes first has it: a conflict means that it was somebody else. */
  async claim(
    doc: Doc,
    expired: boolean,
  ): Promise<CouchdbReservation | undefined> {
    const ours = { ...doc, holder: this.#holders.name };
    const written = await this.#database.write(ours);
    switch (written.type) {
      case "conflict":
        return undefined;
      case "refused":
        throw requestError("take a message", written.refusal);
    }
    const { queue } = readMessageId(doc._id);
    return new CouchdbReservation(
      queue,
      { ...ours, _rev: written.rev },
      expired,
    );
  }
}
