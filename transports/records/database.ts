import { Limits } from "../../async/limits.ts";
import type { Clock } from "../../async/clock.ts";
import type { CallOptions } from "../../model/call_options.ts";
import { after } from "./ids.ts";
import type { Draft, Fields, Range, Records, Row, Written } from "./records.ts";
import { WriteBatcher } from "./write_batcher.ts";

/** A record whose fields were read. */
export type FullRow = Row & { readonly fields: Fields };

/** A record that was written. */
export type WrittenRecord = Pick<Row, "id" | "revision">;

/** How many rows are listed at once where all are wanted. */
const PAGE = 5000;

/** The verbs of `Records`, and what follows from them. */
export class Database {
  readonly #records: Records;
  readonly #limits: Limits;
  readonly #writes: WriteBatcher;

  /** Makes one over the verbs. */
  constructor(records: Records, clock: Clock) {
    this.#records = records;
    this.#limits = new Limits(clock);
    this.#writes = new WriteBatcher(records, this.#limits);
  }

  /** The time that all go by who share the database, ms since 1970. */
  now(): number {
    return this.#records.now();
  }

  /** Lists a range of ids, in their order. */
  list(
    action: string,
    range: Range,
    options?: CallOptions,
  ): Promise<readonly Row[]> {
    const refusal = this.#limits.refusal(options, action);
    return refusal === undefined
      ? this.#records.list(range, { ...options, action })
      : Promise.reject(refusal);
  }

  /** Lists all ids of a range, page by page. */
  async *pages(
    action: string,
    [start, end]: readonly [string, string],
    options?: CallOptions,
  ): AsyncIterable<readonly Row[]> {
    for (let from = start;;) {
      const range = { start: from, end, limit: PAGE, withFields: false };
      const rows = await this.list(action, range, options);
      yield rows;
      const last = rows.at(-1);
      if (last === undefined || rows.length < PAGE) return;
      from = after(last.id);
    }
  }

  /** Reads records by their ids; those that are gone are left out. */
  async read(
    action: string,
    ids: readonly string[],
    options?: CallOptions,
  ): Promise<readonly FullRow[]> {
    if (ids.length === 0) return [];
    this.#limits.check(options, () => action);
    return (await this.#records.read(ids, { ...options, action })).filter(
      isFull,
    );
  }

  /** Reads a record, unless it still has a revision: then `"same"`. */
  async readUnless(
    action: string,
    id: string,
    revision: string,
    options?: CallOptions,
  ): Promise<FullRow | "same" | undefined> {
    this.#limits.check(options, () => action);
    const call = { ...options, action };
    if (this.#records.readUnless !== undefined) {
      const found = await this.#records.readUnless(id, revision, call);
      return found === "same" || (found && isFull(found)) ? found : undefined;
    }
    const range = { start: id, end: after(id), limit: 1, withFields: false };
    const [row] = await this.#records.list(range, call);
    if (row === undefined) return undefined;
    if (row.revision === revision) return "same";
    return (await this.read(action, [id], options))[0];
  }

  /** Whether {@linkcode wasRemoved} tells removed records apart. */
  get remembersRemoved(): boolean {
    return this.#records.wasRemoved !== undefined;
  }

  /** Says whether a record was removed right after one of its revisions: by nobody who had taken it since. */
  async wasRemoved(id: string, revision: string): Promise<boolean> {
    const call = { action: "look what became of a message" };
    return await this.#records.wasRemoved?.(id, revision, call) ?? false;
  }

  /** Writes a record with others of the same turn. */
  write(draft: Draft, options?: CallOptions): Promise<Written> {
    return this.#writes.write(draft, options);
  }

  /** Removes a record with others of the same turn. */
  remove(
    action: string,
    { id, revision }: WrittenRecord,
    options?: CallOptions,
  ): Promise<Written> {
    return this.write({ id, revision, fields: undefined, action }, options);
  }

  /** Watches no deadline any more: the connection has ended. */
  close(): void {
    this.#limits.clear();
  }
}

function isFull(row: Row): row is FullRow {
  return row.fields !== undefined;
}
