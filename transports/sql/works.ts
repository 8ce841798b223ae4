import { Batcher } from "../../async/batcher.ts";
import type { Clock } from "../../async/clock.ts";
import { Limits } from "../../async/limits.ts";
import type { CallOptions } from "../../model/call_options.ts";
import { endedMeanwhile, notAnswered } from "../connection_errors.ts";
import type { Sql, Tx } from "./port.ts";

/** Does calls that stand one after another, in one go: a result for each, in order. */
export type Verb<C, R> = (
  tx: Tx,
  calls: readonly C[],
) => Promise<readonly (R | Promise<R>)[]>;

/** A call, and what does it. */
interface Job {
  readonly action: string;
  readonly verb: Verb<never, unknown>;
  readonly call: unknown;
  readonly bytes: number;
}

/** The most calls, and bytes of bodies, of one transaction. */
const [COUNT, BYTES] = [500, 8_000_000];

/**
 * Does the calls of one turn of the event loop in one transaction, in the order in which
 * they came: each of them is over when all of it is on the disk.
 */
export class Works {
  readonly #jobs: Batcher<Job, unknown>;
  readonly #limits: Limits;

  /** Makes one over a database. */
  constructor(sql: Sql, clock: Clock) {
    const limits = this.#limits = new Limits(clock);
    this.#jobs = new Batcher({
      limits,
      count: COUNT,
      bytes: BYTES,
      atOnce: 1,
      bytesOf: ({ bytes }) => bytes,
      actionOf: ({ action }) => action,
      late: ({ action }) => notAnswered(action, "unknown", "the database"),
      heedsDeadline: false,
      send: (jobs) => sql.transact((tx) => doAll(tx, jobs)),
    });
  }

  /** Ends with its database: nobody waits any more. */
  end(): void {
    this.#limits.end(() => endedMeanwhile(undefined));
  }

  /**
   * Does a call with the next transaction.
   *
   * @param action The action, for errors: follows `Cannot `.
   * @param verb Does it.
   * @param call What the verb is given.
   * @param options The call's limits.
   * @param bytes How much it adds to a transaction.
   * @returns Its result.
   */
  do<C, R>(
    action: string,
    verb: Verb<C, R>,
    call: C,
    options?: CallOptions,
    bytes = 0,
  ): Promise<R> {
    // The verb is given its own calls alone, and its result is its own.
    const job = { action, verb: verb as Verb<never, unknown>, call, bytes };
    return this.#jobs.add(job, options) as Promise<R>;
  }
}

async function doAll(
  tx: Tx,
  jobs: readonly Job[],
): Promise<readonly unknown[]> {
  const results: unknown[] = [];
  for (let from = 0; from < jobs.length;) {
    const verb = jobs[from]?.verb;
    if (verb === undefined) break;
    let to = from + 1;
    while (jobs[to]?.verb === verb) to++;
    const calls = jobs.slice(from, to).map(({ call }) => call as never);
    for (const each of await verb(tx, calls)) results.push(each);
    from = to;
  }
  return results;
}
