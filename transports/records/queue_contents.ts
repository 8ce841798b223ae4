import type { CallOptions } from "../../model/call_options.ts";
import { inSteps } from "../../async/steps.ts";
import type { Database } from "./database.ts";
import {
  isOrphan,
  isReady,
  QUARANTINE,
  rangeOf,
  readMessageId,
} from "./ids.ts";
import type { Row } from "./records.ts";
import type { Tables } from "./tables.ts";

/** Counts and empties queues: reads names and revisions alone. */
export class QueueContents {
  readonly #database: Database;
  readonly #topology: Tables;

  /** Makes one over a database. */
  constructor(database: Database, topology: Tables) {
    this.#database = database;
    this.#topology = topology;
  }

  /** Counts the ready messages. */
  async count(queue: string, options?: CallOptions): Promise<number> {
    let count = 0;
    const { born } = this.#topology.traits(queue);
    const action = `count messages of queue "${queue}"`;
    const pages = this.#database.pages(action, rangeOf(queue), options);
    for await (const page of pages) {
      for (const row of page) if (this.#isReady(row, born)) count++;
    }
    return count;
  }

  /** Removes the ready messages; returns how many. */
  purge(queue: string, options?: CallOptions): Promise<number> {
    const { born } = this.#topology.traits(queue);
    const goes = (row: Row) => this.#isReady(row, born);
    return this.#clear(queue, rangeOf(queue), goes, options);
  }

  /**
   * Removes what is left of a queue that was deleted, and what is in its quarantine.
   * A message that is taken goes when it is settled.
   *
   * @param queue The queue.
   * @param born The generation that had declared it: one of the same name may be there by now.
   * @param options The call's limits.
   * @returns How many were ready.
   */
  async delete(
    queue: string,
    born: number | undefined,
    options?: CallOptions,
  ): Promise<number> {
    const [start, end] = rangeOf(queue);
    const isOld = (id: string) =>
      (readMessageId(id).born ?? -Infinity) <= (born ?? Infinity);
    const quarantined = ({ id }: Row) => isOld(id.slice(QUARANTINE.length));
    const goes = ({ id, revision }: Row) => isReady(revision) && isOld(id);
    const [count] = await Promise.all([
      this.#clear(queue, [start, end], goes, options),
      this.#clear(
        queue,
        [QUARANTINE + start, QUARANTINE + end],
        quarantined,
        options,
      ),
    ]);
    return count;
  }

  /** Removes the rows of a range that are to go; returns how many of them were ready. */
  async #clear(
    queue: string,
    range: readonly [string, string],
    goes: (row: Row) => boolean,
    options?: CallOptions,
  ): Promise<number> {
    let count = 0;
    const action = `empty queue "${queue}"`;
    const remove = async (row: Row) => {
      const { type } = await this.#database.remove(action, row);
      if (type === "written" && this.#isReady(row)) count++;
    };
    await inSteps(async (change) => {
      const pages = this.#database.pages(action, range, options);
      for await (const page of pages) {
        const going = page.filter(goes).map((row) => change(remove(row)));
        await Promise.all(going);
      }
    });
    return count;
  }

  #isReady({ id, revision }: Row, born?: number): boolean {
    if (!isReady(revision)) return false;
    const message = readMessageId(id);
    if (isOrphan(message, born)) return false;
    const { delayed, time, expires } = message;
    const now = this.#database.now();
    return expires > now && !(delayed && time > now);
  }
}
