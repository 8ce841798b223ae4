import type { Reservation, TopologyView } from "../store/store.ts";
import type { Database, Doc } from "./database.ts";
import { isOrphan, readMessageId } from "./ids.ts";
import { requestError } from "./errors.ts";
import { CouchdbReservation, givenBack } from "./reservation.ts";
import type { SharedTopology } from "./topology.ts";
import type { Written } from "./writes.ts";

/** What we took and have not settled: a settlement holds if the revision is still ours. */
export class Held {
  readonly #database: Database;
  readonly #topology: SharedTopology;
  readonly #onBack: (id: string, rev: string) => void;
  readonly #held = new Set<Reservation>();

  /** Makes an empty set; `onBack` is called for each document that lies in its queue again. */
  constructor(
    database: Database,
    topology: SharedTopology,
    onBack: (id: string, rev: string) => void,
  ) {
    this.#database = database;
    this.#topology = topology;
    this.#onBack = onBack;
  }

  /** Notes that we took one. */
  add(reservation: Reservation): void {
    this.#held.add(reservation);
  }

  /** Notes that one is no longer ours. */
  forget(reservation: Reservation): void {
    this.#held.delete(reservation);
  }

  /** Lists all. */
  all(): readonly Reservation[] {
    return [...this.#held];
  }

  /** Removes messages; returns those that were not ours. */
  remove(reservations: readonly Reservation[]): Promise<Reservation[]> {
    return this.#settle(reservations, async ({ _id, _rev }) => {
      return isOurs(await this.#database.remove(_id, _rev));
    });
  }

  /** Puts messages back; returns those that were not ours. */
  release(reservations: readonly Reservation[]): Promise<Reservation[]> {
    return this.#settle(reservations, (doc) => this.giveBack(doc));
  }

  /** Puts a document back into its queue, where there still is one; `false` if it was not ours. */
  async giveBack(doc: Doc): Promise<boolean> {
    const id = readMessageId(doc._id);
    const isThere = ({ topology }: TopologyView) =>
      topology.queue(id.queue) !== undefined;
    // Before anything is removed: others may have declared it since we looked.
    const there = isThere(this.#topology.view) ||
      isThere(await this.#topology.look());
    if (!there || isOrphan(id, this.#topology.traits(id.queue).born)) {
      return isOurs(await this.#database.remove(doc._id, doc._rev));
    }
    const written = await this.#database.write(givenBack(doc));
    if (!isOurs(written)) return false;
    this.#onBack(doc._id, written.rev);
    return true;
  }

  async #settle(
    reservations: readonly Reservation[],
    settle: (doc: Doc) => Promise<boolean>,
  ): Promise<Reservation[]> {
    const settled = await Promise.all(reservations.map(async (each) => {
      if (!(each instanceof CouchdbReservation)) return each;
      const { _id, _rev } = each.doc;
      // What is refused stays ours, to be settled again or given back. What was removed
      // while we had it went with its queue, or by an attempt before this one.
      const settled = await settle(each.doc) ||
        await this.#database.wasRemoved(_id, _rev);
      this.#held.delete(each);
      return settled ? undefined : each;
    }));
    return settled.filter((each) => each !== undefined);
  }
}

/** A conflict says that somebody else was faster; a refusal says nothing of the kind. */
function isOurs(
  written: Written,
): written is Extract<Written, { readonly type: "written" }> {
  if (written.type === "refused") {
    throw requestError("settle a message", written.refusal);
  }
  return written.type === "written";
}
