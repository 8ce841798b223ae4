import type { Clock } from "../../async/clock.ts";
import { ExpiringMap } from "../../async/expiring_map.ts";
import type { Mark } from "../store/store.ts";

/** The marks of messages that are published once. Marks that are over are removed when another is left. */
export class Marks {
  readonly #tokens: ExpiringMap<string>;

  /** Makes an empty set. */
  constructor(clock: Clock) {
    this.#tokens = new ExpiringMap(clock);
  }

  /** How many are kept. */
  get size(): number {
    return this.#tokens.size;
  }

  /** The token of whoever has left a mark; `undefined` if nobody has. */
  find({ key }: Mark): string | undefined {
    return this.#tokens.get(key);
  }

  /** Leaves a mark that was not found. */
  leave({ key, token, window }: Mark): void {
    this.#tokens.set(key, token, window);
  }
}
