import { type Clock, SYSTEM_CLOCK } from "../../async/clock.ts";
import { ExpiringMap } from "../../async/expiring_map.ts";
import type { Inbox } from "./inbox.ts";
import {
  type Claim,
  type InboxClaims,
  type InboxOptions,
  LeasedInbox,
} from "./leased_inbox.ts";

/**
 * Makes an inbox in this process, for a service of one process: its marks are gone with it.
 *
 * @param options How long to remember, ms.
 * @param clock The time.
 * @returns The inbox, for `run(handler, { inbox })`.
 * @throws {OptionError} If an option is unknown.
 * @throws {RangeError} If the window is no number above 0, or more than ten years.
 *
 * @example Two copies of a message
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createConnection, Queue } from "@dashi/mq";
 * import { createMemoryInbox } from "@dashi/mq/inbox";
 *
 * await using connection = createConnection("memory://inbox");
 * const orders = new Queue<string>("orders");
 * await connection.send(orders, "first", { messageId: "7" });
 * await connection.send(orders, "copy", { messageId: "7" });
 * await connection.send(orders, "last", { messageId: "8" });
 *
 * const inbox = createMemoryInbox({ window: 3_600_000 });
 * const consumer = connection.consumer(orders);
 * const seen: string[] = [];
 * await consumer.run(({ payload }) => {
 *   seen.push(payload);
 *   if (payload === "last") void consumer.cancel();
 * }, { inbox });
 * assertEquals(seen, ["first", "last"]);
 * ```
 */
export function createMemoryInbox(
  options: InboxOptions,
  clock: Clock = SYSTEM_CLOCK,
): Inbox {
  return new LeasedInbox(new MemoryClaims(clock), options, clock);
}

/** Claims and marks in this process. Marks that are over go with the next claim. */
export class MemoryClaims implements InboxClaims {
  readonly #held = new Map<string, string>();
  readonly #done: ExpiringMap<true>;

  /** Makes an empty set. */
  constructor(clock: Clock) {
    this.#done = new ExpiringMap(clock);
  }

  /** How many keys are held, or remembered. */
  get size(): number {
    return this.#held.size + this.#done.size;
  }

  claim(key: string, token: string): Promise<Claim> {
    if (this.#done.get(key)) return Promise.resolve("done");
    const holder = this.#held.get(key);
    if (holder !== undefined) return Promise.resolve("busy");
    this.#held.set(key, token);
    return Promise.resolve("claimed");
  }

  finish(key: string, _token: string, window: number): Promise<void> {
    this.#held.delete(key);
    this.#done.set(key, true, window);
    return Promise.resolve();
  }

  release(key: string): Promise<void> {
    this.#held.delete(key);
    return Promise.resolve();
  }
}
