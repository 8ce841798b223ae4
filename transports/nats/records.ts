/** The declarations and marks of all connections: a bucket of keys and values, which `nats kv ls` shows. */

import { decodeBase64 } from "../../codec/mod.ts";
import { ResponseTooLargeError } from "../../model/response_limit.ts";
import type {
  Fields,
  Records,
  RecordsCall,
  RecordsLimits,
} from "../records/records.ts";
import type { Draft, Range, Row, Written } from "../records/records.ts";
import { TOPOLOGY_ID } from "../records/ids.ts";
import { connectionLost } from "../connection_errors.ts";
import type { CloseReason } from "../transport.ts";
import { answerOf } from "./answers.ts";
import { pastElections } from "./elections.ts";
import { CODES, isOf } from "./errors.ts";
import { cutSize } from "./headers.ts";
import type { NatsContext } from "./context.ts";
import { idOf, keyOf, readValue } from "./keys.ts";
import { readPages, removeStored, type Stored } from "./reader.ts";

/** How many keys are read at once. */
const PAGE = 500;

/** A value, and where it lies. */
export interface Kept {
  readonly sequence: number;
  readonly value: Readonly<Record<string, unknown>>;
}

/** What is declared, as it was read or written last. */
interface Declared {
  readonly count: number;
  readonly fields: Fields;
  /** Since when: it stays as long as the declarations do, and is chance. */
  readonly since: string;
}

/**
 * A bucket as `nats kv` knows it, but that its keys go without leaving a mark. An operator
 * may delete it, or what is declared in it: who notices writes what was declared into a new
 * one, and all connections begin anew, for others may have known of more.
 */
export class Bucket implements Records {
  readonly limits: RecordsLimits;
  readonly isPersistent = true;
  readonly closed: Promise<CloseReason>;
  readonly #context: NatsContext;
  readonly #stream: string;
  readonly #root: string;
  /** How the subjects begin by which values are put. */
  readonly #putRoot: string;
  /** Whether the declarations were written since they were read. */
  #isOld = true;
  #seen: string | undefined;
  #declared: Declared | undefined;
  #madeAt = -Infinity;
  #opening: Promise<boolean> | undefined;
  #beginning: Promise<void> | undefined;

  /** Makes one that is not there yet. */
  constructor(context: NatsContext) {
    const { client, settings: { api, domain, prefix }, lifeline } = context;
    this.#context = context;
    this.#stream = `KV_${prefix}`;
    this.#root = `$KV.${prefix}.`;
    // No leaf node passes subjects of buckets on, but those of its hub's API.
    this.#putRoot = domain === undefined ? this.#root : `${api}.${this.#root}`;
    this.closed = lifeline.closed;
    this.limits = { recordBytes: client.maxPayload - 1024 };
    client.listen(this.#root + TOPOLOGY_ID, () => this.#isOld = true);
  }

  /** Since when the declarations are there, as they were seen last. */
  get since(): string {
    return this.#declared?.since ?? "";
  }

  /** How long the bucket has been there, ms. */
  get age(): number {
    return this.now() - this.#madeAt;
  }

  /** Makes it, unless it is there; says whether it did. */
  async open(): Promise<boolean> {
    const { client, settings: { replicas } } = this.#context;
    try {
      return await this.#look();
    } catch (error) {
      if (!isOf(error, CODES.streamNotFound)) throw error;
    }
    try {
      const { created } = await client.call(`STREAM.CREATE.${this.#stream}`, {
        name: this.#stream,
        subjects: [`${this.#root}>`],
        // No number is given twice: values are replaced and removed by theirs.
        first_seq: client.freshSequence(),
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
      this.#madeAt = Date.parse(String(created));
      return true;
    } catch (error) {
      if (!isOf(error, CODES.streamInUse)) throw error;
      return await this.#look();
    }
  }

  async #look(): Promise<false> {
    const { client } = this.#context;
    const { created } = await client.call(`STREAM.INFO.${this.#stream}`);
    this.#madeAt = Date.parse(String(created));
    return false;
  }

  /** Calls; where the bucket is not there any more it is made again, and the connection ends. */
  #call<T>(call: () => Promise<T>): Promise<T> {
    const mayPass = (error: unknown) => this.#mayPass(error);
    return pastElections(this.#context.client, call, mayPass);
  }

  async #mayPass(error: unknown): Promise<boolean> {
    const isGone = isOf(error, CODES.streamNotFound);
    if (!isGone && !isOf(error, CODES.noResponders)) return false;
    const isNew = await (this.#opening ??= this.open().finally(() => {
      this.#opening = undefined;
    }));
    if (isGone || isNew) {
      await this.#beginAnew();
      return false;
    }
    // It is there: its servers elect a leader, or ours has not heard of it yet.
    return true;
  }

  /** Writes what was declared again, unless somebody has, and ends the connection. */
  #beginAnew(): Promise<void> {
    return this.#beginning ??= (async () => {
      const { client, settings: { broker, prefix }, lifeline } = this.#context;
      if (this.#declared !== undefined) {
        const { count, fields } = this.#declared;
        await this.#putDeclared(count + 1, fields, crypto.randomUUID(), 0);
      }
      lifeline.lose(connectionLost(
        broker,
        `bucket "${prefix}" of what is declared was deleted, or emptied; it is made again, with what this connection knew of`,
      ));
      client.destroy();
    })().finally(() => this.#beginning = undefined);
  }

  async #putDeclared(
    count: number,
    fields: Fields,
    since: string,
    over: number,
  ): Promise<number | undefined> {
    const value = { revision: count, since, fields };
    const [written] = await Promise.all([
      this.put(keyOf(TOPOLOGY_ID), value, over),
      // As connections listen to it, nobody tells that no stream does.
      this.#call(() => this.#look()),
    ]);
    if (written !== undefined) this.#declared = { count, fields, since };
    return written;
  }

  now(): number {
    return this.#context.client.now();
  }

  async list(
    { start, end, limit, withFields }: Range,
    _: RecordsCall,
  ): Promise<readonly Row[]> {
    const rows: Row[] = [];
    for (const { sequence, subject, message } of await this.#values(">")) {
      const id = idOf(subject.slice(this.#root.length));
      if (id < start || id >= end) continue;
      const value = readValue(id, message.data);
      const row = rowOf(id, { sequence, value });
      rows.push(withFields ? row : { ...row, fields: undefined });
    }
    return rows.sort((a, b) => a.id < b.id ? -1 : 1).slice(0, limit);
  }

  /** Reads the values of all keys that fit a pattern of NATS. */
  #values(pattern: string): Promise<readonly Stored[]> {
    const { client, settings: { maxResponseSize } } = this.#context;
    return this.#call(async () => {
      const all: Stored[] = [];
      const subject = this.#root + pattern;
      const pages = readPages(client, this.#stream, subject, { batch: PAGE });
      for await (const page of pages) {
        for (const each of page) {
          if (cutSize(each.message) > 0) {
            throw new ResponseTooLargeError(maxResponseSize);
          }
          // What an operator's `nats kv del` leaves is empty.
          if (each.message.data.length > 0) all.push(each);
        }
      }
      return all;
    });
  }

  async read(ids: readonly string[], _: RecordsCall): Promise<readonly Row[]> {
    const found = await Promise.all(ids.map(async (id) => {
      const kept = await this.get(keyOf(id));
      return kept === undefined ? [] : [rowOf(id, kept)];
    }));
    return found.flat();
  }

  /** Reads what is declared. What was written before this call is told of when the server has answered. */
  async readUnless(
    id: string,
    revision: string,
  ): Promise<Row | "same" | undefined> {
    await this.#context.client.flush();
    if (!this.#isOld && revision === this.#seen) return "same";
    // Behind a leaf node nothing is told of.
    this.#isOld = this.#context.settings.domain !== undefined;
    try {
      const kept = await this.get(keyOf(id));
      const since = kept === undefined
        ? undefined
        : String(kept.value.since ?? "");
      const known = this.#declared;
      if (known !== undefined && since !== known.since) {
        await this.#beginAnew();
        throw new Error("the declarations are others");
      }
      if (kept === undefined || since === undefined) {
        return this.#seen = undefined;
      }
      const row = rowOf(id, kept);
      const count = Number(kept.value.revision);
      if (count >= (known?.count ?? 0)) {
        this.#declared = { count, fields: row.fields ?? {}, since };
      }
      this.#seen = row.revision;
      return row.revision === revision ? "same" : row;
    } catch (error) {
      this.#isOld = true;
      throw error;
    }
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
    const written = id === TOPOLOGY_ID
      ? await this.#putDeclared(
        next,
        fields,
        at === 0 ? crypto.randomUUID() : this.since,
        at,
      )
      : await this.put(keyOf(id), { revision: next, fields }, at);
    return written === undefined
      ? { type: "conflict" }
      : { type: "written", revision: `${next}-${written}` };
  }

  /** Reads a value. */
  async get(key: string): Promise<Kept | undefined> {
    const { client } = this.#context;
    try {
      const { message } = await this.#call(() =>
        client.call(
          `STREAM.MSG.GET.${this.#stream}`,
          { last_by_subj: this.#root + key },
        )
      );
      const { seq, data } = Object(message);
      if (data === undefined) {
        // The mark of an operator's `nats kv del`, over which nothing new is written.
        await this.remove(Number(seq));
        return undefined;
      }
      const value = readValue(key, decodeBase64(String(data)));
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
    const subject = this.#putRoot + key;
    try {
      const { seq } = await this.#call(async () =>
        answerOf(
          await this.#context.client.request(
            subject,
            JSON.stringify(value),
            head,
          ),
        )
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
    const all = await this.#values(pattern);
    return all.map(({ subject }) => subject.slice(this.#root.length));
  }

  /** Removes a value by where it lies; says whether it was there. */
  async remove(sequence: number): Promise<boolean> {
    const { client } = this.#context;
    return await this.#call(() => removeStored(client, this.#stream, sequence));
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

function rowOf(id: string, { sequence, value }: Kept): Row {
  const fields: Fields = Object(value.fields);
  return { id, revision: `${Number(value.revision)}-${sequence}`, fields };
}
