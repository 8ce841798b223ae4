import { backoff } from "../../async/backoff.ts";
import { RECONNECT_DELAYS } from "./backoff_options.ts";
import type { ReconnectOptions } from "./connection_options.ts";

/** A connection or a channel that lived shorter came to nothing, ms. */
const MIN_LIFE = 1000;

/**
 * Backs off from flapping: a connection to a broker that accepts every login and hangs
 * up, a channel that ends with its first receive. Without it they would be opened as fast
 * as they are lost.
 */
export class FlapBackoff {
  #shortLived = 0;
  #since = 0;

  /** How many in a row came to nothing. */
  get shortLived(): number {
    return this.#shortLived;
  }

  /** The connection or channel is open from now on. */
  begin(now: number): void {
    this.#since = now;
  }

  /** It has ended. */
  end(now: number): void {
    this.#shortLived = now - this.#since < MIN_LIFE ? this.#shortLived + 1 : 0;
  }

  /**
   * Says how long to wait before it is opened again: not at all after one that lived, nor
   * after the first that did not; a second at most.
   *
   * @param policy The waits between attempts.
   * @param random A number from 0 to 1, by chance.
   * @returns Milliseconds.
   */
  delay(policy: ReconnectOptions | false, random: number): number {
    if (policy === false || this.#shortLived < 2) return 0;
    const delay = backoff(
      this.#shortLived - 2,
      policy,
      RECONNECT_DELAYS,
      random,
    );
    return Math.min(delay, MIN_LIFE);
  }
}
