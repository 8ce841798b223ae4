/** The declarations and marks of all connections: a bucket of keys and values, which `nats kv ls` shows. */

import { decodeBase64 } from "../../codec/mod.ts";
import type {
  Fields,
  Records,
  RecordsCall,
  RecordsLimits,
} from "../records/records.ts";
import type { Draft, Range, Row, Written } from "../records/records.ts";
import { TOPOLOGY_ID } from "../records/ids.ts";
import type { CloseReason } from "../transport.ts";
import { answerOf } from "./client.ts";
import { CODES, isOf } from "./errors.ts";
import type { NatsContext } from "./context.ts";
import { readPages, removeStored } from "./reader.ts";

const TEXT = new TextDecoder();

/** How many keys are read at once. */
const PAGE = 500;

/** A value, and where it lies. */
export interface Kept {
  readonly sequence: number;
  readonly value: Readonly<Record<string, unknown>>;
}

/** A bucket as `nats kv` knows it, but that its keys go without leaving a mark. */
export class Bucket implements Records {
  readonly limits: RecordsLimits;
  readonly isPersistent = true;
  readonly closed: Promise<CloseReason>;
  readonly #context: NatsContext;
  readonly #stream: string;
  readonly #root: string;
  /** Whether the declarations were written since they were read. */
  #isOld = true;
  #seen: string | undefined;

  /** Makes one that is not there yet. */
  constructor(context: NatsContext) {
    const { client, settings: { prefix }, lifeline } = context;
    this.#context = context;
    this.#stream = `KV_${prefix}`;
    this.#root = `$KV.${prefix}.`;
    this.closed = lifeline.closed;
    this.limits = { recordBytes: client.maxPayload - 1024 };
    client.listen(this.#root + TOPOLOGY_ID, () => this.#isOld = true);
  }

  /** Makes it, unless it is there. */
  async open(): Promise<void> {
    const { client, settings: { replicas } } = this.#context;
    try {
      await client.call(`STREAM.CREATE.${this.#stream}`, {
        name: this.#stream,
        subjects: [`${this.#root}>`],
        retention: "limits",
        storage: "file",
        num_replicas: replicas,
        discard: "new",
        max_msgs_per_subject: 1,
        max_age: 0,
        max_bytes: -1,
        max_msgs: -1,
        max_msg_size: -1,
        max_consumers: -1,
        allow_direct: true,
        allow_msg_ttl: true,
        allow_rollup_hdrs: true,
      });
    } catch (error) {
      if (!isOf(error, CODES.streamInUse)) throw error;
      await client.call(`STREAM.INFO.${this.#stream}`);
    }
  }

  now(): number {
    return this.#context.client.now();
  }

  async list(
    { start, end, limit, withFields }: Range,
    _: RecordsCall,
  ): Promise<readonly Row[]> {
    const { client } = this.#context;
    const rows: Row[] = [];
    const pages = readPages(client, this.#stream, `${this.#root}>`, {
      batch: PAGE,
    });
    for await (const page of pages) {
      for (const { sequence, subject, message } of page) {
        const id = idOf(subject.slice(this.#root.length));
        if (id < start || id >= end) continue;
        const value = JSON.parse(TEXT.decode(message.data));
        const row = rowOf(id, { sequence, value });
        rows.push(withFields ? row : { ...row, fields: undefined });
      }
    }
    return rows.sort((a, b) => a.id < b.id ? -1 : 1).slice(0, limit);
  }

  async read(ids: readonly string[], _: RecordsCall): Promise<readonly Row[]> {
    const found = await Promise.all(ids.map(async (id) => {
      const kept = await this.get(keyOf(id));
      return kept === undefined ? [] : [rowOf(id, kept)];
    }));
    return found.flat();
  }

  /** What was written before this call is told of when the server has answered. */
  async readUnless(
    id: string,
    revision: string,
    call: RecordsCall,
  ): Promise<Row | "same" | undefined> {
    await this.#context.client.flush();
    if (id === TOPOLOGY_ID && !this.#isOld && revision === this.#seen) {
      return "same";
    }
    this.#isOld = false;
    const [row] = await this.read([id], call).catch((error) => {
      this.#isOld = true;
      throw error;
    });
    this.#seen = row?.revision;
    return row !== undefined && row.revision === revision ? "same" : row;
  }

  async write(
    drafts: readonly Draft[],
    _: RecordsCall,
  ): Promise<readonly Written[]> {
    return await Promise.all(drafts.map((each) => this.#write(each)));
  }

  async #write({ id, revision = "0-0", fields }: Draft): Promise<Written> {
    const [count = "", sequence = ""] = revision.split("-");
    const at = Number(sequence);
    if (fields === undefined) {
      return await this.remove(at)
        ? { type: "written", revision }
        : { type: "conflict" };
    }
    const next = Number(count) + 1;
    const written = await this.put(keyOf(id), { revision: next, fields }, at);
    return written === undefined
      ? { type: "conflict" }
      : { type: "written", revision: `${next}-${written}` };
  }

  /** Reads a value. */
  async get(key: string): Promise<Kept | undefined> {
    const { client } = this.#context;
    try {
      const { message } = await client.call(
        `STREAM.MSG.GET.${this.#stream}`,
        { last_by_subj: this.#root + key },
      );
      const { seq, data } = Object(message);
      const value = JSON.parse(TEXT.decode(decodeBase64(String(data))));
      return { sequence: Number(seq), value };
    } catch (error) {
      if (isOf(error, CODES.messageNotFound)) return undefined;
      throw error;
    }
  }

  /** Writes a value over the one that lies there, 0 for none; `undefined`: it does not. A `ttl` is in seconds. */
  async put(
    key: string,
    value: Readonly<Record<string, unknown>>,
    over: number | undefined,
    ttl?: number,
  ): Promise<number | undefined> {
    const head =
      (over === undefined
        ? ""
        : `Nats-Expected-Last-Subject-Sequence: ${over}\r\n`) +
      (ttl === undefined ? "" : `Nats-TTL: ${ttl}s\r\n`);
    const subject = this.#root + key;
    try {
      const { seq } = answerOf(
        await this.#context.client.request(
          subject,
          JSON.stringify(value),
          head,
        ),
      );
      return Number(seq);
    } catch (error) {
      if (isOf(error, CODES.wrongSequence, CODES.wrongSequenceConstant)) {
        return undefined;
      }
      throw error;
    }
  }

  /** Lists the keys that fit a pattern of NATS. */
  async keys(pattern: string): Promise<readonly string[]> {
    const { client } = this.#context;
    const keys: string[] = [];
    const subject = this.#root + pattern;
    const pages = readPages(client, this.#stream, subject, {
      batch: PAGE,
    });
    for await (const page of pages) {
      for (const { subject } of page) {
        keys.push(subject.slice(this.#root.length));
      }
    }
    return keys;
  }

  /** Removes a value by where it lies; says whether it was there. */
  async remove(sequence: number): Promise<boolean> {
    const { client } = this.#context;
    return await removeStored(client, this.#stream, sequence);
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

/** Writes a text of ASCII as a key of one token: of its characters the tools take letters, digits, `-`, `_`, `/` and `=`. */
export function keyOf(id: string): string {
  return id.replace(
    /[^\w/-]/g,
    (char) => `=${char.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}

function idOf(key: string): string {
  return key.replace(
    /=([0-9a-f]{2})/g,
    (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

function rowOf(id: string, { sequence, value }: Kept): Row {
  const fields: Fields = Object(value.fields);
  return { id, revision: `${Number(value.revision)}-${sequence}`, fields };
}
