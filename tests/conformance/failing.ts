import { AccessRefusedError, ChannelError } from "../../model/errors.ts";
import type { Store } from "../../transports/store/mod.ts";

/** What a verb fails with, by its kind. */
export const FAILURES: Readonly<Record<string, () => Error>> = {
  "a passing error": () =>
    new ChannelError("Cannot do that now: the case lets it fail", {
      code: "channel-closed",
    }),
  "a final error": () =>
    new AccessRefusedError("Cannot do that: the case lets it fail"),
};

/** Lets a verb of a store fail once, each time it is armed. */
export class Failing {
  readonly #verb: keyof Store;
  readonly #error: () => Error;
  readonly #changes: (store: Store) => Partial<Store>;
  /** Whether the store has the verb. */
  isThere = false;
  /** How often the verb was called. */
  calls = 0;
  armed = false;
  failures = 0;
  /** Whether it has failed since it was asked last. */
  #failed = false;

  /**
   * Lets nothing fail yet.
   *
   * @param verb The verb.
   * @param error Makes what it fails with.
   * @param changes What is to be otherwise about the store: a verb that it lacks, or a limit.
   */
  constructor(
    verb: keyof Store,
    error: () => Error,
    changes: (store: Store) => Partial<Store> = () => ({}),
  ) {
    this.#verb = verb;
    this.#error = error;
    this.#changes = changes;
  }

  /** Lets it fail once more, unless it has since the last call. */
  again(): void {
    if (!this.#failed) this.armed = true;
  }

  /** From now on it may be let fail again. */
  rest(): void {
    this.armed = false;
    this.#failed = false;
  }

  /** Puts a store into one whose verb fails when it is told to. */
  wrap(store: Store): Store {
    const changes = this.#changes(store);
    this.isThere = this.#verb in changes || store[this.#verb] !== undefined;
    return new Proxy(store, {
      get: (target, key) => {
        const of = Object.hasOwn(changes, key) ? changes : target;
        const value: unknown = Reflect.get(of, key, of);
        if (typeof value !== "function") return value;
        if (key !== this.#verb) return value.bind(target);
        return (...given: unknown[]) => {
          this.calls++;
          if (!this.armed) return value.apply(target, given);
          this.armed = false;
          this.failures++;
          this.#failed = true;
          return Promise.reject(this.#error());
        };
      },
    });
  }
}

/** Tries until it succeeds: an operation that fails says so, and may be tried again. */
export async function persist<T>(action: () => Promise<T>): Promise<T> {
  for (let i = 0;; i++) {
    try {
      return await action();
    } catch (error) {
      if (i === 3) throw error;
    }
  }
}
