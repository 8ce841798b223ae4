import type { CallOptions } from "../../model/call_options.ts";
import { PublishError, TimeoutError } from "../../model/errors.ts";
import { EnvelopeWriter } from "../store/envelope.ts";
import type { StoreItem } from "../store/store.ts";
import type { Database, Doc } from "./database.ts";
import { requestError } from "./errors.ts";
import { ASIDE, expiryId, IdMaker, rangeOf, readMessageId } from "./ids.ts";
import type { CouchdbReservation } from "./reservation.ts";
import type { SharedTopology } from "./topology.ts";
import type { Draft, Written } from "./writes.ts";

/** CouchDB 3's `max_document_size`, bytes. */
const LARGEST_DOCUMENT = 8_000_000;

/** How many messages are put back at once. */
const MAX_AT_ONCE = 10_000;

/** The largest body: in base64, with room for what is around it. */
export const LARGEST_BODY = 5_900_000;

/** A document that was written. */
export interface WrittenDoc {
  readonly id: string;
  readonly rev: string;
}

/** Writes messages into their queues. */
export class Putter {
  readonly #database: Database;
  readonly #topology: SharedTopology;
  readonly #ids = new IdMaker();
  readonly #envelopes = new EnvelopeWriter();

  /** Makes one over a database. */
  constructor(database: Database, topology: SharedTopology) {
    this.#database = database;
    this.#topology = topology;
  }

  /** Puts the copies of one message: all or none, but for a server that fails in the middle. */
  async put(
    items: readonly StoreItem[],
    options?: CallOptions,
  ): Promise<readonly WrittenDoc[]> {
    const [first] = items;
    if (first === undefined) return [];
    const envelope = this.#envelopes.write(first.message, crypto.randomUUID());
    refuseTooLarge(envelope.length);
    const writing: Promise<[string, Written]>[] = [];
    for (const item of items) {
      for (const doc of this.#docsOf(item, envelope)) {
        writing.push(
          this.#database.write(doc, options)
            .then((written) => [doc._id, written]),
        );
      }
    }
    const written: WrittenDoc[] = [];
    let failure: unknown;
    for (const each of await Promise.allSettled(writing)) {
      if (each.status === "rejected") {
        failure ??= each.reason;
        continue;
      }
      const [id, result] = each.value;
      if (result.type === "written") written.push({ id, rev: result.rev });
      else if (result.type === "refused") {
        failure ??= requestError("put a message", result.refusal);
      }
    }
    if (failure === undefined) return written;
    const takingBack = this.takeBack(written).catch(() => {});
    // Who is out of time does not wait for that, too.
    if (!isLate(failure, options)) await takingBack;
    throw failure;
  }

  /** Removes what was put for nothing. */
  async takeBack(written: readonly WrittenDoc[]): Promise<void> {
    await Promise.all(
      written.map(({ id, rev }) => this.#database.remove(id, rev)),
    );
  }

  /** Copies messages to where no consumer looks. */
  async setAside(reservations: readonly CouchdbReservation[]): Promise<void> {
    await Promise.all(reservations.map(async ({ doc }) => {
      const { _id, _rev, holder: _, ...rest } = doc;
      const written = await this.#database.write({ ...rest, _id: ASIDE + _id });
      // A conflict is the copy of an attempt before, whose end failed.
      if (written.type === "refused") {
        throw requestError("set a message aside", written.refusal);
      }
    }));
  }

  /** Lists what was set aside of a queue, the oldest first. */
  async listAside(
    queue: string,
    limit: number,
    options?: CallOptions,
  ): Promise<readonly Doc[]> {
    const [start, end] = rangeOf(queue);
    const rows = await this.#database.list(
      `list what is aside of queue "${queue}"`,
      { start: ASIDE + start, end: ASIDE + end, limit, docs: true },
      options,
    );
    return rows.map(({ doc }) => doc).filter((doc) => doc !== undefined)
      .sort((a, b) => timeOf(a) - timeOf(b));
  }

  /** Puts back what was set aside of a queue; returns what lies there now. */
  async putBackAll(
    queue: string,
    ids: readonly string[] | undefined,
    options?: CallOptions,
  ): Promise<readonly WrittenDoc[]> {
    const wanted = ids && new Set(ids);
    const back: WrittenDoc[] = [];
    for (const doc of await this.listAside(queue, MAX_AT_ONCE, options)) {
      if (wanted?.has(doc._id) === false) continue;
      const written = await this.#putBack(queue, doc);
      if (written !== undefined) back.push(written);
    }
    return back;
  }

  /** Writes it to the end of its queue; the copy goes last. */
  async #putBack(queue: string, doc: Doc): Promise<WrittenDoc | undefined> {
    const { _id, _rev, ...rest } = doc;
    const { maxPriority, born } = this.#topology.traits(queue);
    const level = Number(_id.split("/")[3]);
    const id = this.#ids.next({
      queue,
      priority: Math.min(Number.isNaN(level) ? 0 : 9 - level, maxPriority),
      delay: 0,
      ttl: undefined,
      born,
    }, this.#database.client.time.now());
    const written = await this.#database.write({ ...rest, _id: id });
    if (written.type === "refused") {
      throw requestError("put a message back", written.refusal);
    }
    if (written.type === "conflict") return undefined;
    const removed = await this.#database.remove(_id, _rev);
    if (removed.type === "refused") {
      throw requestError("put a message back", removed.refusal);
    }
    return { id, rev: written.rev };
  }

  #docsOf(
    { queue, message, ttl }: StoreItem,
    envelope: string,
  ): readonly Draft[] {
    const { maxPriority, deadLetters, born } = this.#topology.traits(queue);
    const id = this.#ids.next({
      queue,
      priority: Math.min(message.properties.priority ?? 0, maxPriority),
      delay: message.delay,
      ttl,
      born,
    }, this.#database.client.time.now());
    const doc = { _id: id, envelope };
    if (ttl === undefined || !deadLetters) return [doc];
    return [doc, { _id: expiryId(readMessageId(id).expires, id) }];
  }
}

function timeOf({ _id }: Doc): number {
  return readMessageId(_id.slice(ASIDE.length)).time;
}

function isLate(failure: unknown, options: CallOptions | undefined): boolean {
  return failure instanceof TimeoutError || options?.signal?.aborted === true;
}

function refuseTooLarge(length: number): void {
  // The envelope is text in JSON: most of it is base64, which needs no escapes.
  if (length < LARGEST_DOCUMENT - 100_000) return;
  throw new PublishError(
    `Cannot put a message: it has ${length} bytes with its headers in base64, a document of CouchDB takes ${LARGEST_DOCUMENT} at most`,
    { code: "message-too-large" },
  );
}
