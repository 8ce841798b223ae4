import type { Clock } from "../async/clock.ts";
import type { FieldTable } from "../model/field_table.ts";

/** How long a suspect is waited for that was marked, ms: another consumer may have got it. */
const PROBE_TIMEOUT = 5000;

/** What {@linkcode Suspects} have from their runner. Neither rejects. */
export interface SuspectsHost<M> {
  readonly clock: Clock;
  /** Writes a message again with other headers. */
  rewrite(message: M, headers: FieldTable): Promise<void>;
  /** Gives a message back. */
  letGo(message: M): Promise<void>;
}

/**
 * Messages that may end the process of their handler. One at a time is marked and comes
 * again, to be called alone; the others wait here meanwhile, unmarked, so that none of
 * them pays if that one does it.
 */
export class Suspects<M> {
  readonly #host: SuspectsHost<M>;
  readonly #waiting: (readonly [message: M, headers: FieldTable])[] = [];
  #stopTimer: (() => void) | undefined;
  #isProbing = false;
  #ended = false;

  /** Makes an empty list. */
  constructor(host: SuspectsHost<M>) {
    this.#host = host;
  }

  /** Marks a message with these headers, when it is its turn. */
  async add(message: M, headers: FieldTable): Promise<void> {
    this.#waiting.push([message, headers]);
    if (!this.#isProbing) await this.#next();
  }

  /** A marked one has come: the next may wait as long as its handler takes. */
  came(): void {
    this.#isProbing = true;
    this.#stopTimer?.();
  }

  /** Its handler has ended. */
  async proved(): Promise<void> {
    await this.#next();
  }

  /** Gives back those that wait. */
  async end(): Promise<void> {
    this.#ended = true;
    this.#stopTimer?.();
    const left = this.#waiting.splice(0);
    await Promise.all(left.map(([message]) => this.#host.letGo(message)));
  }

  async #next(): Promise<void> {
    this.#stopTimer?.();
    const next = this.#waiting.shift();
    this.#isProbing = next !== undefined;
    if (next === undefined) return;
    await this.#host.rewrite(...next);
    if (this.#ended) return;
    this.#stopTimer = this.#host.clock.timer(
      () => void this.#next(),
      PROBE_TIMEOUT,
    );
  }
}
