import type { CallOptions } from "../../model/call_options.ts";
import { PublishError, TimeoutError } from "../../model/errors.ts";
import { EnvelopeWriter } from "../store/envelope.ts";
import type { StoreItem } from "../store/store.ts";
import type { Database, WrittenRecord } from "./database.ts";
import { expiryId, IdMaker, readMessageId } from "./ids.ts";
import type { Draft, Written } from "./records.ts";
import type { Tables } from "./tables.ts";

/** The part of a record that a body can fill: three quarters are left by base64, less what is around it. */
const BODY_PART = 0.7375;

/** The part of a record that an envelope can fill: it is text in JSON, most of it base64, which needs no escapes. */
const ENVELOPE_PART = 0.9875;

/**
 * The largest body.
 *
 * @param recordBytes The largest record, in JSON.
 * @returns Bytes.
 */
export function largestBody(recordBytes: number): number {
  return Math.floor(recordBytes * BODY_PART);
}

/** Writes messages into their queues. */
export class Putter {
  readonly #database: Database;
  readonly #topology: Tables;
  readonly #recordBytes: number;
  readonly #ids = new IdMaker();
  readonly #envelopes = new EnvelopeWriter();

  /** Makes one over a database whose records are no larger than `recordBytes`. */
  constructor(
    database: Database,
    topology: Tables,
    recordBytes: number,
  ) {
    this.#database = database;
    this.#topology = topology;
    this.#recordBytes = recordBytes;
  }

  /**
   * Puts the copies of one message: all or none, but for a database that fails in the middle.
   * Copies that are there under given ids are not put again.
   */
  async put(
    items: readonly StoreItem[],
    options?: CallOptions,
    ids?: ReadonlyMap<string, unknown>,
  ): Promise<readonly WrittenRecord[]> {
    const [first] = items;
    if (first === undefined) return [];
    const envelope = this.#envelopes.write(first.message, crypto.randomUUID());
    this.#refuseTooLarge(envelope.length);
    const writing: Promise<[string, Written]>[] = [];
    for (const item of items) {
      const id = ids?.get(item.queue) ?? this.idFor(item);
      for (const draft of this.#draftsOf(item, String(id), envelope)) {
        writing.push(
          this.#database.write(draft, options)
            .then((written) => [draft.id, written]),
        );
      }
    }
    const written: WrittenRecord[] = [];
    let failure: unknown;
    for (const each of await Promise.allSettled(writing)) {
      if (each.status === "rejected") {
        failure ??= each.reason;
        continue;
      }
      const [id, result] = each.value;
      if (result.type === "written") {
        written.push({ id, revision: result.revision });
      } else if (result.type === "refused") failure ??= result.error;
    }
    if (failure === undefined) return written;
    const takingBack = this.takeBack(written).catch(() => {});
    // A call that is out of time does not wait for that, too.
    if (!isLate(failure, options)) await takingBack;
    throw failure;
  }

  /** Removes what was put for nothing. */
  async takeBack(written: readonly WrittenRecord[]): Promise<void> {
    await Promise.all(
      written.map((each) => this.#database.remove("take back a message", each)),
    );
  }

  /**
   * Makes an id at the end of a queue.
   *
   * @param queue The queue.
   * @param priority The message's.
   * @param delay Milliseconds.
   * @param ttl Milliseconds.
   * @returns The id.
   */
  idAtEnd(
    queue: string,
    priority: number,
    delay: number,
    ttl: number | undefined,
  ): string {
    const { maxPriority, born } = this.#topology.traits(queue);
    return this.#ids.next({
      queue,
      priority: Math.min(priority, maxPriority),
      delay,
      ttl,
      born,
    }, this.#database.now());
  }

  /** Makes an id for a copy. */
  idFor({ queue, message, ttl }: StoreItem): string {
    const { delay, properties: { priority = 0 } } = message;
    return this.idAtEnd(queue, priority, delay, ttl);
  }

  #draftsOf(
    { queue, ttl }: StoreItem,
    id: string,
    envelope: string,
  ): readonly Draft[] {
    const action = "put a message";
    const draft: Draft = {
      id,
      revision: undefined,
      fields: { envelope },
      action,
    };
    if (ttl === undefined || !this.#topology.traits(queue).deadLetters) {
      return [draft];
    }
    const note = expiryId(readMessageId(id).expires, id);
    return [draft, { id: note, revision: undefined, fields: {}, action }];
  }

  #refuseTooLarge(length: number): void {
    if (length < this.#recordBytes * ENVELOPE_PART) return;
    throw new PublishError(
      `Cannot put a message: it has ${length} bytes with its headers in base64, and a record takes ${this.#recordBytes} at most`,
      { code: "message-too-large" },
    );
  }
}

function isLate(failure: unknown, options: CallOptions | undefined): boolean {
  return failure instanceof TimeoutError || options?.signal?.aborted === true;
}
