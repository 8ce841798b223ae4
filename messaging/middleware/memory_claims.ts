import { type Clock, SYSTEM_CLOCK } from "../../async/clock.ts";
import type { ClaimStore } from "./claim_store.ts";

interface Kept {
  readonly body: Uint8Array;
  readonly until: number;
}

/**
 * Makes a claim store in this process, for tests, and for services of one process: its
 * bodies are gone with it. Those whose time is over go with the next `put`.
 *
 * @param clock The time.
 * @returns The store.
 *
 * @example A body in the store
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createMemoryClaimStore } from "@dashi/mq/middleware";
 *
 * const store = createMemoryClaimStore();
 * const reference = await store.put(new Uint8Array(7), { expiry: 60_000 });
 * assertEquals((await store.get(reference))?.length, 7);
 * await store.remove(reference);
 * assertEquals(await store.get(reference), undefined);
 * ```
 */
export function createMemoryClaimStore(
  clock: Clock = SYSTEM_CLOCK,
): ClaimStore & { readonly size: number } {
  return new MemoryClaims(clock);
}

class MemoryClaims implements ClaimStore {
  readonly #clock: Clock;
  readonly #kept = new Map<string, Kept>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** How many bodies it has whose time is not over. */
  get size(): number {
    this.#sweep();
    return this.#kept.size;
  }

  put(
    body: Uint8Array,
    { expiry }: { readonly expiry: number },
  ): Promise<string> {
    this.#sweep();
    const reference = crypto.randomUUID();
    const until = this.#clock.now() + expiry;
    this.#kept.set(reference, { body: new Uint8Array(body), until });
    return Promise.resolve(reference);
  }

  get(reference: string): Promise<Uint8Array | undefined> {
    const kept = this.#kept.get(reference);
    const isThere = kept !== undefined && kept.until > this.#clock.now();
    return Promise.resolve(isThere ? new Uint8Array(kept.body) : undefined);
  }

  remove(reference: string): Promise<void> {
    this.#kept.delete(reference);
    return Promise.resolve();
  }

  #sweep(): void {
    const now = this.#clock.now();
    for (const [reference, { until }] of this.#kept) {
      if (until <= now) this.#kept.delete(reference);
    }
  }
}
