import { ChannelError } from "../../model/errors.ts";
import type { CallOptions } from "../../model/call_options.ts";
import type { Publishing } from "../../model/message.ts";
import {
  deadLetter,
  type DeadLetterReason,
  deadLetterTargets,
} from "../../virtual/dead_letter.ts";
import { leaseLost } from "./settler.ts";
import { itemsFor, type Routed, type Router } from "./router.ts";
import type { Malformed, Reservation, Store } from "./store.ts";

/** Says whether what lay in a queue is no message. */
export function isMalformed(
  message: Publishing | Malformed,
): message is Malformed {
  return "error" in message;
}

/** Moves messages that were rejected, or expired, or pushed out, to where their queue dead-letters them, or away. */
export class DeadLetters {
  readonly #store: Store;
  readonly #router: Router;
  readonly #wall: () => number;

  /** Makes one over a store; `wall` is the time by the calendar, ms since 1970. */
  constructor(store: Store, router: Router, wall: () => number) {
    this.#store = store;
    this.#router = router;
    this.#wall = wall;
  }

  /**
   * Moves one message.
   *
   * @throws {SettlementError} If it was no longer ours.
   */
  async move(
    reservation: Reservation,
    why: DeadLetterReason,
    options?: CallOptions,
  ): Promise<void> {
    const { message } = reservation;
    if (isMalformed(message) && this.#store.setAside !== undefined) {
      return await this.#store.setAside([reservation], options);
    }
    const next = isMalformed(message)
      ? undefined
      : await this.#next(reservation.queue, message, why, options);
    const put = next === undefined
      ? undefined
      : await this.#put(next, reservation, options);
    if (put === "lost") throw leaseLost(reservation);
    if (put === "put") return;
    const { drop } = this.#store;
    const lost = next === undefined && why === "rejected" && drop !== undefined
      ? await drop.call(this.#store, [reservation], options)
      : await this.#store.remove([reservation], options);
    if (lost.length > 0) throw leaseLost(reservation);
  }

  /**
   * Moves messages that nobody waits for. What is no longer ours is someone else's to
   * move; what the broker refuses to move stays reserved, and comes again when its lease
   * is over: the others, and those who consume, are not to wait for it.
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
        if (!isLeaseLost(error) && !(error instanceof ChannelError)) {
          throw error;
        }
      }
    }
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

function isLeaseLost(error: unknown): boolean {
  return error instanceof Error && "code" in error &&
    error.code === "lease-lost";
}
