import type { ConnectionEvent } from "./connection_state.ts";

/** Whether the broker takes messages, by its `connection.blocked` and `connection.unblocked`. */
export class Blocking {
  #began = Promise.withResolvers<void>();
  /** How many of the connection's ways to the broker are blocked. */
  #count = 0;

  /** Resolves when it takes none; at once if that is so already. */
  get begun(): Promise<void> {
    return this.#began.promise;
  }

  /** Hears of an event. */
  note({ type }: ConnectionEvent): void {
    if (type === "blocked") {
      this.#count++;
      this.#began.resolve();
    } else if (type === "lost" || (type === "unblocked" && --this.#count < 1)) {
      this.#count = 0;
      this.#began = Promise.withResolvers();
    }
  }
}
