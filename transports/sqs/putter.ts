import { Batchers } from "../../async/batcher.ts";
import type { Limits } from "../../async/limits.ts";
import { PublishError, TimeoutError } from "../../model/errors.ts";
import type { Publishing } from "../../model/message.ts";
import { EnvelopeWriter } from "../store/envelope.ts";
import {
  LOST,
  PUT,
  type PutOptions,
  type PutResult,
  STALE,
  type StoreItem,
} from "../store/store.ts";
import { encodeBody } from "./body.ts";
import { entryFor, type SendEntry } from "./entry.ts";
import { type Failure, isGroupRefused, sendError } from "./errors.ts";
import { batchesOf } from "./batches.ts";
import type { SqsSettings } from "./options.ts";
import type { Queues, SqsQueue } from "./queues.ts";
import type { Settlements } from "./settlements.ts";
import type { SqsTables } from "./tables.ts";

/** Writes messages, and sends them to their queues. */
export class Putter {
  readonly #settings: SqsSettings;
  readonly #queues: Queues;
  readonly #tables: SqsTables;
  readonly #settlements: Settlements;
  readonly #limits: Limits;
  readonly #senders: Batchers<SqsQueue, SendEntry, Failure | undefined>;
  readonly #writer = new EnvelopeWriter();
  /** The services that take a group for FIFO queues alone, as AWS did before it had fair queues. */
  readonly #groupless = new WeakSet<SqsQueue["client"]>();

  /** Makes one that has sent nothing yet. */
  constructor(
    settings: SqsSettings,
    queues: Queues,
    tables: SqsTables,
    settlements: Settlements,
    limits: Limits,
  ) {
    this.#settings = settings;
    this.#queues = queues;
    this.#tables = tables;
    this.#settlements = settlements;
    this.#limits = limits;
    this.#senders = new Batchers(({ queue, url, client }) => ({
      ...batchesOf(limits, `publish to queue "${queue}"`),
      bytes: settings.maxMessageSize,
      bytesOf: (entry) => entry.body().length,
      send: (entries, options) => client.send(url, entries, options),
    }));
  }

  /** Appends the copies of a message to their queues. */
  put(items: readonly StoreItem[], options?: PutOptions): Promise<PutResult> {
    if (
      options?.version !== undefined && options.version !== this.#tables.routes
    ) {
      return Promise.resolve(STALE);
    }
    const [first, ...others] = items;
    if (first === undefined) return Promise.resolve(PUT);
    const { base64Encoding, maxMessageSize } = this.#settings;
    const body = this.bodyOf(first.message, base64Encoding, maxMessageSize);
    if (others.length > 0 || options?.instead !== undefined) {
      return this.#putAll(items, body, options);
    }
    const found = this.#queues.known(first.queue);
    return found === undefined
      ? this.#putAll(items, body, options)
      : this.#send(found, first.message, body, options);
  }

  async #putAll(
    items: readonly StoreItem[],
    body: () => string,
    options?: PutOptions,
  ): Promise<PutResult> {
    const instead = options?.instead;
    if (instead !== undefined && !this.#settlements.isOurs(instead)) {
      return LOST;
    }
    const results = await Promise.all(items.map(async ({ queue, message }) => {
      const found = await this.#queues.find(queue, options);
      return found === undefined
        ? STALE
        : await this.#send(found, message, body, options);
    }));
    const stale = results.find(({ type }) => type === "stale");
    if (stale !== undefined) return stale;
    if (instead !== undefined) {
      // It is put: late or not, the other one goes.
      const removing = this.#settlements.settle([instead], "remove");
      await this.#limits.wait(removing, options, () =>
        new TimeoutError(
          "Cannot remove a message in time that another was put instead of",
        ));
    }
    return PUT;
  }

  /** Writes a message when it is asked for, and once. */
  bodyOf(message: Publishing, base64: boolean, most: number): () => string {
    let text: string | undefined;
    return () => text ??= this.#encode(message, base64, most);
  }

  #encode(message: Publishing, base64: boolean, most: number): string {
    const envelope = this.#writer.write(message, crypto.randomUUID());
    const body = encodeBody(envelope, base64);
    if (body.length <= most) return body;
    throw new PublishError(
      `Cannot publish a message of ${message.body.byteLength} bytes: it would be ${body.length} on its way, of ${most} at most; max_message_size is the limit of queues`,
      { code: "message-too-large" },
    );
  }

  /** Sends a message to a queue; `stale` if the queue is not there any more. */
  #send(
    found: SqsQueue,
    message: Publishing,
    body: () => string,
    options?: PutOptions,
  ): Promise<PutResult> {
    const { fifo, client } = found;
    const copy = options?.instead !== undefined;
    let entry: SendEntry;
    try {
      const mark = options?.mark;
      const fair = fifo || !this.#groupless.has(client);
      const made = entryFor(message, { body, fifo, copy, fair: true, mark });
      entry = fair ? made : { ...made, group: undefined };
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#senders.add(found.queue, found, entry, options).then(
      (failure) => {
        if (failure === undefined) return PUT;
        const isGroup = !fifo && entry.group !== undefined &&
          isGroupRefused(failure);
        if (!isGroup) throw sendError(found.queue, failure);
        this.#groupless.add(client);
        return this.#send(found, message, body, options);
      },
      (error) => {
        if (!this.#tables.isGone(found.queue, error)) throw error;
        return STALE;
      },
    );
  }
}
