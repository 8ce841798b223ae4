import { ResponseTooLargeError } from "../../model/response_limit.ts";
import type {
  Draft,
  Fields,
  OnChange,
  Range,
  Records,
  RecordsCall,
  RecordsLimits,
  Row,
  Written,
} from "../records/records.ts";
import type { CloseReason, ServerInfo } from "../transport.ts";
import type { CouchdbClient } from "./client.ts";
import { readRefusal, requestError } from "./errors.ts";
import type { DialOptions } from "./options.ts";

/** CouchDB 3's `max_document_size`, bytes. */
const MAX_DOCUMENT = 8_000_000;

/** How often the feed gives a sign of life where the connection has no heartbeat, ms. */
const HEARTBEAT = 30_000;

/** CouchDB by the verbs of `Records`: a record is a document, its fields beside `_id` and `_rev`. */
export class CouchdbRecords implements Records {
  readonly limits: RecordsLimits;
  readonly isPersistent = true;
  readonly closed: Promise<CloseReason>;
  readonly #client: CouchdbClient;
  readonly #heartbeat: number;
  /** The `ETag` of the document that was read last. */
  #read: { readonly revision: string; readonly etag: string } | undefined;

  /** Makes one over a client. */
  constructor(
    client: CouchdbClient,
    { lease, heartbeat }: Pick<DialOptions, "lease" | "heartbeat">,
  ) {
    this.limits = { recordBytes: MAX_DOCUMENT, lease };
    this.closed = client.closed;
    this.#client = client;
    this.#heartbeat = heartbeat > 0 ? heartbeat : HEARTBEAT;
  }

  now(): number {
    return this.#client.time.now();
  }

  async serverInfo(call: RecordsCall): Promise<ServerInfo> {
    const request = { method: "GET", path: "/", isOfServer: true } as const;
    const { body, date } = await this.#client.call(call.action, request, call);
    const { version } = Object(body);
    const time = Date.parse(date ?? "");
    return {
      product: "CouchDB",
      version: typeof version === "string" ? version : undefined,
      time: Number.isNaN(time) ? undefined : time,
      timeStep: 1000,
    };
  }

  async list(range: Range, call: RecordsCall): Promise<readonly Row[]> {
    const { start, end, limit, withFields } = range;
    const key = (id: string) => encodeURIComponent(JSON.stringify(id));
    const path = `/_all_docs?startkey=${key(start)}&endkey=${
      key(end)
    }&inclusive_end=false&limit=${limit}${
      withFields ? "&include_docs=true" : ""
    }`;
    const splits = withFields && limit > 1;
    try {
      const request = { method: "GET", path, splits } as const;
      return rowsOf((await this.#client.call(call.action, request, call)).body);
    } catch (error) {
      if (!(error instanceof ResponseTooLargeError)) throw error;
    }
    // Large messages: half of them at a time.
    const half = Math.ceil(limit / 2);
    const rows = await this.list({ ...range, limit: half }, call);
    const last = rows.at(-1);
    if (last === undefined || rows.length < half || half === limit) return rows;
    const rest = { ...range, start: `${last.id} `, limit: limit - half };
    return [...rows, ...await this.list(rest, call)];
  }

  async read(
    ids: readonly string[],
    call: RecordsCall,
  ): Promise<readonly Row[]> {
    try {
      const { body } = await this.#client.call(call.action, {
        method: "POST",
        path: "/_all_docs?include_docs=true",
        body: JSON.stringify({ keys: ids }),
        splits: ids.length > 1,
      }, call);
      return rowsOf(body);
    } catch (error) {
      if (!(error instanceof ResponseTooLargeError)) throw error;
    }
    const half = Math.ceil(ids.length / 2);
    return [
      ...await this.read(ids.slice(0, half), call),
      ...await this.read(ids.slice(half), call),
    ];
  }

  async readUnless(
    id: string,
    revision: string,
    call: RecordsCall,
  ): Promise<Row | "same" | undefined> {
    const { status, body, etag } = await this.#client.call(call.action, {
      method: "GET",
      path: `/${encodeURIComponent(id)}`,
      etag: this.#read?.revision === revision ? this.#read.etag : undefined,
      accept: [404],
    }, call);
    if (status === 304) return "same";
    if (status === 404) return undefined;
    const { _id, _rev, ...fields } = Object(body);
    if (etag !== null) this.#read = { revision: _rev, etag };
    return { id, revision: String(_rev), fields };
  }

  async wasRemoved(
    id: string,
    revision: string,
    call: RecordsCall,
  ): Promise<boolean> {
    const { body } = await this.#client.call(call.action, {
      method: "POST",
      path: "/_all_docs",
      body: JSON.stringify({ keys: [id] }),
    }, call);
    const [row] = Object(body).rows ?? [];
    const { rev: last, deleted } = Object(row?.value);
    return deleted === true && typeof last === "string" &&
      Number.parseInt(last, 10) === Number.parseInt(revision, 10) + 1;
  }

  async write(
    drafts: readonly Draft[],
    call: RecordsCall,
  ): Promise<readonly Written[]> {
    const { body } = await this.#client.call(call.action, {
      method: "POST",
      path: "/_bulk_docs",
      body: JSON.stringify({ docs: drafts.map(documentOf) }),
    }, call);
    const results: readonly unknown[] = Array.isArray(body) ? body : [];
    return drafts.map((draft, i) => writtenOf(draft, results[i]));
  }

  /** Follows the database's feed of changes: one request that goes on. */
  async watch(onChange: OnChange, call: RecordsCall): Promise<() => void> {
    const { body } = await this.#client.call(call.action, {
      method: "GET",
      path: "",
    }, call);
    // A number, or a text that only the server understands.
    const { update_seq: since } = Object(body);
    const path = `/_changes?feed=continuous&heartbeat=${
      Math.round(this.#heartbeat)
    }&since=${encodeURIComponent(since)}`;
    const abort = new AbortController();
    void this.#client.follow(path, abort.signal, (line) => {
      if (line !== "") readChange(line, onChange);
    });
    return () => abort.abort();
  }

  destroy(): void {
    void this.#client.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.close();
  }
}

function readChange(line: string, onChange: OnChange): void {
  let change: unknown;
  try {
    change = JSON.parse(line);
  } catch {
    return; // not of the feed: the next sweep finds what was behind it
  }
  const { id, changes, deleted } = Object(change);
  const revision: unknown = changes?.[0]?.rev;
  if (typeof id === "string" && typeof revision === "string") {
    onChange(id, revision, deleted === true);
  }
}

function documentOf({ id: _id, revision: _rev, fields }: Draft): Fields {
  if (fields === undefined) return { _id, _rev, _deleted: true };
  return _rev === undefined ? { _id, ...fields } : { _id, _rev, ...fields };
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
    rows.push({ id, revision: value.rev, fields: doc && fieldsOf(doc) });
  }
  return rows;
}

function fieldsOf({ _id, _rev, ...fields }: Fields): Fields {
  return fields;
}

function writtenOf({ action }: Draft, result: unknown): Written {
  if (typeof result === "object" && result !== null) {
    if ("rev" in result && typeof result.rev === "string") {
      return { type: "written", revision: result.rev };
    }
    if ("error" in result && result.error === "conflict") {
      return { type: "conflict" };
    }
  }
  const refusal = readRefusal(500, result);
  const status = STATUS[refusal.error] ?? refusal.status;
  return {
    type: "refused",
    error: requestError(action, { ...refusal, status }),
  };
}

/** CouchDB's words for one document of many, as statuses. */
const STATUS: Readonly<Record<string, number>> = {
  forbidden: 403,
  unauthorized: 403,
  document_too_large: 413,
  doc_validation: 400,
  bad_request: 400,
};
