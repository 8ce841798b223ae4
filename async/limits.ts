import type { CallOptions } from "../model/call_options.ts";
import { TimeoutError } from "../model/errors.ts";
import { AbortListeners } from "./abort.ts";
import type { Clock } from "./clock.ts";
import { type Deadline, Deadlines } from "./deadlines.ts";
import { atNextTurn } from "./turn.ts";
import { type Place, Waiters } from "./waiters.ts";

/** A deadline of an owner that has ended. */
const UNWATCHED: Deadline = { cancel() {} };

/** The limits of calls that may wait, their signals and deadlines, for all calls of one owner. */
export class Limits {
  readonly #clock: Clock;
  readonly #deadlines: Deadlines;
  readonly #aborts = new AbortListeners();
  readonly #followers = new WeakMap<
    Promise<unknown>,
    Waiters<Follower<unknown>>
  >();
  /** Makes the error of who still waits, once the owner has ended. */
  #endError: (() => unknown) | undefined;
  #isEnding = false;

  /** Makes the limits of one owner's calls, timed by `clock`. */
  constructor(clock: Clock) {
    this.#clock = clock;
    this.#deadlines = new Deadlines(clock);
  }

  /** The time on the clock, ms. */
  now(): number {
    return this.#clock.now();
  }

  /**
   * Looks whether a call may begin.
   *
   * @param options The call's limits.
   * @param action The action of the call, for the error: `publish to exchange "x"`.
   * @throws The signal's `reason`, if it has aborted.
   * @throws {TimeoutError} If the deadline has passed.
   */
  check(options: CallOptions | undefined, action: () => string): void {
    const refusal = this.refusal(options, action);
    if (refusal !== undefined) throw refusal;
  }

  /**
   * Says whether a call's deadline has passed.
   *
   * @param options The call's limits.
   * @returns Whether it has.
   * @throws The signal's `reason`, if it has aborted.
   */
  isLate({ signal, deadline = Infinity }: CallOptions): boolean {
    signal?.throwIfAborted();
    return deadline <= this.#clock.now();
  }

  /**
   * Says why a call may not begin, for calls that return a promise without being `async`.
   *
   * @param options The call's limits.
   * @param action The action of the call, for the error.
   * @returns The error that {@linkcode check} throws; `undefined` if it may begin.
   */
  refusal(
    options: CallOptions | undefined,
    action: string | (() => string),
  ): unknown {
    if (options === undefined) return undefined;
    const { signal, deadline } = options;
    if (signal?.aborted) return signal.reason;
    if (deadline === undefined || deadline > this.#clock.now()) {
      return undefined;
    }
    const what = typeof action === "string" ? action : action();
    return new TimeoutError(
      `Cannot ${what}: its deadline had passed before it began`,
      { outcome: "not-sent" },
    );
  }

  /**
   * Watches a deadline alone, as cheaply as can be; nothing is watched once the owner has ended.
   *
   * @param at The moment, on the clock.
   * @param onMissed Called once, when it is missed. Must not throw.
   * @returns The way to stop watching.
   */
  watchDeadline(at: number, onMissed: () => void): Deadline {
    return this.#endError === undefined
      ? this.#deadlines.add(at, onMissed)
      : UNWATCHED;
  }

  /**
   * Watches over a call that waits.
   *
   * @param options The call's limits.
   * @param stop Called once with the signal's `reason` when it aborts, or, where there is a deadline, with the error of {@linkcode Limits.end}; with `undefined` when the deadline is missed. Must not throw.
   * @returns A function that stops watching.
   */
  watch(
    options: CallOptions | undefined,
    stop: (reason: { readonly aborted: unknown } | undefined) => void,
  ): () => void {
    const { signal, deadline } = options ?? {};
    const missed = deadline === undefined || deadline === Infinity
      ? undefined
      : this.#deadlines.add(deadline, () => {
        unlisten?.();
        stop(this.#endError && { aborted: this.#endError() });
      }, true);
    if (missed !== undefined && this.#endError !== undefined) {
      this.#watchNoMore();
    }
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
   * Waits for a promise no longer than a call's limits allow. A later result of the promise
   * is ignored: its failure counts as handled.
   *
   * @param promise The promise to wait for.
   * @param options The call's limits.
   * @param late Makes the error for a missed deadline.
   * @returns The promise's result.
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
      waiter.place = this.#followersOf(promise).add(waiter);
    });
  }

  /**
   * The callers that wait for a promise. Many may wait for one that never settles, and a
   * promise holds for ever what it was given to call: it is given one thing for all of
   * them.
   */
  #followersOf<T>(promise: Promise<T>): Waiters<Follower<T>> {
    const known = this.#followers.get(promise);
    if (known !== undefined) return known;
    const followers = new Waiters<Follower<T>>();
    this.#followers.set(promise, followers);
    promise.then((value) => {
      this.#followers.delete(promise); // a later caller calls `then` anew
      letGo(followers, (each) => each.settle(value));
    }, (error) => {
      this.#followers.delete(promise);
      letGo(followers, (each) => each.fail(error));
    });
    return followers;
  }

  /**
   * Ends the watch, as the owner has ended: no deadline is watched any more, nor is a later
   * one. A call with a deadline that still waits when the event loop has turned, as what it
   * waits for does not end with its owner, is failed then; so is each that is watched later.
   * Until that turn calls hear by what they wait for, which says more.
   *
   * @param error Makes the error.
   */
  end(error: () => unknown): void {
    if (this.#endError !== undefined) return;
    this.#endError = error;
    this.#deadlines.stop();
    if (!this.#deadlines.empty) this.#watchNoMore();
  }

  #watchNoMore(): void {
    if (this.#isEnding) return;
    this.#isEnding = true;
    atNextTurn(() => {
      this.#isEnding = false;
      this.#deadlines.end();
    });
  }
}

/** Notifies all waiters, in order; none waits any more then. */
function letGo<T>(waiters: Waiters<T>, tell: (each: T) => void): void {
  for (;;) {
    const each = waiters.shift();
    if (each === undefined) return;
    tell(each);
  }
}

/** The callbacks of a settled promise. */
interface Follower<T> {
  settle(value: T): void;
  fail(error: unknown): void;
}

/** A caller that waits for a promise. */
class Waiter<T> implements Follower<T> {
  readonly #resolve: (value: T) => void;
  readonly #reject: (error: unknown) => void;
  /** Stops watching the limits. */
  unwatch: (() => void) | undefined;
  /** Its place among the callers that wait for the same promise. */
  place: Place | undefined;

  constructor(resolve: (value: T) => void, reject: (error: unknown) => void) {
    this.#resolve = resolve;
    this.#reject = reject;
  }

  settle(value: T): void {
    this.#leave();
    this.#resolve(value);
  }

  fail(error: unknown): void {
    this.#leave();
    this.#reject(error);
  }

  #leave(): void {
    this.unwatch?.();
    this.place?.leave();
  }
}
