import type { Clock } from "../../async/clock.ts";
import type { MessageStore } from "./store.ts";

/** Milliseconds after which it is tried again, where it failed. */
const AGAIN = 1000;

/** The options of a connection that {@linkcode Ripener} uses. */
export interface RipenerSettings {
  readonly operationTimeout: number;
  readonly clock: Clock;
}

/**
 * Promotes messages that were put with a delay when they are due, where
 * the broker does not: somebody who is not ours may be the only one who consumes.
 */
export class Ripener {
  readonly #messages: Pick<MessageStore, "promoteDue">;
  readonly #settings: RipenerSettings;
  readonly #queues = new Set<string>();
  #at = Infinity;
  #call: (() => void) | undefined;
  #isFirst = true;
  #stopped = false;

  /** Makes one that does nothing until something was put. */
  constructor(
    messages: Pick<MessageStore, "promoteDue">,
    settings: RipenerSettings,
  ) {
    this.#messages = messages;
    this.#settings = settings;
  }

  /** A message was put, to be ready after a delay. */
  notePut(targets: readonly { readonly queue: string }[], delay: number): void {
    if (this.#messages.promoteDue === undefined) return;
    // Messages that an earlier connection published with a delay may be due too.
    if (this.#isFirst) this.#callIn(0);
    this.#isFirst = false;
    if (delay <= 0) return;
    for (const { queue } of targets) this.#queues.add(queue);
    this.#callIn(delay);
  }

  /** Ends it with its connection. */
  stop(): void {
    this.#stopped = true;
    this.#call?.();
  }

  #callIn(delay: number): void {
    const { clock } = this.#settings;
    const at = clock.now() + delay;
    if (this.#stopped || at >= this.#at) return;
    this.#call?.();
    this.#at = at;
    this.#call = clock.timer(() => this.#ripen(), delay);
  }

  #ripen(): void {
    this.#at = Infinity;
    const { clock, operationTimeout } = this.#settings;
    this.#messages.promoteDue?.([...this.#queues], {
      deadline: clock.now() + operationTimeout,
    }).then(
      (next) => next < Infinity && this.#callIn(Math.max(next, 1)),
      // The next attempt repeats it; a lost connection ends them all.
      () => this.#callIn(AGAIN),
    );
  }
}
