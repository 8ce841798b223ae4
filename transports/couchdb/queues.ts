import type { CallOptions } from "../../model/call_options.ts";
import type { Database, Row } from "./database.ts";
import { ASIDE, isReady, rangeOf, readMessageId } from "./ids.ts";

/** Counts and empties queues: reads names and revisions alone. */
export class Queues {
  readonly #database: Database;

  /** Makes one over a database. */
  constructor(database: Database) {
    this.#database = database;
  }

  /** Counts the ready messages. */
  async count(queue: string, options?: CallOptions): Promise<number> {
    let count = 0;
    const action = `count messages of queue "${queue}"`;
    const pages = this.#database.pages(action, rangeOf(queue), options);
    for await (const page of pages) {
      for (const row of page) if (this.#isReady(row)) count++;
    }
    return count;
  }

  /** Removes the ready messages; returns how many. */
  purge(queue: string, options?: CallOptions): Promise<number> {
    return this.#clear(queue, (row) => this.#isReady(row), options);
  }

  /** Removes all, what is held and what is in quarantine too; returns how many were ready. */
  async delete(queue: string, options?: CallOptions): Promise<number> {
    const [start, end] = rangeOf(queue);
    const [count] = await Promise.all([
      this.#clear(queue, () => true, options),
      this.#clearRange(
        queue,
        [ASIDE + start, ASIDE + end],
        () => true,
        options,
      ),
    ]);
    return count;
  }

  #clear(
    queue: string,
    goes: (row: Row) => boolean,
    options?: CallOptions,
  ): Promise<number> {
    return this.#clearRange(queue, rangeOf(queue), goes, options);
  }

  async #clearRange(
    queue: string,
    range: readonly [string, string],
    goes: (row: Row) => boolean,
    options?: CallOptions,
  ): Promise<number> {
    let count = 0;
    const action = `empty queue "${queue}"`;
    const pages = this.#database.pages(action, range, options);
    for await (const page of pages) {
      await Promise.all(
        page.filter(goes).map(async (row) => {
          const { type } = await this.#database.remove(row.id, row.rev);
          if (type === "written" && this.#isReady(row)) count++;
        }),
      );
    }
    return count;
  }

  #isReady({ id, rev }: Row): boolean {
    if (!isReady(rev)) return false;
    const { delayed, time, expires } = readMessageId(id);
    const now = this.#database.client.time.now();
    return expires > now && !(delayed && time > now);
  }
}
