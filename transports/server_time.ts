import type { Clock } from "../async/clock.ts";

/**
 * A server's time, on a clock of ours that never steps: the calendar of this machine is
 * looked at once, for the first guess, and decides nothing after the server has told its own.
 */
export class ServerTime {
  readonly #clock: Pick<Clock, "now">;
  /** The difference that is added to our clock. */
  #offset: number;
  /** It is not more than this. */
  #most = Infinity;
  #heardAt = -Infinity;

  /** Begins with this machine's calendar. */
  constructor(clock: Pick<Clock, "now" | "wall">) {
    this.#clock = clock;
    this.#offset = clock.wall() - clock.now();
  }

  /** Milliseconds since 1970, by the server: about, or not earlier than it is. */
  now(isLate = false): number {
    const offset = isLate && this.#most < Infinity
      ? this.#most + 1
      : this.#offset;
    return Math.round(this.#clock.now() + offset);
  }

  /** Milliseconds since the question that the server answered last. */
  get age(): number {
    return this.#clock.now() - this.#heardAt;
  }

  /**
   * Hears an answer.
   *
   * @param told The server's time in it, ms since 1970; `undefined` or `NaN` if it does not tell.
   * @param asked When it was asked, by our clock that never steps.
   */
  hear(told: number | undefined, asked: number): void {
    this.#heardAt = asked;
    if (told === undefined || Number.isNaN(told)) return;
    // It was that time somewhere in between: no move within that says anything.
    const [least, most] = [told - this.#clock.now(), told - asked];
    this.#offset = Math.min(Math.max(this.#offset, least), most);
    // Where it cannot be so early any more, the server's clock was set.
    this.#most = least > this.#most ? most : Math.min(this.#most, most);
  }
}
