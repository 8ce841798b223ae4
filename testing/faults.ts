import { OptionError } from "../model/errors.ts";
import { quote } from "../model/foreign_text.ts";
import {
  checkKnown,
  type KnownOptions,
  optionsOf,
} from "../messaging/known_options.ts";
import { checkCount, checkDelay } from "../messaging/operation_options.ts";
import { nearest } from "../url/nearest.ts";

/**
 * A verb of the broker. `declare` is of queues and exchanges, `delete` too; `reject` is what
 * puts a message back, as a retry does, and `park` what makes it a dead letter.
 */
export type FaultVerb =
  | "connect"
  | "declare"
  | "bind"
  | "check"
  | "delete"
  | "purge"
  | "publish"
  | "consume"
  | "get"
  | "ack"
  | "reject"
  | "park";

const VERBS: readonly FaultVerb[] = [
  "connect",
  "declare",
  "bind",
  "check",
  "delete",
  "purge",
  "publish",
  "consume",
  "get",
  "ack",
  "reject",
  "park",
];

/** Which calls of a verb a fault happens to, counted from when it is ordered, on all connections. */
export interface FaultOptions {
  /** The first call that it happens to, from 1: the next one. @default {1} */
  readonly call?: number | undefined;
  /** How many calls in a row it happens to; `Infinity` is all from then on. @default {1} */
  readonly times?: number | undefined;
}

/** Options of {@linkcode Faults.refuse}. */
export interface RefuseOptions extends FaultOptions {
  /** The error that the call rejects with. @default {that of a broker that refuses it for good; of `connect`, that nobody listens} */
  readonly error?: Error | undefined;
}

/** Options of {@linkcode Faults.lose}. */
export interface LoseOptions extends FaultOptions {
  /**
   * Whether the broker does what it is asked to, and only its answer is lost: a message that
   * is published again is then there twice. @default {false}
   */
  readonly done?: boolean | undefined;
}

/** A fault that was ordered. */
export interface Fault {
  /** How many calls it has happened to. */
  readonly hits: number;
  /** Calls it off. */
  cancel(): void;
}

/** What happens to a call: at the transport. */
export type Mishap =
  | { readonly type: "refuse"; readonly error: Error | undefined }
  | { readonly type: "delay"; readonly duration: number }
  | { readonly type: "lose"; readonly done: boolean };

const COUNTS = { call: true, times: true } as const;
const DELAY: KnownOptions = optionsOf<FaultOptions>("faults.delay", COUNTS);
const REFUSE: KnownOptions = optionsOf<RefuseOptions>("faults.refuse", {
  ...COUNTS,
  error: true,
});
const LOSE: KnownOptions = optionsOf<LoseOptions>("faults.lose", {
  ...COUNTS,
  done: "boolean",
});

/**
 * The faults of a test's broker, to order. Each happens to the calls of one verb that it was
 * ordered for; where several meet, a call is first late, and then lost or refused.
 *
 * @example The answer to the second publish is lost
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Queue } from "@dashi/mq";
 * import { createTestBroker } from "@dashi/mq/testing";
 *
 * await using broker = createTestBroker();
 * const { connection, clock, faults, published } = broker;
 * await connection.declare(new Queue("orders"));
 * const lost = faults.lose("publish", { call: 2, done: true });
 *
 * await connection.send("orders", 1);
 * await clock.advanceUntil(connection.send("orders", 2));
 * assertEquals(lost.hits, 1);
 * assertEquals(published.map(({ payload }) => payload), [1, 2]);
 * // It was published again, and both are there.
 * assertEquals((await connection.queueStatus("orders")).messageCount, 3);
 * ```
 */
export interface Faults {
  /**
   * Lets calls reject. The broker does not do what it is asked to.
   *
   * @param verb The verb of the calls.
   * @param options Which of them, and the error.
   * @returns The fault.
   * @throws {OptionError} If the verb, or an option, is unknown or bad.
   * @throws {RangeError} If a number is out of range.
   */
  refuse(verb: FaultVerb, options?: RefuseOptions): Fault;
  /**
   * Lets calls reach the broker late. One whose `timeout` is over before rejects then, as it
   * would with a broker that does not answer.
   *
   * @param verb The verb of the calls.
   * @param duration Milliseconds, of the test's clock.
   * @param options Which of them.
   * @returns The fault.
   * @throws {OptionError} If the verb, or an option, is unknown or bad.
   * @throws {RangeError} If a number is out of range.
   */
  delay(verb: FaultVerb, duration: number, options?: FaultOptions): Fault;
  /**
   * Lets the connection that makes a call be lost meanwhile: messages that it holds go back,
   * and it connects again.
   *
   * @param verb The verb of the calls; to refuse `connect` is as good as to lose it.
   * @param options Which of them, and whether the broker had done it.
   * @returns The fault.
   * @throws {OptionError} If the verb, or an option, is unknown or bad.
   * @throws {RangeError} If a number is out of range.
   */
  lose(
    verb: Exclude<FaultVerb, "connect">,
    options?: LoseOptions,
  ): Fault;
  /** Calls off all faults that were ordered. */
  clear(): void;
}

/** Those that were ordered, as the transport meets them. */
export class OrderedFaults implements Faults {
  readonly #faults = new Set<Ordered>();

  refuse(verb: FaultVerb, options: RefuseOptions = {}): Fault {
    checkKnown(options, REFUSE);
    const { error } = options;
    if (error !== undefined && !(error instanceof Error)) {
      throw new OptionError(
        `Cannot use ${
          quote(error)
        } as the option "error" of faults.refuse: it must be an Error`,
      );
    }
    return this.#order(verb, options, { type: "refuse", error });
  }

  delay(
    verb: FaultVerb,
    duration: number,
    options: FaultOptions = {},
  ): Fault {
    checkDelay("duration", duration);
    checkKnown(options, DELAY);
    return this.#order(verb, options, { type: "delay", duration });
  }

  lose(
    verb: Exclude<FaultVerb, "connect">,
    options: LoseOptions = {},
  ): Fault {
    checkKnown(options, LOSE);
    if ((verb as FaultVerb) === "connect") {
      throw new OptionError(
        'Cannot lose "connect": a connection that is not there yet is refused, by faults.refuse("connect")',
      );
    }
    const { done = false } = options;
    return this.#order(verb, options, { type: "lose", done });
  }

  clear(): void {
    this.#faults.clear();
  }

  /**
   * Counts a call, for the transport.
   *
   * @param verb Its verb.
   * @returns What happens to it, delays first.
   */
  meet(verb: FaultVerb): readonly Mishap[] {
    if (this.#faults.size === 0) return NONE;
    const mishaps: Mishap[] = [];
    for (const fault of this.#faults) {
      if (fault.verb !== verb) continue;
      const { mishap } = fault;
      if (!fault.meets()) continue;
      if (mishap.type === "delay") mishaps.unshift(mishap);
      else mishaps.push(mishap);
    }
    return mishaps;
  }

  #order(verb: FaultVerb, options: FaultOptions, mishap: Mishap): Fault {
    checkVerb(verb);
    const { call = 1, times = 1 } = options;
    checkCount("call", call, Number.MAX_SAFE_INTEGER);
    if (times !== Infinity) checkCount("times", times, Number.MAX_SAFE_INTEGER);
    const ordered = new Ordered(verb, mishap, call, times);
    this.#faults.add(ordered);
    return {
      get hits() {
        return ordered.hits;
      },
      cancel: () => {
        this.#faults.delete(ordered);
      },
    };
  }
}

const NONE: readonly Mishap[] = [];

class Ordered {
  readonly verb: FaultVerb;
  readonly mishap: Mishap;
  readonly #first: number;
  readonly #times: number;
  #calls = 0;
  hits = 0;

  constructor(verb: FaultVerb, mishap: Mishap, first: number, times: number) {
    this.verb = verb;
    this.mishap = mishap;
    this.#first = first;
    this.#times = times;
  }

  /** Counts a call, and says whether it happens to it. */
  meets(): boolean {
    if (++this.#calls < this.#first || this.hits >= this.#times) return false;
    this.hits++;
    return true;
  }
}

function checkVerb(verb: string): void {
  const known: readonly string[] = VERBS;
  if (known.includes(verb)) return;
  const meant = typeof verb === "string" ? nearest(verb, known) : undefined;
  const right = meant === undefined
    ? `known are ${known.join(", ")}`
    : `did you mean "${meant}"?`;
  throw new OptionError(
    `Cannot use ${
      quote(verb)
    } as a verb of the broker: there is none; ${right}`,
  );
}
