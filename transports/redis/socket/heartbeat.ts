import type { Clock } from "../../../async/clock.ts";

/** How long what has come may wait to be read, ms. */
const GRACE = 50;

/** Whom a heartbeat asks, and tells. Neither may throw. */
export interface HeartbeatHost {
  /** Asks the other side for a sign of life. */
  ask(): void;
  /** It gave none. */
  onSilence(): void;
}

/**
 * Asks for a sign of life where none came by itself. A link that falls silent just after
 * it was looked at is asked with the second look, and judged a step later: in three
 * steps, which are two heartbeats.
 */
export class Heartbeat {
  readonly #clock: Clock;
  readonly #step: number;
  readonly #host: HeartbeatHost;
  #lastHeard: number;
  #stopTimer: (() => void) | undefined;

  /** Makes one that does nothing yet; `heartbeat` is in ms, and 0 is none. */
  constructor(clock: Clock, heartbeat: number, host: HeartbeatHost) {
    this.#clock = clock;
    this.#step = heartbeat * 2 / 3;
    this.#host = host;
    this.#lastHeard = clock.now();
  }

  /** When something came last, on the clock. */
  get lastHeard(): number {
    return this.#lastHeard;
  }

  /** Something came. */
  hear(): void {
    this.#lastHeard = this.#clock.now();
  }

  /** Begins to watch. */
  start(): void {
    if (this.#step > 0) this.#later(this.#step, () => this.#look());
  }

  /** Watches no more. */
  stop(): void {
    this.#stopTimer?.();
  }

  #look(): void {
    const asked = this.#clock.now();
    if (asked - this.#lastHeard < this.#step) return this.start();
    this.#host.ask();
    this.#later(this.#step, () => {
      // A process that was busy has not read yet what may have come long ago.
      this.#later(GRACE, () => {
        if (this.#lastHeard >= asked) this.start();
        else this.#host.onSilence();
      });
    });
  }

  #later(delay: number, act: () => void): void {
    this.#stopTimer = this.#clock.timer(act, delay);
  }
}
