import type { CallOptions } from "../model/call_options.ts";
import { TimeoutError } from "../model/errors.ts";
import { AbortListeners } from "./abort.ts";
import type { Clock } from "./clock.ts";
import { type Deadline, Deadlines } from "./deadlines.ts";

/** What a call that may wait is limited by: its signal and its deadline, for all calls of one owner. */
export class Limits {
  readonly #clock: Clock;
  readonly #deadlines: Deadlines;
  readonly #aborts = new AbortListeners();
  #ended = false;

  /** Makes the limits of one owner's calls, timed by `clock`. */
  constructor(clock: Clock) {
    this.#clock = clock;
    this.#deadlines = new Deadlines(clock);
  }

  /**
   * Looks whether a call may begin.
   *
   * @param options The call's limits.
   * @param action What the call does, for the error: `publish to exchange "x"`.
   * @throws The signal's `reason`, if it has aborted.
   * @throws {TimeoutError} If the deadline has passed.
   */
  check(options: CallOptions | undefined, action: () => string): void {
    if (options === undefined) return;
    options.signal?.throwIfAborted();
    if (
      options.deadline !== undefined && options.deadline <= this.#clock.now()
    ) {
      throw new TimeoutError(
        `Cannot ${action()}: its deadline had passed before it began`,
        { outcome: "not-sent" },
      );
    }
  }

  /**
   * Watches a deadline alone, as cheaply as can be.
   *
   * @param at The moment, on the clock.
   * @param onMissed Called once, when it is missed. Must not throw.
   * @returns The way to stop watching.
   */
  watchDeadline(at: number, onMissed: () => void): Deadline {
    return this.#deadlines.add(at, onMissed);
  }

  /**
   * Watches over a call that waits.
   *
   * @param options The call's limits.
   * @param stop Called once with the signal's `reason` when it aborts, or with `undefined` when the deadline is missed. Must not throw.
   * @returns A function that stops watching.
   */
  watch(
    options: CallOptions | undefined,
    stop: (reason: { readonly aborted: unknown } | undefined) => void,
  ): () => void {
    const { signal, deadline } = options ?? {};
    const missed = deadline === undefined || deadline === Infinity ||
        this.#ended
      ? undefined
      : this.#deadlines.add(deadline, () => {
        unlisten?.();
        stop(undefined);
      });
    const unlisten = signal === undefined
      ? undefined
      : this.#aborts.listen(signal, () => {
        missed?.cancel();
        stop({ aborted: signal.reason });
      });
    return () => {
      missed?.cancel();
      unlisten?.();
    };
  }

  /**
   * Waits for a promise no longer than a call's limits allow. What the promise
   * does afterwards is nobody's matter: its failure counts as handled.
   *
   * @param promise What to wait for.
   * @param options The call's limits.
   * @param late Makes the error for a missed deadline.
   * @returns What the promise resolves to.
   */
  wait<T>(
    promise: Promise<T>,
    options: CallOptions | undefined,
    late: () => Error,
  ): Promise<T> {
    if (
      options === undefined ||
      (options.signal === undefined && options.deadline === undefined)
    ) return promise;
    return new Promise((resolve, reject) => {
      if (options.signal?.aborted) {
        promise.catch(() => {});
        reject(options.signal.reason);
        return;
      }
      const waiter = new Waiter<T>(resolve, reject);
      waiter.unwatch = this.watch(options, (reason) => {
        waiter.fail(reason === undefined ? late() : reason.aborted);
      });
      follow(promise, waiter);
    });
  }

  /** Ends the watch, as the owner has ended: no deadline is watched any more, nor is a later one. */
  clear(): void {
    this.#ended = true;
    this.#deadlines.clear();
  }
}

/**
 * Who waits for a promise. The promise may never settle, and holds on to what it was
 * given to call: once nobody waits any more, that is as good as nothing.
 */
class Waiter<T> {
  #resolve: ((value: T) => void) | undefined;
  #reject: ((error: unknown) => void) | undefined;
  unwatch: (() => void) | undefined;

  constructor(resolve: (value: T) => void, reject: (error: unknown) => void) {
    this.#resolve = resolve;
    this.#reject = reject;
  }

  settle(value: T): void {
    this.#resolve?.(value);
    this.#leave();
  }

  fail(error: unknown): void {
    this.#reject?.(error);
    this.#leave();
  }

  #leave(): void {
    this.unwatch?.();
    this.#resolve = this.#reject = this.unwatch = undefined;
  }
}

/** In a scope of its own: what it calls must hold the waiter, and nothing else. */
function follow<T>(promise: Promise<T>, waiter: Waiter<T>): void {
  promise.then(
    (value) => waiter.settle(value),
    (error) => waiter.fail(error),
  );
}
