import type { Clock } from "../../async/clock.ts";
import { Limits } from "../../async/limits.ts";
import { pause } from "../../async/pause.ts";
import type { CallOptions } from "../../model/call_options.ts";
import {
  connectionClosed,
  endedMeanwhile,
  lostBefore,
  notAnswered,
} from "../connection_errors.ts";
import type { CloseReason } from "../transport.ts";

/** How the calls of a connection are limited, and their failures told. */
export interface LifelineSettings {
  readonly clock: Clock;
  /** How long a call may take that has no deadline, ms; `undefined`: without end. */
  readonly operationTimeout?: number | undefined;
  /** The name of what answers, for errors. @default {"the broker"} */
  readonly server?: string | undefined;
  /** Makes the library's error of the client's; `action` follows `Cannot `. */
  readonly translate?:
    | ((action: string, error: unknown) => unknown)
    | undefined;
}

/**
 * The life of one connection of a store: which calls may begin, how long they are waited
 * for, and how it ends, once, well or not.
 */
export class Lifeline {
  /** Settles when it has ended. Never rejects. */
  readonly closed: Promise<CloseReason>;
  /** Watches the limits of all calls. */
  readonly limits: Limits;
  readonly #settle: (reason: CloseReason) => void;
  readonly #settings: LifelineSettings;
  readonly #onEnd = new Set<(reason: CloseReason) => void>();
  #reason: CloseReason | undefined;
  #closing: Promise<void> | undefined;

  /** Makes that of a connection that is open. */
  constructor(settings: LifelineSettings) {
    const { promise, resolve } = Promise.withResolvers<CloseReason>();
    this.closed = promise;
    this.#settle = resolve;
    this.#settings = settings;
    this.limits = new Limits(settings.clock);
  }

  /** Why it ends, or has ended; `undefined` while calls may begin. */
  get reason(): CloseReason | undefined {
    return this.#reason;
  }

  /** Says why a call may not begin: nothing of it has left then. `undefined`: it may. */
  refusal(action: string, options: CallOptions | undefined): unknown {
    return this.limits.refusal(options, action) ??
      (this.#reason && this.endError(action, this.#reason));
  }

  /** The error of a call that comes after the end, or waits when it comes. */
  endError(action: string, reason: CloseReason): Error {
    return reason.type === "lost"
      ? lostBefore(action, { cause: reason.error })
      : connectionClosed(action);
  }

  /**
   * Begins a call if its limits have not passed, and waits for it no longer than they
   * allow. It goes on after that: half of it would help nobody.
   *
   * @param action The action, for errors: follows `Cannot `.
   * @param options The call's limits.
   * @param call Begins it.
   * @returns Its result.
   */
  run<T>(
    action: string,
    options: CallOptions | undefined,
    call: () => Promise<T>,
  ): Promise<T> {
    const refusal = this.refusal(action, options);
    if (refusal !== undefined) return Promise.reject(refusal);
    try {
      return this.wait(action, options, call());
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** A call's limits: without a deadline it has the connection's time. */
  limited(options: CallOptions | undefined): CallOptions | undefined {
    const { clock, operationTimeout } = this.#settings;
    return operationTimeout === undefined || options?.deadline !== undefined
      ? options
      : { ...options, deadline: clock.now() + operationTimeout };
  }

  /** Waits for calls that have begun, no longer than a call's limits allow. */
  wait<T>(
    action: string,
    options: CallOptions | undefined,
    begun: Promise<T>,
  ): Promise<T> {
    const { server, translate } = this.#settings;
    const told = translate === undefined ? begun : begun.catch((error) => {
      throw translate(action, error);
    });
    return this.limits.wait(
      told,
      this.limited(options),
      () => notAnswered(action, "unknown", server),
    );
  }

  /**
   * Calls back once when no call may begin any more, those first that came first.
   *
   * @param callback Called with why. Must not throw.
   * @returns The way to call it off.
   */
  onEnd(callback: (reason: CloseReason) => void): () => void {
    if (this.#reason === undefined) this.#onEnd.add(callback);
    else callback(this.#reason);
    return () => this.#onEnd.delete(callback);
  }

  /** Waits so many ms, and no longer than until the end. */
  sleep(duration: number): Promise<void> {
    return pause(
      this.#settings.clock,
      duration,
      (callback) => this.onEnd(callback),
    );
  }

  /** Lets no call begin any more; the connection closes, if it was not lost before. */
  end(): void {
    this.#end({ type: "closed" });
  }

  /** Ends it, and takes its last steps, once: later callers wait for the same. */
  close(lastSteps: () => Promise<unknown>): Promise<void> {
    return this.#closing ??= this.#close(lastSteps);
  }

  /** Ends it because the connection is gone, unless it has ended. */
  lose(error: Error): void {
    if (this.#reason !== undefined) return;
    this.#end({ type: "lost", error });
    this.#closing = Promise.resolve();
    this.#endLimits();
    this.#settle({ type: "lost", error });
  }

  async #close(lastSteps: () => Promise<unknown>): Promise<void> {
    this.end();
    try {
      await lastSteps();
    } finally {
      this.#endLimits();
      this.#settle({ type: "closed" });
    }
  }

  #endLimits(): void {
    const cause = this.#reason?.type === "lost"
      ? this.#reason.error
      : undefined;
    this.limits.end(() => endedMeanwhile(cause));
  }

  #end(reason: CloseReason): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    for (const callback of this.#onEnd) callback(reason);
    this.#onEnd.clear();
  }
}
