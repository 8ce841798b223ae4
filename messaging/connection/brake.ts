import { backoff } from "../../async/backoff.ts";
import { RECONNECT_DELAYS } from "./backoff_options.ts";
import type { ReconnectOptions } from "./connection_options.ts";

/** What lived shorter came to nothing, ms. */
const BRIEF = 1000;

/**
 * Slows down what is had again and again, and lost at once each time: a connection to
 * a broker that lets everybody in and hangs up, a channel that ends with its first
 * receive. Without it the one is as fast as the other.
 */
export class Brake {
  #brief = 0;
  #since = 0;

  /** How many in a row came to nothing. */
  get brief(): number {
    return this.#brief;
  }

  /** It is had, from now on. */
  begin(now: number): void {
    this.#since = now;
  }

  /** It has ended. */
  end(now: number): void {
    this.#brief = now - this.#since < BRIEF ? this.#brief + 1 : 0;
  }

  /**
   * Says how long to wait before it is had again: not at all after what lived, nor
   * after the first that did not; a second at most.
   *
   * @param policy The waits between attempts.
   * @param random A number from 0 to 1, by chance.
   * @returns Milliseconds.
   */
  delay(policy: ReconnectOptions | false, random: number): number {
    if (policy === false || this.#brief < 2) return 0;
    const delay = backoff(this.#brief - 2, policy, RECONNECT_DELAYS, random);
    return Math.min(delay, BRIEF);
  }
}
