import { NotFoundError } from "../../model/errors.ts";
import { checkQueue } from "../../virtual/declare.ts";
import type { GetOptions } from "../transport.ts";
import type { DeadLetters } from "./dead_letters.ts";
import { withQueue } from "./known_queues.ts";
import type { StoreWithTopology } from "./local_topology.ts";
import type { Reservation } from "./store.ts";

/** The parts of a connection that take messages without a consumer. */
export interface Getting {
  readonly store: StoreWithTopology;
  readonly owner: string;
  readonly deadLetters: DeadLetters;
}

/**
 * Takes messages that are ready, by one request where none of them has expired.
 *
 * @param context The parts of the connection.
 * @param queue The queue's name.
 * @param max The maximum number of messages.
 * @param options The limits of the call.
 * @returns The messages; fewer where the store returns no more at once, and none where none is ready.
 * @throws {NotFoundError} If there is no such queue, and the store knows.
 */
export async function takeReady(
  { store, owner, deadLetters }: Getting,
  queue: string,
  max: number,
  options: GetOptions | undefined,
): Promise<readonly Reservation[]> {
  const of = { type: "queue", name: queue } as const;
  await withQueue(store, queue, options, async () => {
    const { topology } = await store.topology.read(of, options);
    if (
      topology.queue(queue) !== undefined ||
      store.capabilities.has("known-queues")
    ) checkQueue(topology, queue, owner, "get from");
  });
  const limit = Math.min(max, store.limits.reserveCount);
  for (;;) {
    const { reservations, missing, failed } = await store.messages.reserve(
      [{ queue, limit }],
      { ...options, wait: 0 },
    );
    // Of any queue: nobody else has them now.
    const expired = reservations.filter((each) => each.expired);
    const ready = reservations.filter((each) => !each.expired);
    await deadLetters.moveAll(expired, "expired", options);
    const failure = failed?.get(queue);
    if (failure !== undefined) throw failure;
    if (missing.length > 0) {
      throw new NotFoundError(
        `Cannot get from queue "${queue}": there is no such queue`,
      );
    }
    if (ready.length > 0 || expired.length === 0) return ready;
  }
}
