import type { Clock } from "../../async/clock.ts";
import { Ring } from "../../async/ring.ts";
import { asError } from "../../model/error_text.ts";
import { DecodeError, OptionError } from "../../model/errors.ts";
import type { Handler } from "./checked.ts";
import { checkKnown, type KnownOptions, optionsOf } from "../known_options.ts";
import { checkCount, checkInterval } from "../operation_options.ts";

/** Options of a circuit breaker: when a run takes no more messages because its handlers fail, and when it tries again. */
export interface BreakerOptions {
  /** The number of failed calls of the handler, in any time of `within`, with which it opens: 1 to 1,000,000. */
  readonly failures: number;
  /** The time in which failures are counted, ms: a window that slides. */
  readonly within: number;
  /** The time that it is open, ms; then one message is on trial. */
  readonly rest: number;
  /**
   * Says whether an error counts as a failure. A call that fails with an error that does not
   * is a success to the breaker. A payload that cannot be read counts in no
   * case. @default {every error counts}
   */
  readonly isFailure?: ((error: Error) => boolean) | undefined;
}

const BREAKER: KnownOptions = optionsOf<BreakerOptions>("breaker", {
  failures: true,
  within: true,
  rest: true,
  isFailure: "function",
}, {
  threshold: '"failures"',
  maxFailures: '"failures"',
  interval: '"within"',
  window: '"within"',
  timeout: '"rest"',
  resetTimeout: '"rest"',
  halfOpenAfter: '"rest"',
  errorFilter: '"isFailure", which says the contrary',
  handleWhen: '"isFailure"',
});

/**
 * Refuses what is no circuit breaker.
 *
 * @param breaker The given value.
 * @throws {OptionError} If it is something else, or has an option that is unknown.
 * @throws {RangeError} If a number is out of range.
 */
export function checkBreaker(breaker: BreakerOptions): void {
  checkKnown(breaker, BREAKER);
  const { failures, within, rest } = breaker;
  checkCount("failures", failures, 1_000_000);
  checkInterval("within", within);
  checkInterval("rest", rest);
}

/** The parts of a consumer that its {@linkcode Breaker} uses. */
export interface BreakerHost {
  readonly clock: Clock;
  /** Whether no more messages come. */
  hasEnded(): boolean;
  /** Calls back when no more messages come; returns the way to call it off. */
  onEnd(callback: () => void): () => void;
  /** It has opened, for that error: nothing is taken until a moment of the wall clock. */
  opened(error: Error, until: number): void;
  /** One message is taken. */
  halfOpened(): void;
  /** All goes on. */
  closed(): void;
}

/**
 * A circuit breaker: closed while handlers succeed, open after too many have failed, and
 * half open after a rest, with one message on trial whose handler decides.
 */
export class Breaker {
  readonly #options: BreakerOptions;
  readonly #host: BreakerHost;
  /** When calls have failed, on the clock. */
  readonly #failed = new Ring<number>();
  #state: "closed" | "open" | "half-open" = "closed";
  /** Another with each state: calls that began in a former one decide nothing. */
  #round = 0;
  /** Whether a message is on trial. */
  #isTrying = false;
  #until = 0;
  #stop: (() => void) | undefined;
  /** Resolves when another message may be begun with, perhaps. */
  #change: PromiseWithResolvers<void> | undefined;

  /** Makes one that is closed. */
  constructor(options: BreakerOptions, host: BreakerHost) {
    this.#options = options;
    this.#host = host;
  }

  /** Why no message is taken, or but one, in words. */
  get reason(): string | undefined {
    if (this.#state === "closed") return undefined;
    return this.#state === "half-open"
      ? "its circuit breaker is half open: one message is on trial"
      : `its circuit breaker is open until ${
        new Date(this.#until).toISOString()
      }`;
  }

  /** Whether nothing is taken. */
  get isOpen(): boolean {
    return this.#state === "open";
  }

  /** Resolves when a handler may be called; `undefined` if one may be now. */
  place(): Promise<void> | undefined {
    const isFree = this.#state === "closed" ||
      this.#state === "half-open" && !this.#isTrying;
    if (isFree || this.#host.hasEnded()) return undefined;
    if (this.#change === undefined) {
      this.#change = Promise.withResolvers<void>();
      const callOff = this.#host.onEnd(() => this.#wake());
      this.#change.promise.then(callOff);
    }
    return this.#change.promise;
  }

  /** Makes a user's handler whose results open and close it. */
  judging<A extends unknown[], R>(
    handler: (...given: A) => R | Promise<R>,
  ): (...given: A) => R | Promise<R> {
    if (typeof handler !== "function") return handler;
    return async (...given) => {
      const round = this.#round;
      try {
        const result = await handler(...given);
        this.#judge(round, undefined);
        return result;
      } catch (error) {
        this.#judge(round, asError(error));
        throw error;
      }
    };
  }

  /** Makes a handler of messages one of which is on trial while it is half open. */
  trying<T>(handler: Handler<T>): Handler<T> {
    return async (message) => {
      const round = this.#round;
      if (this.#state === "half-open") this.#isTrying = true;
      try {
        await handler(message);
      } finally {
        // The next message is on trial if no handler of the user was called.
        if (round === this.#round && this.#isTrying) {
          this.#isTrying = false;
          this.#wake();
        }
      }
    };
  }

  /** It is closed for good: nobody is called any more. */
  end(): void {
    this.#stop?.();
    this.#set("closed");
  }

  #judge(round: number, error: Error | undefined): void {
    if (round !== this.#round || error instanceof DecodeError) return;
    const isFailure = error !== undefined && this.#counts(error);
    if (this.#state === "half-open") {
      if (isFailure) return this.#open(error);
      this.#set("closed");
      return this.#host.closed();
    }
    if (this.#state === "closed" && isFailure && this.#isTooMuch()) {
      this.#open(error);
    }
  }

  #counts(error: Error): boolean {
    try {
      return this.#options.isFailure?.(error) ?? true;
    } catch {
      return true; // it is no proof that all is well
    }
  }

  #isTooMuch(): boolean {
    const { failures, within } = this.#options;
    const now = this.#host.clock.now();
    this.#failed.push(now);
    while ((this.#failed.at(0) ?? now) <= now - within) this.#failed.shift();
    return this.#failed.size >= failures;
  }

  #open(error: Error): void {
    if (this.#host.hasEnded()) return;
    const { clock } = this.#host;
    const { rest } = this.#options;
    this.#until = clock.wall() + rest;
    this.#set("open");
    this.#stop = clock.timer(() => {
      this.#set("half-open");
      this.#host.halfOpened();
    }, rest);
    this.#host.opened(error, this.#until);
  }

  #set(state: "closed" | "open" | "half-open"): void {
    this.#state = state;
    this.#round++;
    this.#isTrying = false;
    this.#failed.clear();
    this.#wake();
  }

  #wake(): void {
    this.#change?.resolve();
    this.#change = undefined;
  }
}

/**
 * Refuses a run beside others where one has to be the only one of its consumer.
 *
 * @param runs For each run of the consumer, the new one too, the option for which it has to.
 * @throws {OptionError} If there are several, and one has.
 */
export function checkAlone(
  runs: readonly ("breaker" | "ordered" | undefined)[],
): void {
  const option = runs.find((each) => each !== undefined);
  if (runs.length < 2 || option === undefined) return;
  const why = option === "breaker"
    ? "it holds back all of the consumer"
    : "the messages of a key would have two runs to go to";
  throw new OptionError(
    `Cannot run a consumer twice at the same time where one run has "${option}": ${why}; use another consumer for the other handler`,
  );
}
