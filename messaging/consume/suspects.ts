import type { Clock } from "../../async/clock.ts";
import type { FieldTable } from "../../model/field_table.ts";

/** How long a suspect is waited for that was marked, ms: it may be at the end of a long queue. */
const PROBE_TIMEOUT = 2000;
/** How long until it is taken for another consumer's, ms. */
const PROBE_LIMIT = 60_000;

/** The services that {@linkcode Suspects} have from their runner. None rejects. */
export interface SuspectsHost<M> {
  readonly clock: Clock;
  /** Writes a message again with the headers of a suspect; says whether it has left our hands. */
  mark(message: M, headers: FieldTable): Promise<boolean>;
  /** Calls its handler while no other runs. */
  callAlone(message: M): Promise<void>;
  /** Gives a message back. */
  letGo(message: M): Promise<void>;
}

/**
 * Messages that may end the process of their handler. One at a time is marked and comes
 * again, to be called alone; the others wait here meanwhile, unmarked, so that none of
 * them pays if that one does it.
 *
 * If the marked one does not come, the others are in its way: a worker that was ended has
 * left a long queue of suspects. They are called, alone and unmarked, the oldest first. If
 * one of them ends the process, it is the oldest the next time, and marked.
 */
export class Suspects<M> {
  readonly #host: SuspectsHost<M>;
  readonly #waiting: (readonly [message: M, headers: FieldTable])[] = [];
  #stopTimer: (() => void) | undefined;
  /** When one was marked that has not been proved yet. */
  #markedAt: number | undefined;
  #hasCome = false;
  /** Resolves when the suspects that wait have been called. */
  #calling: Promise<void> | undefined;
  #ended = false;

  /** Makes an empty list. */
  constructor(host: SuspectsHost<M>) {
    this.#host = host;
  }

  /** Marks a message with these headers, when it is its turn. */
  async add(message: M, headers: FieldTable): Promise<void> {
    this.#waiting.push([message, headers]);
    if (this.#markedAt === undefined) await this.#next();
  }

  /** A marked one has come: the next may wait as long as its handler takes. */
  came(): void {
    this.#markedAt ??= this.#host.clock.now();
    this.#hasCome = true;
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
    this.#hasCome = true; // for those that are being called: they end
    this.#markedAt = this.#host.clock.now();
    await this.#calling;
    for (;;) {
      const next = this.#waiting.shift();
      if (next === undefined) {
        this.#markedAt = undefined;
        return;
      }
      this.#hasCome = false;
      if (await this.#host.mark(...next)) break;
      // It cannot be marked now, and nobody gains if it waits.
      await this.#host.callAlone(next[0]);
    }
    this.#watch();
  }

  #watch(): void {
    if (this.#ended || this.#hasCome) return;
    this.#stopTimer = this.#host.clock.timer(() => {
      this.#calling = this.#callWaiting();
    }, PROBE_TIMEOUT);
  }

  async #callWaiting(): Promise<void> {
    while (!this.#ended && !this.#hasCome) {
      const [message] = this.#waiting.shift() ?? [];
      if (message === undefined) break;
      await this.#host.callAlone(message);
    }
    this.#calling = undefined;
    const markedAt = this.#markedAt;
    if (markedAt === undefined || this.#hasCome) return;
    if (this.#host.clock.now() - markedAt < PROBE_LIMIT) return this.#watch();
    this.#markedAt = undefined;
    if (this.#waiting.length > 0) await this.#next();
  }
}
