import { Batcher } from "../../async/batcher.ts";
import type { Limits } from "../../async/limits.ts";
import type { CallOptions } from "../../model/call_options.ts";
import { quote } from "../../model/foreign_text.ts";
import { invalidOption } from "../../url/options.ts";
import { notAnswered } from "../connection_errors.ts";
import { after } from "./ids.ts";
import type {
  Draft,
  Fields,
  Range,
  Records,
  RecordsLimits,
  Row,
  Written,
} from "./records.ts";

/** A record whose fields were read. */
export type FullRow = Row & { readonly fields: Fields };

/** A record that was written. */
export type WrittenRecord = Pick<Row, "id" | "revision">;

/** How many rows are listed at once where all are wanted. */
const PAGE = 5000;

/** Defaults of what one call of `write` takes: records, bytes, and calls under way. */
const [WRITE_COUNT, WRITE_BYTES, WRITES_AT_ONCE] = [1000, 8_000_000, 2];

/** Bytes of a record besides its texts, about. */
const OVERHEAD = 200;

/** The verbs of `Records`, and what follows from them. */
export class Database {
  readonly #records: Records;
  readonly #limits: Limits;
  readonly #writes: Batcher<Draft, Written>;

  /** Makes one over the verbs; `limits` watches the calls. Throws where the database's own cannot be used. */
  constructor(records: Records, limits: Limits) {
    checkLimits(records.limits);
    if (!Number.isFinite(records.now())) {
      throw mistake("now()", records.now(), "milliseconds since 1970");
    }
    this.#records = records;
    this.#limits = limits;
    const { writeCount, writeBytes, writesAtOnce } = records.limits;
    this.#writes = new Batcher({
      limits,
      count: writeCount ?? WRITE_COUNT,
      bytes: writeBytes ?? WRITE_BYTES,
      atOnce: writesAtOnce ?? WRITES_AT_ONCE,
      bytesOf,
      actionOf: ({ action }) => action,
      late: ({ action }) => notAnswered(action, "unknown", "the database"),
      joins: () => {
        // Of two writes of one record the second waits, as if they came in turn.
        const ids = new Set<string>();
        return ({ id }) => ids.size < ids.add(id).size;
      },
      send: (drafts) => this.#writeAll(drafts),
      heedsDeadline: false,
    });
  }

  /** The time that all go by who share the database, ms since 1970. */
  now(): number {
    return this.#records.now();
  }

  /** Lists a range of ids, in their order. */
  async list(
    action: string,
    range: Range,
    options?: CallOptions,
  ): Promise<readonly Row[]> {
    this.#limits.check(options, () => action);
    const rows = await this.#records.list(range, { ...options, action });
    checkRange(rows, range);
    return rows;
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
    const rows = await this.#records.read(ids, { ...options, action });
    checkRow(rows[0]);
    return rows.filter(isFull);
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
      if (found !== "same") checkRow(found);
      return found === "same" || (found && isFull(found)) ? found : undefined;
    }
    const range = { start: id, end: after(id), limit: 1, withFields: false };
    const [row] = await this.list(action, range, options);
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
    return this.#writes.add(draft, options);
  }

  async #writeAll(
    drafts: readonly Draft[],
  ): Promise<readonly (Written | Promise<Written>)[]> {
    const [first] = drafts;
    const isOne = drafts.every(({ action }) => action === first?.action);
    const action = isOne && first !== undefined
      ? first.action
      : "write records";
    const written = await this.#records.write(drafts, { action });
    return drafts.map(({ id, fields }, i) => {
      const result = written[i];
      if (result === undefined) {
        const text = `"${id}" was written with no result`;
        return Promise.reject(new TypeError(text));
      }
      if (result.type === "written" && fields !== undefined) {
        checkRevision(result.revision);
      }
      return result;
    });
  }

  /** Removes a record with others of the same turn. */
  remove(
    action: string,
    { id, revision }: WrittenRecord,
    options?: CallOptions,
  ): Promise<Written> {
    return this.write({ id, revision, fields: undefined, action }, options);
  }
}

/** Each limit is a number over zero; one that is Infinity, or an odd count, does no harm. */
function checkLimits(limits: RecordsLimits): void {
  for (const [name, value] of Object.entries(limits)) {
    if (value === undefined || (typeof value === "number" && value > 0)) {
      continue;
    }
    throw invalidOption(`limits.${name}`, value, "a number over 0");
  }
}

/*
 * Mistakes that are made in writing a transport, which the types of a client's rows do not
 * show. Nothing would ever be right with them, and what waits would wait without end. One
 * row of an answer tells, for the others are made alike.
 */

function checkRange(rows: readonly Row[], range: Range): void {
  const [first, last] = [rows[0], rows.at(-1)];
  if (first === undefined || last === undefined) return;
  checkRow(first);
  const { start, end, limit } = range;
  if (rows.length > limit) {
    throw mistake("number of rows", rows.length, `${limit} or less`);
  }
  if (first.id < start || first.id > last.id || last.id >= end) {
    const right = `in order, from ${quote(start)} to before ${quote(end)}`;
    const ids = `${quote(first.id)} to ${quote(last.id)}`;
    throw new TypeError(
      `Cannot use the rows of list(), ${ids}: they must be ${right}`,
    );
  }
}

function checkRow(row: Row | undefined): void {
  if (row === undefined) return;
  if (typeof row.id !== "string") throw mistake("id", row.id, "a string");
  checkRevision(row.revision);
}

function checkRevision(revision: unknown): void {
  if (typeof revision !== "string" || !/^[1-9]/.test(revision)) {
    throw mistake(
      "revision",
      revision,
      'a string that begins with a count, from 1 on: "3"',
    );
  }
}

function mistake(what: string, value: unknown, right: string): TypeError {
  const text = `Cannot use ${quote(value)} as the ${what} of a database`;
  return new TypeError(`${text}: it must be ${right}`);
}

/** The size of a record, about: exact where it matters, for its long texts. */
function bytesOf({ id, fields }: Draft): number {
  let bytes = id.length + OVERHEAD;
  for (const name in fields) {
    const value = fields[name];
    if (typeof value === "string") bytes += value.length;
  }
  return bytes;
}

function isFull(row: Row): row is FullRow {
  return row.fields !== undefined;
}
