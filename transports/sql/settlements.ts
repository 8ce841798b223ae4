import type { FieldTable } from "../../model/field_table.ts";
import type { ReleaseOptions, Reservation } from "../store/store.ts";
import { isMalformed } from "../store/quarantine.ts";
import { keepWaiting, setFree } from "./lanes.ts";
import { HeadWriter, SqlReservation } from "./message.ts";
import type { Tx } from "./port.ts";
import { ASIDE, DELAYED, HELD, READY } from "./schema.ts";
import { noteSize } from "./sizes.ts";

/** Messages that go back, and how. */
export interface Releasing {
  readonly reservations: readonly Reservation[];
  readonly options: ReleaseOptions | undefined;
  /** Whether nobody has seen them: then they are not redelivered. */
  readonly isUnseen: boolean;
}

/** What becomes of messages that a connection holds. */
export class Settlements {
  readonly #now: () => number;
  readonly #heads = new HeadWriter();

  /** Makes them for a connection. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Removes messages; says for each call which were no longer ours. */
  readonly remove = async (
    tx: Tx,
    calls: readonly (readonly Reservation[])[],
  ): Promise<readonly Promise<readonly Reservation[]>[]> => {
    const all = calls.flat();
    const removing = this.removeAll(tx, all)
      .then((lost) => lost.length === 0 ? undefined : new Set(lost));
    // What comes next waits for lanes that are left, and for nothing else.
    if (all.some(({ takesHeaders }) => takesHeaders)) await removing;
    return calls.map(async (call) => {
      const lost = await removing;
      return lost === undefined ? [] : call.filter((each) => lost.has(each));
    });
  };

  /** Removes messages; returns those that were no longer ours. */
  async removeAll(
    tx: Tx,
    reservations: readonly Reservation[],
  ): Promise<readonly Reservation[]> {
    const held = reservations.filter((each) => isOurs(tx, each));
    const known = new Set<Reservation>(held);
    const lost = reservations.filter((each) => !known.has(each));
    const byHolder = Map.groupBy(held, ({ holder }) => holder);
    for (const [holder, ours] of byHolder) {
      const were = await tx.remove(ours.map(({ place }) => place), holder);
      for (const [i, each] of ours.entries()) {
        if (were[i] !== true) lost.push(each);
        else if (each.keepsPlace) await leaveLane(tx, each);
      }
    }
    return lost;
  }

  /** Puts messages back; says for each call which were no longer ours. */
  readonly release = async (
    tx: Tx,
    calls: readonly Releasing[],
  ): Promise<readonly (readonly Reservation[])[]> => {
    const results: Reservation[][] = [];
    for (const { reservations, options, isUnseen } of calls) {
      const lost: Reservation[] = [];
      for (const each of reservations) {
        if (
          !isOurs(tx, each) || !await this.#release(tx, each, isUnseen, options)
        ) lost.push(each);
      }
      results.push(lost);
    }
    return results;
  };

  /** Puts messages into quarantine; says for each call which were no longer ours. */
  readonly setAside = async (
    tx: Tx,
    calls: readonly (readonly Reservation[])[],
  ): Promise<readonly (readonly Reservation[])[]> => {
    const results: Reservation[][] = [];
    for (const reservations of calls) {
      const lost: Reservation[] = [];
      for (const each of reservations) {
        const isDone = isOurs(tx, each) && await move(
          tx,
          each,
          `state = ${ASIDE}, expires_at = NULL`,
        );
        if (isDone && each instanceof SqlReservation) await leaveLane(tx, each);
        else lost.push(each);
      }
      results.push(lost);
    }
    return results;
  };

  async #release(
    tx: Tx,
    held: SqlReservation,
    isUnseen: boolean,
    { delay = 0, headers }: ReleaseOptions = {},
  ): Promise<boolean> {
    const { place, keepsPlace, expired } = held;
    const waits = keepsPlace && delay > 0 && !expired;
    const counts = isUnseen || expired ? "" : ", deliveries = deliveries + 1";
    const dueAt = this.#now() + delay;
    const isDone = await move(
      tx,
      held,
      `state = ${waits ? DELAYED : READY}, rank = ${waits ? dueAt : "home"}${
        keepsPlace && headers !== undefined ? ", deliveries = 0" : counts
      }`,
    );
    if (!isDone) return false;
    tx.soonest = Math.min(tx.soonest, held.expiresAt);
    if (keepsPlace && headers !== undefined) {
      await this.#rewrite(tx, held, headers);
    }
    if (waits) {
      await keepWaiting(tx, place.rank);
      tx.soonest = Math.min(tx.soonest, dueAt);
    } else {
      await leaveLane(tx, held);
      if (held.isCounted) noteSize(tx, place.queue, 1, held.size);
      tx.news.add(place.queue);
    }
    return true;
  }

  async #rewrite(
    tx: Tx,
    { message, place }: SqlReservation,
    headers: FieldTable,
  ): Promise<void> {
    if (isMalformed(message)) return;
    await tx.run(
      "UPDATE dashi.messages SET head = ? WHERE id = ?",
      this.#heads.rewrite(message, headers),
      place.id,
    );
  }
}

/** Whether it was not settled before. From now on it is, unless the transaction fails. */
function isOurs(
  tx: Tx,
  reservation: Reservation,
): reservation is SqlReservation {
  if (!(reservation instanceof SqlReservation) || reservation.isOver) {
    return false;
  }
  reservation.isOver = true;
  tx.onFailed.push(() => reservation.isOver = false);
  return true;
}

/** Moves a message that is held to where nobody holds it; says whether it was. */
async function move(
  tx: Tx,
  { place: { queue, rank, id }, holder }: SqlReservation,
  changes: string,
): Promise<boolean> {
  const changed = await tx.run(
    `UPDATE dashi.places SET holder = NULL, ${changes}
      WHERE state = ${HELD} AND queue = ? AND rank = ? AND id = ?
        AND holder = ?`,
    queue,
    rank,
    id,
    holder,
  );
  return changed > 0;
}

async function leaveLane(
  tx: Tx,
  { keepsPlace, place: { queue, rank } }: SqlReservation,
): Promise<void> {
  if (keepsPlace) await setFree(tx, queue, rank);
}
