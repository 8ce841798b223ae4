import type { Clock } from "./clock.ts";

/**
 * Notices that a server answers nothing any more, where there is no connection that
 * would have a heartbeat of its own, but a request at a time.
 */
export class Silence {
  readonly #clock: Clock;
  /** Milliseconds after which a silent server counts as gone. */
  readonly most: number;
  /** When the first was to be answered of those that were sent since the last answer. */
  #since = Infinity;

  /** Makes one that has heard nothing, and asked nothing. */
  constructor(clock: Clock, most: number) {
    this.#clock = clock;
    this.most = most;
  }

  /**
   * A request leaves.
   *
   * @param wait Milliseconds that the server may take by itself.
   * @returns The moment by which it is answered, or the server is gone.
   */
  ask(wait = 0): number {
    const due = this.#clock.now() + wait;
    this.#since = Math.min(this.#since, due);
    return due + this.most;
  }

  /** The server has answered something. */
  end(): void {
    this.#since = Infinity;
  }

  /** Whether it has answered nothing for too long: those who asked may each have given up before. */
  get isTooLong(): boolean {
    return this.#clock.now() - this.#since >= this.most;
  }
}

/**
 * Says how long a server may be silent that owes an answer.
 *
 * @param heartbeat The connection's, ms; 0 where there is to be none.
 * @param operationTimeout The connection's, ms.
 * @returns Two heartbeats and a second, and no longer than any call may take; ms.
 */
export function mostSilence(
  heartbeat: number,
  operationTimeout: number,
): number {
  return heartbeat > 0
    ? Math.min(2 * heartbeat + 1000, operationTimeout)
    : operationTimeout;
}
