import { Batcher } from "../../async/batcher.ts";
import type { CallOptions } from "../../model/call_options.ts";
import { PublishError } from "../../model/errors.ts";
import type { Publishing } from "../../model/message.ts";
import { keyOf } from "../../virtual/message_key.ts";
import { EnvelopeWriter } from "../store/envelope.ts";
import {
  LOST,
  type Mark,
  PUT,
  type PutOptions,
  type PutResult,
  STALE,
  type StoreItem,
} from "../store/store.ts";
import { notAnswered } from "../connection_errors.ts";
import { putOnce } from "../store/put_once.ts";
import type { Claims } from "./claims.ts";
import type { Context } from "./context.ts";
import { messageFields } from "./documents.ts";
import { type LaneName, placeFields } from "./lane_documents.ts";
import type { Lanes } from "./lanes.ts";
import { MongodbReservation } from "./reservation.ts";
import { isThereAlready } from "./errors.ts";
import { Marks } from "./marks.ts";
import { checkText } from "./names.ts";
import type { Fields } from "./port.ts";
import type { Reserver } from "./reserver.ts";
import type { MongodbTables } from "./tables.ts";
import type { Usage } from "./usage.ts";

/** The largest document, less its fields beside the payload. */
const MAX_BYTES = 16 * 1024 * 1024 - 16 * 1024;
/** The maximum number of documents in one insert. */
const BATCH_COUNT = 1000;
const BATCH_CHARACTERS = 8 * 1024 * 1024;

interface Copy {
  readonly queue: string;
  readonly fields: Fields;
  /** Milliseconds from now. */
  readonly delay: number;
  /** Whether its queue goes when nobody uses it. */
  readonly isTimed: boolean;
  /** Its key in an ordered queue, "" if it has none; `undefined` elsewhere, and while it is delayed. */
  readonly key: string | undefined;
}

/** Copies in their places. */
interface Placed {
  readonly fields: readonly Fields[];
  /** Lets their keys have turns, once they are there. */
  readonly stand?: () => Promise<void>;
}

interface Entry {
  readonly copies: readonly Copy[];
  readonly version: string | undefined;
  readonly characters: number;
  readonly signal: AbortSignal | undefined;
}

const ACTION = "put a message";

/** Puts messages: those that are asked for while others are on their way leave together. */
export class Putter {
  readonly #context: Context;
  readonly #tables: MongodbTables;
  readonly #lanes: Lanes;
  readonly #claims: Claims;
  readonly #reserver: Reserver;
  readonly #usage: Usage;
  readonly #writer = new EnvelopeWriter();
  readonly #marks: Marks;
  readonly #batcher: Batcher<Entry, PutResult>;
  /** Resolves when what left last, and all before it, is inserted or has failed. */
  #inserted: Promise<unknown> = Promise.resolve();

  /** Makes it for a connection; the claims and the reserver hear of what is put. */
  constructor(
    context: Context,
    tables: MongodbTables,
    lanes: Lanes,
    claims: Claims,
    reserver: Reserver,
    usage: Usage,
  ) {
    this.#context = context;
    this.#tables = tables;
    this.#lanes = lanes;
    this.#claims = claims;
    this.#reserver = reserver;
    this.#usage = usage;
    this.#marks = new Marks(context);
    this.#batcher = new Batcher({
      limits: context.limits,
      count: BATCH_COUNT,
      bytes: BATCH_CHARACTERS,
      bytesOf: ({ characters }) => characters,
      // While one is inserted, the tables are looked at for the next.
      atOnce: 2,
      joins: () => {
        let count = 0;
        return ({ copies }) => (count += copies.length) <= BATCH_COUNT;
      },
      actionOf: () => ACTION,
      late: () => notAnswered(ACTION, "unknown"),
      send: (batch, options) => {
        const sending = this.#send(batch, this.#inserted, options);
        this.#inserted = Promise.allSettled([this.#inserted, sending]);
        return sending;
      },
    });
  }

  /** Puts the copies of one message. */
  put(
    items: readonly StoreItem[],
    options: PutOptions = {},
  ): Promise<PutResult> {
    try {
      this.#context.limits.check(options, () => ACTION);
      const [first] = items;
      if (first === undefined) return Promise.resolve(PUT);
      const payload = this.#encode(first.message);
      const copies = items.map((item) => this.#copyOf(item, payload));
      if (options.mark !== undefined) {
        return this.#putOnce(items, copies, options.mark, options);
      }
      return options.instead instanceof MongodbReservation
        ? this.#move(copies, options.instead, options)
        : this.#batcher.add({
          copies,
          version: options.version,
          characters: payload.length * copies.length,
          signal: options.signal,
        }, this.#context.lifeline.limited(options));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Puts copies under ids that its mark names: what is there already is not put again. */
  async #putOnce(
    items: readonly StoreItem[],
    copies: readonly Copy[],
    mark: Mark,
    options: PutOptions,
  ): Promise<PutResult> {
    const { version } = options;
    const limits = this.#context.lifeline.limited(limitsOf(options)) ?? {};
    const entry = { copies, version, characters: 0, signal: undefined };
    const isOld = await this.#findOld([entry], limits);
    if (isOld(entry)) return STALE;
    const { client, settings: { names } } = this.#context;
    return await putOnce(this.#marks, mark, items, async (handles) => {
      const placed = await this.#place(copies);
      for (const [i, fields] of placed.fields.entries()) {
        const document = { _id: handles[i]?.[1], ...fields };
        await this.#context.call("put messages", limits, async () => {
          try {
            await client.insert(names.messages, [document]);
          } catch (error) {
            if (!isThereAlready(error)) throw error;
          }
        });
      }
      await placed.stand?.();
      this.#told(copies);
      return PUT;
    }, limits);
  }

  /** Writes a message as Kombu's envelope. */
  #encode(message: Publishing): string {
    const payload = this.#writer.write(message, crypto.randomUUID());
    if (
      payload.length > MAX_BYTES / 3 &&
      new TextEncoder().encode(payload).byteLength > MAX_BYTES
    ) {
      throw new PublishError(
        `Cannot put a message: with its headers it is larger than a document may be, ${MAX_BYTES} bytes`,
        { code: "message-too-large" },
      );
    }
    return payload;
  }

  #copyOf({ queue, message, ttl }: StoreItem, payload: string): Copy {
    checkText("queue", queue);
    const now = this.#context.now();
    const record = this.#tables.view.topology.queue(queue);
    const deadLetters = record?.traits.deadLetterExchange !== undefined;
    const fields = messageFields(queue, message, payload, {
      now,
      ttl,
      deadLetters,
      maxPriority: record?.traits.maxPriority,
    });
    if (message.delay > 0) this.#reserver.noteDue(now + message.delay);
    if (deadLetters && ttl !== undefined) {
      const dead = now + message.delay + ttl;
      this.#claims.noteDeadAt(dead);
      this.#reserver.noteDue(dead);
    }
    const isTimed = record?.traits.expires !== undefined;
    const key = record?.traits.ordered === true && message.delay <= 0
      ? keyOf(message.properties.headers) ?? ""
      : undefined;
    return { queue, fields, delay: message.delay, isTimed, key };
  }

  /** One insert at a time: messages are visible in the order of their calls. */
  async #send(
    batch: readonly Entry[],
    before: Promise<unknown>,
    options: CallOptions,
  ): Promise<readonly PutResult[]> {
    const [isOld] = await Promise.all([this.#findOld(batch, options), before]);
    const going = batch.filter((each) => !isOld(each) && !each.signal?.aborted);
    if (going.length > 0) {
      const { client, settings: { names } } = this.#context;
      const copies = going.flatMap((entry) => entry.copies);
      const placed = copies.some(isOrdered)
        ? await this.#place(copies)
        : undefined;
      await this.#context.call("put messages", options, () =>
        client.insert(
          names.messages,
          copies.map(({ fields }, i) => ({
            _id: client.newId(),
            ...placed?.fields[i] ?? fields,
          })),
        ));
      await placed?.stand?.();
      this.#told(copies);
    }
    return batch.map((each) => isOld(each) ? STALE : PUT);
  }

  /** Gives places to copies for ordered queues; they may be taken when their keys stand. */
  async #place(copies: readonly Copy[]): Promise<Placed> {
    const fields = copies.map((each) => each.fields);
    const lanes: LaneName[] = [];
    const counts = new Map<string, number>();
    for (const { queue, key } of copies) {
      if (key === undefined) continue;
      lanes.push({ queue, key });
      if (key !== "") counts.set(queue, (counts.get(queue) ?? 0) + 1);
    }
    if (lanes.length === 0) return { fields };
    await this.#lanes.open();
    const holder = this.#lanes.nextHolder();
    const next = new Map(
      await Promise.all(
        [...counts].map(async ([queue, count]) =>
          [queue, await this.#lanes.places(queue, count)] as const
        ),
      ),
    );
    for (const [i, { queue, key, fields: plain }] of copies.entries()) {
      const place = next.get(queue);
      if (key === undefined || key === "" || place === undefined) continue;
      const { dead_at, ...rest } = plain;
      fields[i] = {
        ...rest,
        ...placeFields({ queue, key }, place, holder),
        ...(dead_at === undefined ? {} : { dies_at: dead_at }),
      };
      next.set(queue, place + 1);
    }
    return {
      fields,
      stand: () =>
        this.#lanes.stand(lanes, counts.size > 0 ? holder : undefined),
    };
  }

  /** Finds out whose view is old. */
  async #findOld(
    batch: readonly Entry[],
    options: CallOptions,
  ): Promise<(entry: Entry) => boolean> {
    const versions = new Set<string>();
    const timed = new Set<string>();
    for (const { version, copies } of batch) {
      if (version === undefined) continue;
      versions.add(version);
      for (const { isTimed, queue } of copies) if (isTimed) timed.add(queue);
    }
    if (versions.size === 0) return () => false;
    const [stale, over] = await Promise.all([
      this.#tables.findStale(versions, options),
      timed.size === 0 ? timed : this.#usage.dropOver(timed),
    ]);
    return ({ version, copies }) =>
      version !== undefined &&
      (stale.has(version) ||
        (over.size > 0 && copies.some(({ queue }) => over.has(queue))));
  }

  /**
   * Makes one copy of the very document that is moved, in one step: nothing is lost
   * or doubled in between. Further copies come before, while it is ours.
   */
  async #move(
    copies: readonly Copy[],
    from: MongodbReservation,
    options: PutOptions,
  ): Promise<PutResult> {
    if (await this.#isStale(options)) return STALE;
    const { client, settings: { names } } = this.#context;
    const { fields, stand } = await this.#place(copies);
    const [first, ...others] = fields;
    if (first === undefined) return PUT;
    const mine = from.filter;
    if (others.length > 0) {
      const held = await this.#context.call(
        "move a message",
        options,
        () =>
          client.find(names.messages, mine, {
            limit: 1,
            projection: { _id: 1 },
          }),
      );
      if (held.length === 0) return LOST;
      await this.#context.call("move a message", options, () =>
        client.insert(
          names.messages,
          others.map((each) => ({ _id: client.newId(), ...each })),
        ));
    }
    const { matched } = await this.#context.call(
      "move a message",
      options,
      () =>
        client.update(names.messages, [{
          filter: mine,
          update: { $set: first, $unset: unsetBut(first, from) },
        }], { safe: true }),
    );
    await stand?.();
    if (from.lane !== undefined) {
      await this.#lanes.free([from]);
      this.#reserver.notePut([from.queue]);
    }
    this.#told(matched > 0 ? copies : copies.slice(1));
    return matched > 0 ? PUT : LOST;
  }

  async #isStale({ version, ...options }: PutOptions): Promise<boolean> {
    if (version === undefined) return false;
    const stale = await this.#tables.findStale(
      new Set([version]),
      limitsOf(options),
    );
    return stale.has(version);
  }

  #told(copies: readonly Copy[]): void {
    this.#reserver.notePut(
      new Set(
        copies.filter(({ delay }) => delay <= 0).map(({ queue }) => queue),
      ),
    );
  }
}

/** Fields of a claimed document that a copy in its place has not. */
function unsetBut(fields: Fields, { lane }: MongodbReservation): Fields {
  const unset: Record<string, ""> = {};
  for (const name of lane === undefined ? MESSAGE_FIELDS : KEYED_FIELDS) {
    if (!(name in fields)) unset[name] = "";
  }
  return unset;
}

const MESSAGE_FIELDS = [
  "claim",
  "deliveries",
  "expire_at",
  "dead_at",
  "hidden_expire_at",
  "hidden_dead_at",
];

const KEYED_FIELDS = [...MESSAGE_FIELDS, "dies_at", "holder", "key", "place"];

function isOrdered({ key }: Copy): boolean {
  return key !== undefined;
}

function limitsOf({ signal, deadline }: CallOptions): CallOptions {
  return { signal, deadline };
}
