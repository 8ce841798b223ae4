import type { Clock } from "../../async/clock.ts";
import type { Happening } from "./port.ts";

/** Called for what happens. Must not throw. */
type Listener = (happening: Happening) => void;

/** How it is looked for what nobody tells. */
export interface Looking {
  readonly clock: Clock;
  /** How often, ms; `undefined`: never, for nothing happens elsewhere. */
  readonly pause: () => number | undefined;
  /** Whether something may have happened. */
  readonly look: () => boolean;
}

/** Those who listen to what happens in a database: it is looked for while there are any. */
export class Listeners {
  readonly #looking: Looking;
  readonly #all = new Set<Listener>();
  #stopTimer: (() => void) | undefined;

  /** Makes none. */
  constructor(looking: Looking) {
    this.#looking = looking;
  }

  /** Adds one; returns a function that removes it. */
  add(listener: Listener): () => void {
    this.#all.add(listener);
    if (this.#stopTimer === undefined) this.#lookLater();
    return () => {
      this.#all.delete(listener);
      if (this.#all.size === 0) this.end();
    };
  }

  /** Tells all of them. */
  tell(happening: Happening): void {
    for (const listener of [...this.#all]) listener(happening);
  }

  /** Looks no more. */
  end(): void {
    this.#stopTimer?.();
    this.#stopTimer = undefined;
  }

  #lookLater(): void {
    const { clock, pause, look } = this.#looking;
    const ms = pause();
    if (ms === undefined) return;
    this.#stopTimer = clock.timer(() => {
      this.#lookLater();
      if (look()) this.tell(undefined);
    }, ms);
  }
}
