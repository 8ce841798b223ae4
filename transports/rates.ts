import type { CallOptions } from "../model/call_options.ts";
import type { Rate } from "../async/windows.ts";

export type { Rate } from "../async/windows.ts";

/** Rates that hold over all connections to a broker. */
export interface Rates {
  /**
   * Counts one more of what begins with messages of a queue and a key, by the broker's
   * clock: in no time of `interval` ms, wherever it begins, are there more than `limit`. The
   * queue need not be there, and what is older than `interval` may be forgotten.
   *
   * @returns 0 where it is counted; else milliseconds until one may be.
   */
  admit(
    queue: string,
    key: string,
    rate: Rate,
    options?: CallOptions,
  ): Promise<number>;
}
