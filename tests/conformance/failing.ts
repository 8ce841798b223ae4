import { AccessRefusedError, ChannelError } from "../../model/errors.ts";
import type { Store } from "../../transports/store/mod.ts";
import { hasVerb, type PartChanges, type Verb, withParts } from "./parts.ts";

/** The errors that a verb fails with, by their kinds. */
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
  readonly #verb: Verb;
  readonly #error: () => Error;
  readonly #changes: (store: Store) => PartChanges;
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
   * @param changes The changes to the store: a verb that it lacks, or a limit.
   */
  constructor(
    verb: Verb,
    error: () => Error,
    changes: (store: Store) => PartChanges = () => ({}),
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
    this.isThere = hasVerb(store, this.#verb, changes);
    return withParts(store, changes, (verb, call) => {
      if (verb !== this.#verb) return call();
      this.calls++;
      if (!this.armed) return call();
      this.armed = false;
      this.failures++;
      this.#failed = true;
      return Promise.reject(this.#error());
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
