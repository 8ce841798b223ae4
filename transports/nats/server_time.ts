import type { Clock } from "../../async/clock.ts";

/** The server's time by the calendar: each answer brings its bounds closer. */
export class ServerTime {
  readonly #clock: Pick<Clock, "wall">;
  /** The server's time less ours is between two numbers, ms. */
  #least = -Infinity;
  #most = Infinity;

  /** Makes one of which nothing is known. */
  constructor(clock: Pick<Clock, "wall">) {
    this.#clock = clock;
  }

  /** Hears the server's time in an answer, ms since 1970, if it tells it, and when by ours it was asked. */
  hear(told: number, asked: number): void {
    if (Number.isNaN(told)) return;
    const [least, most] = [told - this.#clock.wall(), told - asked];
    this.#least = Math.max(this.#least, least);
    this.#most = Math.min(this.#most, most);
    // A clock was set.
    if (this.#least > this.#most) [this.#least, this.#most] = [least, most];
  }

  /** The server's time, ms since 1970: about, or not earlier than it is. */
  now(isLate = false): number {
    const wall = this.#clock.wall();
    if (this.#least === -Infinity) return wall;
    return wall + (isLate ? this.#most + 1 : (this.#least + this.#most) / 2);
  }
}
