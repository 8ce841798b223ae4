import { Limits } from "../../async/limits.ts";
import { atNextTurn } from "../../async/turn.ts";
import { ConnectionError, TimeoutError } from "../../model/errors.ts";
import type { FieldTable } from "../../model/field_table.ts";
import { EnvelopeWriter } from "../store/envelope.ts";
import type { PutOptions, PutResult, StoreItem } from "../store/store.ts";
import { decode, type RedisArgument, type RedisReply } from "./client.ts";
import { type Core, versionArguments } from "./core.ts";
import { replyError } from "./errors.ts";
import { RedisReservation } from "./reservation.ts";
import { withExpiry } from "./stored.ts";

/** One message that waits to be put with the others of its turn. */
interface Waiting {
  readonly lists: readonly string[];
  readonly deadline: number | undefined;
  resolve(result: PutResult): void;
  reject(error: unknown): void;
}

/** One queue's copy of a message. */
interface Copy {
  readonly id: string;
  /** The envelope without what is this queue's alone. */
  readonly plain: string;
  readonly text: string;
  readonly expiresAt: number | undefined;
}

/** What leaves in one call: all of it rests on the same view. */
interface Batch {
  readonly version: string | undefined;
  readonly waiting: Waiting[];
  readonly lists: Map<string, string[]>;
  readonly queues: Set<string>;
  readonly timed: Map<string, number>;
  deadline: number | undefined;
  size: number;
}

const PUT: PutResult = { type: "put", displaced: [] };
const STALE: PutResult = { type: "stale" };

/** So many characters leave in one call, or so many messages: a server does nothing else meanwhile. */
const MOST_SIZE = 4_000_000;
const MOST_MESSAGES = 128;

/** Who is told of what we put: what we do ourselves the server does not tell us. */
export interface PutterHost {
  /** A queue has new messages. */
  put(queue: string): void;
  /** Time will change something, maybe sooner than was said. */
  timed(): void;
}

/** Puts messages: those of one turn of the event loop in one call. */
export class Putter {
  readonly #core: Core;
  readonly #limits: Limits;
  readonly #writer = new EnvelopeWriter();
  readonly #host: PutterHost;
  #batch: Batch | undefined;

  /** Makes one that has nothing to put. */
  constructor(core: Core, host: PutterHost) {
    this.#core = core;
    this.#limits = new Limits(core.clock);
    this.#host = host;
  }

  /** Puts the copies of one message. */
  put(items: readonly StoreItem[], options: PutOptions): Promise<PutResult> {
    if (options.signal?.aborted) return Promise.reject(options.signal.reason);
    const isPlain = options.instead === undefined &&
      items.every(({ message, queue }) =>
        message.delay === 0 && !hasLimit(this.#argumentsOf(queue))
      );
    const putting = isPlain
      ? this.#putSoon(items, options)
      : this.#putOne(items, options);
    return options.signal === undefined ? putting : this.#limits.wait(
      putting,
      { signal: options.signal },
      () => new TimeoutError("Cannot put messages in time"), // there is no deadline
    );
  }

  /** Sends what waits. */
  flush(): void {
    const batch = this.#batch;
    this.#batch = undefined;
    if (batch !== undefined) this.#send(batch);
  }

  #putSoon(
    items: readonly StoreItem[],
    { version, deadline }: PutOptions,
  ): Promise<PutResult> {
    if (this.#batch !== undefined && this.#batch.version !== version) {
      this.flush();
    }
    const batch = this.#batch ?? this.#open(version);
    const { layout } = this.#core;
    const lists: string[] = [];
    let copy: Copy | undefined;
    for (const item of items) {
      copy = this.#copy(item, copy);
      const { text, expiresAt } = copy;
      const list = layout.list(item.queue, item.message.properties.priority);
      const texts = batch.lists.get(list);
      if (texts === undefined) batch.lists.set(list, [text]);
      else texts.push(text);
      lists.push(list);
      batch.queues.add(item.queue);
      batch.size += text.length;
      if (expiresAt === undefined) continue;
      const at = batch.timed.get(item.queue) ?? Infinity;
      batch.timed.set(item.queue, Math.min(at, expiresAt));
    }
    if (deadline !== undefined) {
      batch.deadline = Math.min(batch.deadline ?? Infinity, deadline);
    }
    return new Promise((resolve, reject) => {
      batch.waiting.push({ lists, deadline, resolve, reject });
      if (
        batch.size > MOST_SIZE || batch.waiting.length >= MOST_MESSAGES
      ) this.flush();
    });
  }

  #open(version: string | undefined): Batch {
    const batch: Batch = {
      version,
      waiting: [],
      lists: new Map(),
      queues: new Set(),
      timed: new Map(),
      deadline: undefined,
      size: 0,
    };
    atNextTurn(() => {
      if (this.#batch === batch) this.flush();
    });
    return this.#batch = batch;
  }

  /** The text of a copy, its name, and when it expires. */
  #copy(item: StoreItem, first: Copy | undefined): Copy {
    const id = crypto.randomUUID();
    // Every copy has a name of its own: Kombu's consumers note by it what they took.
    const plain = first === undefined
      ? this.#writer.write(item.message, id)
      : `${first.plain.slice(0, -TAIL)}${id}"}}`;
    if (item.ttl === undefined) {
      return { id, plain, text: plain, expiresAt: undefined };
    }
    const expiresAt = this.#core.serverNow + item.message.delay + item.ttl;
    return { id, plain, text: withExpiry(plain, expiresAt), expiresAt };
  }

  #send(batch: Batch): void {
    const { lists, timed, waiting, deadline } = batch;
    const version = versionArguments(this.#core.mirror, batch.version);
    if (version === undefined) {
      for (const { resolve } of waiting) resolve(STALE);
      return;
    }
    const args: RedisArgument[] = [...version, timed.size];
    for (const [queue, at] of timed) args.push(queue, Math.ceil(at));
    const order: string[] = [];
    for (const [list, texts] of lists) {
      order.push(list);
      args.push(list, texts.length);
      for (const text of texts) args.push(text);
    }
    this.#core.run("put", "publish", args, { deadline }).then(
      (reply) => {
        this.#answer(waiting, order, reply);
        for (const queue of batch.queues) this.#host.put(queue);
        if (timed.size > 0) this.#host.timed();
      },
      (error) => this.#fail(waiting, error),
    );
  }

  #answer(
    waiting: readonly Waiting[],
    order: readonly string[],
    reply: RedisReply,
  ): void {
    if (!Array.isArray(reply)) {
      for (const each of waiting) each.resolve(STALE);
      return;
    }
    const refused = new Map<string, string>();
    for (let i = 0; i < reply.length; i += 2) {
      refused.set(order[Number(reply[i])] ?? "", decode(reply[i + 1]));
    }
    for (const each of waiting) {
      const list = refused.size === 0
        ? undefined
        : each.lists.find((name) => refused.has(name));
      if (list === undefined) each.resolve(PUT);
      else {
        const { prefix } = this.#core.layout.options;
        const action = `publish to queue "${list.slice(prefix.length)}"`;
        each.reject(replyError(action, refused.get(list) ?? ""));
      }
    }
  }

  /** The one whose deadline it was is late; for the others the connection was lost. */
  #fail(waiting: readonly Waiting[], error: unknown): void {
    const now = this.#core.clock.now();
    for (const { reject, deadline } of waiting) {
      const isOwn = !(error instanceof TimeoutError) ||
        deadline === undefined ||
        deadline <= now;
      reject(
        isOwn ? error : new ConnectionError(error.message, {
          code: "connection-lost",
          outcome: "unknown",
          cause: error,
        }),
      );
    }
  }

  /** Puts one message by itself: delayed, in another's place, or where a queue has a limit. */
  async #putOne(
    items: readonly StoreItem[],
    { version, instead, deadline }: PutOptions,
  ): Promise<PutResult> {
    const { layout, fields, mirror } = this.#core;
    const field = instead instanceof RedisReservation &&
        instead.where.type === "unacked"
      ? instead.where.field
      : "";
    this.flush(); // what was published before comes before
    const seen = versionArguments(mirror, version);
    if (seen === undefined) return STALE;
    const args: RedisArgument[] = [
      ...seen,
      field,
      items[0]?.message.delay ?? 0,
      fields,
      this.#core.nextNumbers(100_000),
    ];
    let copy: Copy | undefined;
    for (const item of items) {
      copy = this.#copy(item, copy);
      const { text, id, expiresAt } = copy;
      const declared = this.#argumentsOf(item.queue);
      const suffix = layout.suffix(item.message.properties.priority);
      args.push(
        item.queue,
        layout.suffixes.indexOf(suffix) + 1,
        text,
        id,
        expiresAt === undefined ? "" : Math.ceil(expiresAt),
        String(declared["x-max-length"] ?? ""),
        String(declared["x-max-length-bytes"] ?? ""),
        String(declared["x-overflow"] ?? "").startsWith("reject-publish")
          ? 1
          : 0,
      );
    }
    const reply = await this.#core.run("putOne", "publish", args, { deadline });
    if (!Array.isArray(reply)) {
      const type = decode(reply);
      return type === "full" || type === "lost" ? { type } : STALE;
    }
    for (const { queue } of items) this.#host.put(queue);
    this.#host.timed();
    const displaced: RedisReservation[] = [];
    for (let i = 0; i < reply.length; i += 3) {
      const queue = decode(reply[i]);
      const number = Number(reply[i + 1]);
      const bytes = reply[i + 2];
      if (number < 0 || !(bytes instanceof Uint8Array)) continue;
      displaced.push(
        new RedisReservation({
          queue,
          where: { type: "unacked", field: `${fields}${number}` },
          bytes,
          declared: mirror.topology.queue(queue)?.foreign === false,
        }, 0),
      );
    }
    return { type: "put", displaced };
  }

  #argumentsOf(queue: string): FieldTable {
    return this.#core.mirror.topology.queue(queue)?.declaration.arguments ?? {};
  }
}

/** An envelope ends with its name, a UUID. */
const TAIL = `00000000-0000-4000-8000-000000000001"}}`.length;

function hasLimit(declared: FieldTable): boolean {
  return declared["x-max-length"] !== undefined ||
    declared["x-max-length-bytes"] !== undefined;
}
