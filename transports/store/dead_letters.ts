import type { CallOptions } from "../../model/call_options.ts";
import type { Publishing } from "../../model/message.ts";
import { isTooLarge, isUnwritable } from "../../model/unwritable.ts";
import {
  deadLetter,
  type DeadLetterReason,
  deadLetterTargets,
  destinationOf,
} from "../../virtual/dead_letter.ts";
import type { TransportEvent } from "../transport.ts";
import { isLeaseLost, leaseLost, putInstead, settleOne } from "./doubted.ts";
import { itemsFor, type Routed, type Router } from "./router.ts";
import type { Leftovers } from "./leftovers.ts";
import { isMalformed, type Quarantine } from "./quarantine.ts";
import type { StoreWithTopology } from "./local_topology.ts";
import type { Reservation } from "./store.ts";

/** The result of publishing a dead letter. */
export type Put =
  | { readonly type: "put" }
  /** It could not be written there. */
  | { readonly type: "quarantined" }
  /** It was no longer ours. */
  | { readonly type: "lost" }
  | { readonly type: "nowhere"; readonly because: string };

const PUT: Put = { type: "put" };
const QUARANTINED: Put = { type: "quarantined" };
const LOST: Put = { type: "lost" };
const UNROUTABLE: Put = {
  type: "nowhere",
  because: "no queue is bound for it where its queue dead-letters",
};
const IN_A_CIRCLE: Put = {
  type: "nowhere",
  because: "it went round in a circle of dead letters that nobody rejected",
};
const FULL: Put = {
  type: "nowhere",
  because: "a queue for its dead letters is full, and refuses more",
};

/** Moves messages that were rejected, or expired, or pushed out, to where their queue dead-letters them, or away. */
export class DeadLetters {
  readonly #store: StoreWithTopology;
  readonly #router: Router;
  readonly #quarantine: Quarantine;
  readonly #leftovers: Leftovers;
  readonly #wall: () => number;
  readonly #onEvent: ((event: TransportEvent) => void) | undefined;
  /** What is on its way. */
  readonly #moving = new Set<Promise<void>>();

  /** Makes one over a store; `wall` is the time by the calendar, ms since 1970; `onEvent` hears of each message. */
  constructor(
    store: StoreWithTopology,
    router: Router,
    quarantine: Quarantine,
    leftovers: Leftovers,
    wall: () => number,
    onEvent: ((event: TransportEvent) => void) | undefined,
  ) {
    this.#store = store;
    this.#router = router;
    this.#quarantine = quarantine;
    this.#leftovers = leftovers;
    this.#wall = wall;
    this.#onEvent = onEvent;
  }

  /**
   * Moves one message. A message that cannot be written where it should go is quarantined.
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
    const next = await this.next(reservation, message, why, options);
    const put = next && await this.put(next, message, reservation, options);
    switch (put?.type) {
      case "put":
        return this.#tell(reservation, message, next, why);
      case "quarantined":
        return;
      case "lost":
        throw leaseLost(reservation);
      case "nowhere":
      case undefined:
        await this.#drop(reservation, next, why, options);
        if (put !== undefined) this.#tellDropped(reservation, message, put);
    }
  }

  /**
   * Moves messages that nobody waits for. A message whose reservation was lost is left to
   * its new consumer; one that cannot be moved now is tried again later, so that the
   * others, and the consumers, need not wait for it. Never rejects.
   */
  moveAll(
    reservations: readonly Reservation[],
    why: DeadLetterReason,
    options?: CallOptions,
  ): Promise<void> {
    if (reservations.length === 0) return Promise.resolve();
    const moving = this.#moveAll(reservations, why, options).finally(() => {
      this.#moving.delete(moving);
    });
    this.#moving.add(moving);
    return moving;
  }

  /** Waits for all that is being moved: then what could not be is among the leftovers. */
  async settled(): Promise<void> {
    while (this.#moving.size > 0) await Promise.all(this.#moving);
  }

  async #moveAll(
    reservations: readonly Reservation[],
    why: DeadLetterReason,
    options?: CallOptions,
  ): Promise<void> {
    for (const reservation of reservations) {
      const reason = reservation.expired ? "expired" : why;
      try {
        await this.move(reservation, reason, options);
      } catch (error) {
        if (isLeaseLost(error)) continue;
        this.#leftovers.add(
          reservation,
          (limits) => this.move(reservation, reason, limits),
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
    const { messages } = this.#store;
    const verb =
      next === undefined && why === "rejected" && messages.drop !== undefined
        ? "drop"
        : "remove";
    await settleOne(
      reservation,
      verb,
      async (these) => await messages[verb]?.(these, options) ?? [],
    );
  }

  /** Makes of a message what its queue dead-letters; `undefined` if that is nothing. */
  async next(
    { queue }: Reservation,
    message: Publishing,
    why: DeadLetterReason,
    options?: CallOptions,
  ): Promise<Publishing | undefined> {
    const { topology } = await this.#store.topology.read(
      { type: "queue", name: queue, uses: false },
      options,
    );
    const record = topology.queue(queue);
    return record === undefined
      ? undefined
      : deadLetter(record.declaration, message, why, this.#wall());
  }

  #tell(
    { queue }: Reservation,
    { properties: { messageId } }: Publishing,
    next: Publishing | undefined,
    reason: DeadLetterReason,
  ): void {
    const to = next && destinationOf(next);
    this.#onEvent?.({ type: "dead-lettered", queue, messageId, reason, to });
  }

  #tellDropped(
    { queue }: Reservation,
    { properties: { messageId } }: Publishing,
    put: Put & { readonly type: "nowhere" },
  ): void {
    const error = new Error(
      `A dead letter of queue "${queue}" is dropped: ${put.because}`,
    );
    this.#onEvent?.({ type: "dropped", queue, messageId, error });
  }

  /** Puts a dead letter in place of its message: without the additions if they have no room, and if that cannot be written either, into quarantine. */
  async put(
    next: Publishing,
    message: Publishing,
    reservation: Reservation,
    options?: CallOptions,
  ): Promise<Put> {
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
    return QUARANTINED;
  }

  async #put(
    next: Publishing,
    instead: Reservation,
    options?: CallOptions,
  ): Promise<Put> {
    for (;;) {
      const routed = await this.#route(next, options);
      if (routed.queues.length === 0) {
        return routed.isCircle
          ? IN_A_CIRCLE
          : await this.#broadcastAlone(next, routed, instead, options);
      }
      const result = await putInstead(
        instead,
        "dead-letter",
        () =>
          this.#store.messages.put(itemsFor(next, routed), {
            ...options,
            version: this.#router.checkOf(routed),
            instead,
            announced: routed.announced,
          }),
      );
      switch (result.type) {
        case "put":
          await this.moveAll(result.displaced, "maxlen", options);
          await this.#broadcast(next, routed, options);
          return PUT;
        case "lost":
          return LOST;
        case "full":
          return await this.#putApart(next, instead, options);
        case "duplicate": // cannot be: no mark was given
        case "stale": // the tables changed meanwhile
          options?.signal?.throwIfAborted();
      }
    }
  }

  /**
   * Puts it into each queue by itself, and removes its message then: as on RabbitMQ one that
   * is full does not keep it from the others, and where all are it is gone. Who is killed
   * meanwhile puts it once more.
   */
  async #putApart(
    next: Publishing,
    instead: Reservation,
    options?: CallOptions,
  ): Promise<Put> {
    const asked = new Set<string>();
    let isThere = false;
    for (;;) {
      const routed = await this.#route(next, options);
      const queue = routed.queues.find(({ queue }) => !asked.has(queue));
      if (queue === undefined) {
        if (!isThere && routed.broadcasts.length === 0) return FULL;
        await this.#broadcast(next, routed, options);
        await this.#remove(instead, options);
        return PUT;
      }
      const alone = { ...routed, queues: [queue] };
      const result = await this.#store.messages.put(itemsFor(next, alone), {
        ...options,
        version: this.#router.checkOf(routed),
        announced: isThere ? [] : routed.announced,
      });
      if (result.type === "stale") {
        options?.signal?.throwIfAborted();
        continue;
      }
      asked.add(queue.queue);
      if (result.type !== "put") continue;
      isThere = true;
      await this.moveAll(result.displaced, "maxlen", options);
    }
  }

  /** Sends it to all listeners, and removes it then. */
  async #broadcastAlone(
    next: Publishing,
    routed: Routed,
    instead: Reservation,
    options?: CallOptions,
  ): Promise<Put> {
    if (routed.broadcasts.length === 0) return UNROUTABLE;
    await this.#broadcast(next, routed, options);
    await this.#remove(instead, options);
    return PUT;
  }

  #remove(message: Reservation, options?: CallOptions): Promise<void> {
    return settleOne(
      message,
      "remove",
      (these) => this.#store.messages.remove(these, options),
    );
  }

  async #broadcast(
    next: Publishing,
    { broadcasts }: Routed,
    options?: CallOptions,
  ): Promise<void> {
    for (const exchange of broadcasts) {
      await this.#store.broadcasts?.send(exchange, next, options);
    }
  }

  /** By the tables as they are now: a message must not be lost by a stale view. */
  async #route(
    next: Publishing,
    options?: CallOptions,
  ): Promise<Routed & { readonly isCircle: boolean }> {
    const routed = await this.#router.routeDeadLetter(next, options);
    const names = new Set(routed.queues.map(({ queue }) => queue));
    const targets = deadLetterTargets(names, next);
    const queues = routed.queues.filter(({ queue }) => targets.has(queue));
    const isCircle = queues.length < names.size &&
      routed.broadcasts.length === 0;
    return { ...routed, queues, isCircle };
  }
}
