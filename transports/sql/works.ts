import { Batcher } from "../../async/batcher.ts";
import type { Clock } from "../../async/clock.ts";
import { Limits } from "../../async/limits.ts";
import { Pauses } from "../../async/pause.ts";
import type { CallOptions } from "../../model/call_options.ts";
import { asError } from "../../model/error_text.ts";
import { TimeoutError } from "../../model/errors.ts";
import { endedMeanwhile, notAnswered } from "../connection_errors.ts";
import { isOfOne, mayPass } from "./errors.ts";
import type { Sql, Tx } from "./port.ts";
import { writeSizes } from "./sizes.ts";

/**
 * Does calls that stand one after another, in one go: a result for each, in order. It may
 * be over before its results are, where all of its statements are on their way.
 */
export type Verb<C, R> = (
  tx: Tx,
  calls: readonly C[],
) => Promise<readonly (R | Promise<R>)[]>;

/** Makes a verb of what does one call: each by itself, one after another. */
export function each<C, R>(
  one: (tx: Tx, call: C) => Promise<R>,
): (tx: Tx, calls: readonly C[]) => Promise<readonly R[]> {
  return async (tx, calls) => {
    const results: R[] = [];
    for (const call of calls) results.push(await one(tx, call));
    return results;
  };
}

/** A call, and what does it. */
interface Job {
  readonly action: string;
  readonly verb: Verb<never, unknown>;
  readonly call: unknown;
  readonly more: DoOptions;
}

/** What else is known of a call. */
export interface DoOptions {
  /** How much it adds to a transaction. @default {0} */
  readonly bytes?: number | undefined;
  /** Whether the disk need not be waited for: what it does may be done again. @default {false} */
  readonly lazy?: boolean | undefined;
  /** Says whether it may change declarations. @default {it does not} */
  readonly alone?: (() => boolean) | undefined;
}

/** The most calls, and bytes of bodies, of one transaction. */
const [COUNT, BYTES] = [500, 8_000_000];

/** How long a transaction is tried that is refused for a reason that passes, and the pauses between, ms. */
const [PATIENCE, FIRST_PAUSE, MAX_PAUSE] = [5000, 20, 500];

/**
 * Does the calls of one turn of the event loop in one transaction, in the order in which
 * they came: each of them is over when all of it is on the disk.
 */
export class Works {
  readonly #jobs: Batcher<Job, unknown>;
  readonly #limits: Limits;
  readonly #sql: Sql;
  readonly #clock: Clock;
  /** Before what was refused is tried again. */
  readonly #pauses: Pauses;
  /** Why the database refuses for now what waits. */
  #refusal: Error | undefined;

  /** Makes one over a database. */
  constructor(sql: Sql, clock: Clock) {
    const limits = this.#limits = new Limits(clock);
    this.#sql = sql;
    this.#clock = clock;
    this.#pauses = new Pauses(clock);
    this.#jobs = new Batcher({
      limits,
      count: COUNT,
      bytes: BYTES,
      atOnce: 1,
      bytesOf: ({ more }) => more.bytes ?? 0,
      actionOf: ({ action }) => action,
      late: ({ action }) => this.late(action),
      heedsDeadline: false,
      send: (jobs) => this.#doPatiently(jobs),
    });
  }

  /** Makes the error of a call whose time is over. */
  late(action: string): TimeoutError {
    const cause = this.#refusal;
    return cause === undefined
      ? notAnswered(action, "unknown", "the database")
      : new TimeoutError(`Cannot ${action} in time: ${cause.message}`, {
        cause,
        outcome: "unknown",
      });
  }

  /** Ends with its database: nobody waits any more, and nothing is tried again. */
  end(): void {
    this.#pauses.end();
    this.#limits.end(() => endedMeanwhile(undefined));
  }

  /**
   * Does a call with the next transaction.
   *
   * @param action The action, for errors: follows `Cannot `.
   * @param verb Does it.
   * @param call What the verb is given.
   * @param options The call's limits.
   * @param more What else is known of it.
   * @returns Its result.
   */
  do<C, R>(
    action: string,
    verb: Verb<C, R>,
    call: C,
    options?: CallOptions,
    more: DoOptions = {},
  ): Promise<R> {
    // The verb is given its own calls alone, and its result is its own.
    const job = { action, verb: verb as Verb<never, unknown>, call, more };
    return this.#jobs.add(job, options) as Promise<R>;
  }

  /** Does calls; what the database refuses for a reason that passes is tried again for a while. */
  async #doPatiently(jobs: readonly Job[]): Promise<readonly unknown[]> {
    const until = this.#clock.now() + PATIENCE;
    for (let pause = FIRST_PAUSE;; pause = Math.min(2 * pause, MAX_PAUSE)) {
      try {
        const results = await doTogether(this.#sql, jobs);
        this.#refusal = undefined;
        return results;
      } catch (error) {
        const passes = mayPass(error);
        this.#refusal = passes ? asError(error) : undefined;
        const isOver = !passes || this.#pauses.hasEnded ||
          this.#clock.now() > until;
        if (isOver) return await doApart(this.#sql, jobs, error);
      }
      await this.#pauses.wait(pause);
    }
  }
}

/** Does calls in one transaction. */
function doTogether(
  sql: Sql,
  jobs: readonly Job[],
): Promise<readonly unknown[]> {
  return sql.transact(async (tx) => {
    const results = await doAll(tx, jobs);
    await writeSizes(tx);
    return results;
  }, {
    lazy: jobs.every(({ more }) => more.lazy),
    alone: jobs.some(({ more }) => more.alone?.()),
  });
}

/**
 * Does calls whose transaction was refused. One of them may be the reason: so each half is
 * done by itself, and in the end that one fails alone.
 */
async function doApart(
  sql: Sql,
  jobs: readonly Job[],
  error: unknown,
): Promise<readonly unknown[]> {
  if (jobs.length === 1 || !isOfOne(error)) {
    const failed = Promise.reject(error);
    failed.catch(() => {}); // who called is told
    return jobs.map(() => failed);
  }
  const half = jobs.length >> 1;
  const results: unknown[] = [];
  for (const part of [jobs.slice(0, half), jobs.slice(half)]) {
    const done = await doTogether(sql, part)
      .catch((error) => doApart(sql, part, error));
    results.push(...done);
  }
  return results;
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
    for (const each of await verb(tx, calls)) {
      // Where another one fails first, that says why.
      if (each instanceof Promise) each.catch(() => {});
      results.push(each);
    }
    from = to;
  }
  return await Promise.all(results);
}
