import { EncodeError, MessagingError } from "../../model/errors.ts";
import type { CallOptions } from "../../model/call_options.ts";
import type { Publishing } from "../../model/message.ts";
import {
  deadLetter,
  type DeadLetterReason,
  deadLetterTargets,
} from "../../virtual/dead_letter.ts";
import { isLeaseLost, leaseLost } from "./settler.ts";
import { itemsFor, type Routed, type Router } from "./router.ts";
import type { Leftovers } from "./leftovers.ts";
import { isMalformed, type Quarantine } from "./quarantine.ts";
import type { Reservation, Store } from "./store.ts";

/** Moves messages that were rejected, or expired, or pushed out, to where their queue dead-letters them, or away. */
export class DeadLetters {
  readonly #store: Store;
  readonly #router: Router;
  readonly #quarantine: Quarantine;
  readonly #leftovers: Leftovers;
  readonly #wall: () => number;

  /** Makes one over a store; `wall` is the time by the calendar, ms since 1970. */
  constructor(
    store: Store,
    router: Router,
    quarantine: Quarantine,
    leftovers: Leftovers,
    wall: () => number,
  ) {
    this.#store = store;
    this.#router = router;
    this.#quarantine = quarantine;
    this.#leftovers = leftovers;
    this.#wall = wall;
  }

  /**
   * Moves one message. What cannot be written where it should go is quarantined.
   *
   * @throws {SettlementError} If it was no longer ours.
   */
  async move(
    reservation: Reservation,
    why: DeadLetterReason,
    options?: CallOptions,
  ): Promise<void> {
    const { message } = reservation;
    if (isMalformed(message)) {
      return await this.#quarantine.add(reservation, message.error, options);
    }
    const next = await this.#next(reservation.queue, message, why, options);
    const put = next === undefined
      ? "nowhere"
      : await this.#putSomehow(next, message, reservation, options);
    switch (put) {
      case "put":
        return;
      case "lost":
        throw leaseLost(reservation);
      case "nowhere":
        return await this.#drop(reservation, next, why, options);
    }
  }

  /**
   * Moves messages that nobody waits for. What is no longer ours is someone else's to
   * move; what cannot be moved now is tried again later: the others, and those who
   * consume, are not to wait for it. Never rejects.
   */
  async moveAll(
    reservations: readonly Reservation[],
    why: DeadLetterReason,
    options?: CallOptions,
  ): Promise<void> {
    for (const reservation of reservations) {
      try {
        await this.move(reservation, why, options);
      } catch (error) {
        if (isLeaseLost(error)) continue;
        this.#leftovers.add(
          reservation,
          (limits) => this.move(reservation, why, limits),
        );
      }
    }
  }

  async #drop(
    reservation: Reservation,
    next: Publishing | undefined,
    why: DeadLetterReason,
    options?: CallOptions,
  ): Promise<void> {
    const { drop } = this.#store;
    const lost = next === undefined && why === "rejected" && drop !== undefined
      ? await drop.call(this.#store, [reservation], options)
      : await this.#store.remove([reservation], options);
    if (lost.length > 0) throw leaseLost(reservation);
  }

  async #next(
    queue: string,
    message: Publishing,
    why: DeadLetterReason,
    options?: CallOptions,
  ): Promise<Publishing | undefined> {
    const { topology } = await this.#store.readTopology(
      { type: "queue", name: queue },
      options,
    );
    const record = topology.queue(queue);
    return record === undefined
      ? undefined
      : deadLetter(record.declaration, message, why, this.#wall());
  }

  /** Without the additions if they have no room, and if that cannot be written either, into quarantine. */
  async #putSomehow(
    next: Publishing,
    message: Publishing,
    reservation: Reservation,
    options?: CallOptions,
  ): Promise<"put" | "lost" | "nowhere"> {
    let unwritable: Error;
    try {
      return await this.#put(next, reservation, options);
    } catch (error) {
      if (!isUnwritable(error)) throw error;
      unwritable = error;
    }
    if (isTooLarge(unwritable)) {
      const { expiration: _, ...properties } = next.properties;
      const { headers } = message.properties;
      try {
        return await this.#put(
          { ...next, properties: { ...properties, headers } },
          reservation,
          options,
        );
      } catch (error) {
        if (!isUnwritable(error)) throw error;
      }
    }
    await this.#quarantine.add(reservation, unwritable, options);
    return "put";
  }

  async #put(
    next: Publishing,
    instead: Reservation,
    options?: CallOptions,
  ): Promise<"put" | "lost" | "nowhere"> {
    for (;;) {
      const routed = await this.#route(next, options);
      if (routed.queues.length === 0) {
        return await this.#broadcastAlone(next, routed, instead, options);
      }
      const result = await this.#store.put(itemsFor(next, routed), {
        ...options,
        version: routed.version,
        instead,
        announced: routed.announced,
      });
      switch (result.type) {
        case "put":
          await this.moveAll(result.displaced, "maxlen", options);
          await this.#broadcast(next, routed, options);
          return "put";
        case "lost":
          return "lost";
        case "full": // as on RabbitMQ, a dead letter that finds no room is gone
          return "nowhere";
        case "stale": // the tables changed meanwhile
          options?.signal?.throwIfAborted();
      }
    }
  }

  /** Sends it to all who listen, and removes it then. */
  async #broadcastAlone(
    next: Publishing,
    routed: Routed,
    instead: Reservation,
    options?: CallOptions,
  ): Promise<"put" | "lost" | "nowhere"> {
    if (routed.broadcasts.length === 0) return "nowhere";
    await this.#broadcast(next, routed, options);
    const lost = await this.#store.remove([instead], options);
    return lost.length > 0 ? "lost" : "put";
  }

  async #broadcast(
    next: Publishing,
    { broadcasts }: Routed,
    options?: CallOptions,
  ): Promise<void> {
    for (const exchange of broadcasts) {
      await this.#store.broadcast?.(exchange, next, options);
    }
  }

  /** By the tables as they are now: a message must not be lost by what was true a while ago. */
  async #route(next: Publishing, options?: CallOptions): Promise<Routed> {
    const routed = await this.#router.routeDeadLetter(next, options);
    const names = new Set(routed.queues.map(({ queue }) => queue));
    const targets = deadLetterTargets(names, next);
    return {
      ...routed,
      queues: routed.queues.filter(({ queue }) => targets.has(queue)),
    };
  }
}

/** Whether it is the message's own fault: tried again, it would fail again. */
function isUnwritable(error: unknown): error is Error {
  return error instanceof EncodeError || error instanceof RangeError ||
    error instanceof TypeError || isTooLarge(error);
}

function isTooLarge(error: unknown): boolean {
  return error instanceof MessagingError && error.code === "message-too-large";
}
