import type { CallOptions } from "../../model/call_options.ts";
import { ResponseTooLargeError } from "../../model/response_limit.ts";
import type { Answer, CouchdbClient } from "./client.ts";
import { after } from "./ids.ts";
import { type Draft, Writes, type Written } from "./writes.ts";

/** A document, as far as we look at it. */
export type Doc = Draft & { readonly _rev: string };

/** A row of a list: what is there. */
export interface Row {
  readonly id: string;
  readonly rev: string;
  /** Where documents were asked for. */
  readonly doc: Doc | undefined;
}

/** What to list. */
export interface Range {
  /** The first id. */
  readonly start: string;
  /** The id before which the list ends. */
  readonly end: string;
  /** The most rows. */
  readonly limit: number;
  /** Whether the documents are wanted. */
  readonly docs: boolean;
}

/** How many rows are listed at once where all are wanted. */
const PAGE = 5000;

/** The few requests that the store is made of. */
export class Database {
  readonly client: CouchdbClient;
  readonly #writes: Writes;

  /** Makes one over a client. */
  constructor(client: CouchdbClient) {
    this.client = client;
    this.#writes = new Writes(client);
  }

  /** Lists a range of ids, in their order. */
  async list(
    action: string,
    { start, end, limit, docs }: Range,
    options?: CallOptions,
  ): Promise<Row[]> {
    const key = (id: string) => encodeURIComponent(JSON.stringify(id));
    const path = `/_all_docs?startkey=${key(start)}&endkey=${
      key(end)
    }&inclusive_end=false&limit=${limit}${docs ? "&include_docs=true" : ""}`;
    const splits = docs && limit > 1;
    try {
      const { body } = await this.client.call(
        action,
        { method: "GET", path, splits },
        options,
      );
      return rowsOf(body);
    } catch (error) {
      if (!(error instanceof ResponseTooLargeError)) throw error;
    }
    // Large messages: half of them at a time.
    const half = Math.ceil(limit / 2);
    const range = { start, end, docs };
    const rows = await this.list(action, { ...range, limit: half }, options);
    const last = rows.at(-1);
    if (last === undefined || rows.length < half || half === limit) return rows;
    const rest = { ...range, start: after(last.id), limit: limit - half };
    return [...rows, ...await this.list(action, rest, options)];
  }

  /** Lists all ids of a range, page by page. */
  async *pages(
    action: string,
    [start, end]: readonly [string, string],
    options?: CallOptions,
  ): AsyncIterable<Row[]> {
    for (let from = start;;) {
      const range = { start: from, end, limit: PAGE, docs: false };
      const rows = await this.list(action, range, options);
      yield rows;
      const last = rows.at(-1);
      if (last === undefined || rows.length < PAGE) return;
      from = after(last.id);
    }
  }

  /** Reads documents by their ids; those that are gone are left out. */
  async read(
    action: string,
    ids: readonly string[],
    options?: CallOptions,
  ): Promise<Row[]> {
    if (ids.length === 0) return [];
    try {
      const { body } = await this.client.call(action, {
        method: "POST",
        path: "/_all_docs?include_docs=true",
        body: JSON.stringify({ keys: ids }),
        splits: ids.length > 1,
      }, options);
      return rowsOf(body);
    } catch (error) {
      if (!(error instanceof ResponseTooLargeError)) throw error;
    }
    const half = Math.ceil(ids.length / 2);
    return [
      ...await this.read(action, ids.slice(0, half), options),
      ...await this.read(action, ids.slice(half), options),
    ];
  }

  /** Says whether a document was removed right after one of its revisions: by nobody who had taken it since. */
  async wasRemoved(id: string, rev: string): Promise<boolean> {
    const { body } = await this.client.call("look what became of a message", {
      method: "POST",
      path: "/_all_docs",
      body: JSON.stringify({ keys: [id] }),
    });
    const [row] = Object(body).rows ?? [];
    const { rev: last, deleted } = Object(row?.value);
    return deleted === true && typeof last === "string" &&
      Number.parseInt(last, 10) === Number.parseInt(rev, 10) + 1;
  }

  /** Reads one document; a status of 304 where it is still the one of `etag`, of 404 where there is none. */
  get(
    action: string,
    id: string,
    etag: string | undefined,
    options?: CallOptions,
  ): Promise<Answer> {
    return this.client.call(action, {
      method: "GET",
      path: `/${encodeURIComponent(id)}`,
      etag,
      accept: [404],
    }, options);
  }

  /** Writes a document with others of the same turn. */
  write(doc: Draft, options?: CallOptions): Promise<Written> {
    return this.#writes.write(doc, options);
  }

  /** Removes a document: nothing of it is left but its name. */
  remove(id: string, rev: string): Promise<Written> {
    return this.write({ _id: id, _rev: rev, _deleted: true });
  }
}

function rowsOf(body: unknown): Row[] {
  if (typeof body !== "object" || body === null || !("rows" in body)) return [];
  if (!Array.isArray(body.rows)) return [];
  const rows: Row[] = [];
  for (const row of body.rows) {
    const { id, value, doc } = Object(row);
    // Of a key that is not there, or was deleted, there is no document.
    if (typeof id !== "string" || typeof value?.rev !== "string") continue;
    if (value.deleted === true) continue;
    rows.push({ id, rev: value.rev, doc: doc ?? undefined });
  }
  return rows;
}
