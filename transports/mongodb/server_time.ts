import type { Clock } from "../../async/clock.ts";

/**
 * The server's time, on a clock of ours that never steps: the calendar of this machine
 * is looked at once, for the first guess, and decides nothing after the server has told
 * its own.
 */
export class ServerTime {
  readonly #clock: Clock;
  /** The difference that is added to our clock. */
  #offset: number;
  #readAt = -Infinity;

  /** Begins with this machine's calendar. */
  constructor(clock: Clock) {
    this.#clock = clock;
    this.#offset = clock.wall() - clock.now();
  }

  /** Milliseconds since 1970, by the server. */
  now(): number {
    return Math.round(this.#clock.now() + this.#offset);
  }

  /** Milliseconds since the server told its time. */
  get age(): number {
    return this.#clock.now() - this.#readAt;
  }

  /**
   * Asks the server.
   *
   * @param ask Asks for its time, ms since 1970; `undefined` if it does not tell.
   */
  async read(ask: () => Promise<number | undefined>): Promise<void> {
    const before = this.#clock.now();
    const told = await ask();
    const after = this.#clock.now();
    this.#readAt = before;
    if (told === undefined) return;
    // It was that time somewhere in between: no move within that says anything.
    const [least, most] = [told - after, told - before];
    this.#offset = Math.min(Math.max(this.#offset, least), most);
  }
}
