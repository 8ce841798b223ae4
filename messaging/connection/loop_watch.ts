import type { Clock } from "../../async/clock.ts";
import { ConnectionError } from "../../model/errors.ts";
import type { ConnectionEvent } from "./connection_state.ts";

/** An event loop that was blocked so long ago, ms, did not cause a loss now. */
const RECENT = 2000;

/** From how long on a blocked process is told of where there are no heartbeats, ms. */
const BOUND = 10_000;

/** The services and settings that {@linkcode LoopWatch} has from its session. */
export interface LoopWatchHost {
  readonly clock: Clock;
  readonly endpoint: {
    /** Milliseconds between signs of life; 0 where there are none. */
    readonly heartbeat: number;
  };
  emit(event: ConnectionEvent): void;
}

/**
 * Notices that the event loop was blocked, as by a handler that computes, for longer than
 * a heartbeat: no sign of life leaves the process then, and no lease is renewed. It looks
 * while somebody consumes.
 */
export class LoopWatch {
  readonly #host: LoopWatchHost;
  #users = 0;
  #stopTimer: (() => void) | undefined;
  /** When it is to look, on the clock. */
  #due = Infinity;
  #last = { endedAt: -Infinity, duration: 0 };

  /** Makes one that does not look yet. */
  constructor(host: LoopWatchHost) {
    this.#host = host;
  }

  /** Somebody consumes. */
  begin(): void {
    if (this.#users++ === 0) this.#arm();
  }

  /** And no more. */
  end(): void {
    if (--this.#users > 0) return;
    this.#stopTimer?.();
    this.#due = Infinity;
  }

  /**
   * Says what a connection was lost for, where it may have been that.
   *
   * @param error The error that it was lost with.
   * @returns The same, or one that says so.
   */
  explain(error: Error): Error {
    const blocked = this.blocked;
    if (blocked === undefined || !(error instanceof ConnectionError)) {
      return error;
    }
    const { code, outcome } = error;
    if (code !== "connection-lost") return error;
    return new ConnectionError(`${error.message}; ${why(blocked)}`, {
      code,
      outcome,
      cause: error,
    });
  }

  /** How long it was blocked until a moment ago, ms; perhaps its timer has not fired yet. */
  get blocked(): number | undefined {
    const now = this.#host.clock.now();
    if (now - this.#due >= this.#bound) return now - this.#due;
    const { endedAt, duration } = this.#last;
    return now - endedAt <= RECENT ? duration : undefined;
  }

  get #bound(): number {
    return this.#host.endpoint.heartbeat || BOUND;
  }

  #arm(): void {
    const { clock } = this.#host;
    const step = this.#bound / 4;
    this.#due = clock.now() + step;
    this.#stopTimer = clock.timer(this.#look, step);
  }

  readonly #look = (): void => {
    const { clock } = this.#host;
    const duration = clock.now() - this.#due;
    this.#arm();
    if (duration < this.#bound) return;
    this.#last = { endedAt: clock.now(), duration };
    this.#host.emit({ type: "event-loop-blocked", duration });
  };
}

/**
 * Says in words that the event loop was blocked, and what to do.
 *
 * @param duration How long, ms.
 * @returns The words.
 */
export function why(duration: number): string {
  return `the event loop of this process was blocked for ${
    (duration / 1000).toFixed(1)
  } s, in which no sign of life left it, and no lease was renewed: compute in a Worker, or in pieces with an await of a timer between them`;
}
