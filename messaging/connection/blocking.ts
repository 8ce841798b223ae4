import type { ConnectionEvent } from "./connection_state.ts";

/** Whether the broker takes messages, by its `connection.blocked` and `connection.unblocked`. */
export class Blocking {
  #began = Promise.withResolvers<void>();
  /** How many of the connection's ways to the broker are blocked. */
  #count = 0;
  #reason: string | undefined;

  /** Why it takes none, in the broker's words; `undefined` while it takes them. */
  get reason(): string | undefined {
    return this.#reason;
  }

  /** Resolves when it takes none; at once if that is so already. */
  get begun(): Promise<void> {
    return this.#began.promise;
  }

  /** Hears of an event. */
  note(event: ConnectionEvent): void {
    const { type } = event;
    if (type === "blocked") {
      this.#count++;
      this.#reason = event.reason;
      this.#began.resolve();
    } else if (type === "lost" || (type === "unblocked" && --this.#count < 1)) {
      this.#count = 0;
      this.#reason = undefined;
      this.#began = Promise.withResolvers();
    }
  }
}
