import { type Clock, SYSTEM_CLOCK } from "../../async/clock.ts";
import { onAbort, pause } from "../../async/pause.ts";
import { asError } from "../../model/error_text.ts";
import { checkKnown, type KnownOptions, optionsOf } from "../known_options.ts";
import { checkInterval } from "../operation_options.ts";
import type { Inbox, InboxCall, InboxOutcome } from "./inbox.ts";

/** Options of an inbox. */
export interface InboxOptions {
  /** The time, ms from when a message was handled, in which another of the same key is skipped; above 0, and up to ten years. */
  readonly window: number;
}

/** Options of an inbox that several processes share. */
export interface SharedInboxOptions extends InboxOptions {
  /**
   * The time, ms, after which others may handle a message that a process had begun with and
   * is gone. It is renewed after each third of it while the handler runs. @default {10_000}
   */
  readonly lease?: number | undefined;
}

/** A claim: `"claimed"`, it is ours; `"busy"`, somebody else's; `"done"`, it was handled before. */
export type Claim = "claimed" | "busy" | "done";

/**
 * The few verbs that a database must have to keep claims and marks, each in one step. A
 * call that rejects is made again.
 */
export interface InboxClaims {
  /** Claims a key for `lease` ms, unless it was handled, or another token holds it. A token that holds it already claims it again. */
  claim(key: string, token: string, lease: number): Promise<Claim>;
  /** Holds it for `lease` ms from now on, if the token still does. Left out where claims have no lease, as in memory, where they go with their process. */
  renew?(key: string, token: string, lease: number): Promise<unknown>;
  /** Remembers for `window` ms that it was handled, unless another token holds it by now. */
  finish(key: string, token: string, window: number): Promise<unknown>;
  /** Lets others have it, if the token still holds it. */
  release(key: string, token: string): Promise<unknown>;
}

const SHARED: KnownOptions = optionsOf<SharedInboxOptions>("an inbox", {
  window: true,
  lease: true,
}, { ttl: '"window"', timeout: '"lease"' });

/** How soon to look again for a message that another handles, and to repeat a call that failed, at first and at most, ms. */
const [FIRST_WAIT, LONGEST_WAIT] = [20, 1000];

/** How often it is tried to make a mark: over half a minute. */
const TRIES = 36;

/**
 * An inbox over claims: a handler's key is held while it runs, and by nobody when its process is gone.
 *
 * @example Over a map
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { LeasedInbox } from "@dashi/mq/inbox";
 *
 * const held = new Map<string, string>();
 * const inbox = new LeasedInbox({
 *   claim(key, token) {
 *     const holder = held.get(key) ?? token;
 *     held.set(key, holder);
 *     if (holder === "done") return Promise.resolve("done");
 *     return Promise.resolve(holder === token ? "claimed" : "busy");
 *   },
 *   renew: () => Promise.resolve(),
 *   finish: (key) => Promise.resolve(held.set(key, "done")),
 *   release: (key) => Promise.resolve(held.delete(key)),
 * }, { window: 60_000 });
 *
 * const call = { signal: new AbortController().signal, onError() {} };
 * const work = () => Promise.resolve();
 * assertEquals(await inbox.handle("order-7", work, call), "handled");
 * assertEquals(await inbox.handle("order-7", work, call), "duplicate");
 * ```
 */
export class LeasedInbox implements Inbox {
  readonly #claims: InboxClaims;
  readonly #window: number;
  readonly #lease: number;
  readonly #clock: Clock;

  /**
   * Makes one.
   *
   * @param claims The verbs of the database.
   * @param options The window, and the lease.
   * @param clock The time.
   * @throws {OptionError} If an option is unknown.
   * @throws {RangeError} If the window or the lease is no number above 0, or more than ten years.
   */
  constructor(
    claims: InboxClaims,
    options: SharedInboxOptions,
    clock: Clock = SYSTEM_CLOCK,
  ) {
    checkKnown(options, SHARED);
    const { window, lease = 10_000 } = options;
    checkInterval("window", window);
    checkInterval("lease", lease);
    this.#claims = claims;
    this.#window = window;
    this.#lease = lease;
    this.#clock = clock;
  }

  /**
   * Calls `work` while it holds the key, and remembers the key when that has returned.
   *
   * @throws As of {@linkcode Inbox.handle}.
   */
  async handle(
    key: string,
    work: () => Promise<void>,
    { signal, onError }: InboxCall,
  ): Promise<InboxOutcome> {
    const token = crypto.randomUUID();
    for (let wait = FIRST_WAIT;; wait = Math.min(2 * wait, LONGEST_WAIT)) {
      signal.throwIfAborted();
      const claim = await this.#claim(key, token, onError);
      if (claim === "done") return "duplicate";
      if (claim === "claimed") break;
      await pause(this.#clock, wait, onAbort(signal));
    }
    const stopRenewing = this.#renew(key, token, onError);
    try {
      await work();
    } catch (error) {
      stopRenewing();
      // If it fails, others may have it when the lease is over.
      await this.#claims.release(key, token).catch(onError);
      throw error;
    }
    await this.#finish(key, token, onError);
    stopRenewing();
    return "handled";
  }

  /** One that fails may have been granted: it is asked for again under the same token. */
  async #claim(
    key: string,
    token: string,
    onError: (error: Error) => void,
  ): Promise<Claim> {
    try {
      return await this.#claims.claim(key, token, this.#lease);
    } catch (error) {
      onError(asError(error));
      return "busy";
    }
  }

  #renew(
    key: string,
    token: string,
    onError: (error: Error) => void,
  ): () => void {
    const claims = this.#claims;
    if (claims.renew === undefined) return () => {};
    let isOver = false;
    let stop = () => {};
    const later = () => {
      stop = this.#clock.timer(async () => {
        try {
          await claims.renew?.(key, token, this.#lease);
        } catch (error) {
          onError(asError(error));
        }
        if (!isOver) later();
      }, this.#lease / 3);
    };
    later();
    return () => {
      isOver = true;
      stop();
    };
  }

  /** The work is done: it is not to be done again for a mark that cannot be made. */
  async #finish(
    key: string,
    token: string,
    onError: (error: Error) => void,
  ): Promise<unknown> {
    for (let tries = 1, wait = FIRST_WAIT;; tries++) {
      try {
        return await this.#claims.finish(key, token, this.#window);
      } catch (error) {
        onError(asError(error));
        if (tries === TRIES) return;
      }
      await pause(this.#clock, wait);
      wait = Math.min(2 * wait, LONGEST_WAIT);
    }
  }
}
