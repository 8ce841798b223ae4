import type { Reservation, TopologyView } from "../store/store.ts";
import type { Database, FullRow } from "./database.ts";
import { isOrphan, readMessageId } from "./ids.ts";
import type { Written } from "./records.ts";
import { RecordReservation, releasedFields } from "./reservation.ts";
import type { Tables } from "./tables.ts";

const SETTLE = "settle a message";

/** The messages that this connection took and has not settled: a settlement holds if the revision is still ours. */
export class Unacked {
  readonly #database: Database;
  readonly #topology: Tables;
  readonly #onReleased: (id: string, revision: string) => void;
  readonly #unacked = new Set<Reservation>();

  /** Makes an empty set; `onReleased` is called for each message that lies in its queue again. */
  constructor(
    database: Database,
    topology: Tables,
    onReleased: (id: string, revision: string) => void,
  ) {
    this.#database = database;
    this.#topology = topology;
    this.#onReleased = onReleased;
  }

  /** Notes that this connection took one. */
  add(reservation: Reservation): void {
    this.#unacked.add(reservation);
  }

  /** Notes that one is no longer ours. */
  forget(reservation: Reservation): void {
    this.#unacked.delete(reservation);
  }

  /** Says whether one is ours, as far as is known here. */
  has(reservation: Reservation): boolean {
    return this.#unacked.has(reservation);
  }

  /** Lists all. */
  all(): readonly Reservation[] {
    return [...this.#unacked];
  }

  /** Removes messages; returns those that were not ours. */
  remove(reservations: readonly Reservation[]): Promise<Reservation[]> {
    return this.#settle(
      reservations,
      async (row) => isOurs(await this.#database.remove(SETTLE, row)),
    );
  }

  /** Puts messages back; returns those that were not ours. */
  release(reservations: readonly Reservation[]): Promise<Reservation[]> {
    return this.#settle(reservations, (row) => this.releaseRow(row));
  }

  /** Puts a record back into its queue, where there still is one; `false` if it was not ours. */
  async releaseRow({ id, revision, fields }: FullRow): Promise<boolean> {
    // Before anything is removed: others may have declared the queue since we looked.
    if (!this.#hasQueue(id)) await this.#topology.look();
    if (!this.#hasQueue(id)) {
      return isOurs(await this.#database.remove(SETTLE, { id, revision }));
    }
    const back = releasedFields(fields);
    const draft = { id, revision, fields: back, action: SETTLE };
    const written = await this.#database.write(draft);
    if (!isOurs(written)) return false;
    this.#onReleased(id, written.revision);
    return true;
  }

  /** Says whether the queue that a message was put into is still declared. */
  #hasQueue(id: string): boolean {
    const message = readMessageId(id);
    const { topology }: TopologyView = this.#topology.view;
    return topology.queue(message.queue) !== undefined &&
      !isOrphan(message, this.#topology.traits(message.queue).born);
  }

  async #settle(
    reservations: readonly Reservation[],
    settle: (row: FullRow) => Promise<boolean>,
  ): Promise<Reservation[]> {
    const settling = reservations.map(async (each) => {
      if (!(each instanceof RecordReservation)) return each;
      const { row } = each;
      let isSettled: boolean;
      try {
        isSettled = await settle(row) || await this.#wentBefore(each);
      } catch (error) {
        // It stays ours, to be settled again or released.
        each.isUncertain = true;
        throw error;
      }
      this.#unacked.delete(each);
      return isSettled ? undefined : each;
    });
    // Whoever tries again begins when nothing is under way any more.
    await Promise.allSettled(settling);
    const settled = await Promise.all(settling);
    return settled.filter((each) => each !== undefined);
  }

  /** Says whether a message went while it was ours: with its queue, or by an attempt before this one. */
  async #wentBefore(reservation: RecordReservation): Promise<boolean> {
    const { row: { id, revision }, isUncertain } = reservation;
    if (this.#database.remembersRemoved) {
      return await this.#database.wasRemoved(id, revision);
    }
    if (!isUncertain && this.#hasQueue(id)) await this.#topology.look();
    if (!isUncertain && this.#hasQueue(id)) return false;
    const rows = await this.#database.read(SETTLE, [id]);
    return rows.length === 0;
  }
}

/** A conflict says that another connection was faster; a refusal says nothing of the kind. */
function isOurs(
  written: Written,
): written is Extract<Written, { readonly type: "written" }> {
  if (written.type === "refused") throw written.error;
  return written.type === "written";
}
