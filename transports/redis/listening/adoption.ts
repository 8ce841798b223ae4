import { Ring } from "../../../async/ring.ts";
import { MessagingError } from "../../../model/errors.ts";
import type { QueueRecord } from "../../../virtual/topology.ts";
import {
  hasLimit,
  type QueueTraits,
} from "../../../virtual/queue_arguments.ts";
import type { TopologyView } from "../../store/store.ts";
import { digest } from "../client.ts";
import { type Context, versionArguments } from "../context.ts";
import { replyError } from "../errors.ts";
import { limitsOf } from "../put_arguments.ts";
import { decode, type RedisArgument } from "../reply.ts";
import { Listeners, readLives } from "./listeners.ts";
import type { News } from "../news.ts";
import { expiringBy, isNamed, marked, readStored } from "../stored.ts";
import type { Tables } from "../tables.ts";
import { listens } from "../declared/writes.ts";

/** So many messages wait to be put, or for a queue's consumers, as PUB/SUB has no way to hold them back; then the oldest go. */
export const MAX_WAITING = 10_000;

/** So many are put at once. */
const AT_ONCE = 64;

/** How soon it is tried again where the server could not take it, ms. */
const AGAIN = 1000;

/** A message that came by PUB/SUB, and that its publisher put into no queue. */
export interface Heard {
  /** The exchange. */
  readonly exchange: string;
  /** The message as it came. */
  readonly bytes: Uint8Array;
  /** The one queue that it is for, if those who listened for it there are dead. */
  readonly left?: string;
}

/**
 * Says whether ours read a queue's list: one that none of ours declared, nor consumes, is
 * Kombu's, whose consumers of a fanout exchange listen and read no list.
 */
export function isOurs({ foreign, consumers }: QueueRecord): boolean {
  return !foreign || consumers.length > 0;
}

/**
 * Puts into our queues what Kombu published to a fanout exchange, or a process of 0.1.0: all of
 * ours that consume from any queue of the exchange hear it, and put it into each of its queues, consumed or
 * not. The first process claims it, for each queue in one step with the put: the claim is named
 * after the message, byte for byte with its delivery tag, and lasts for longer than one of ours may
 * lag behind. So they come in order, once, and stay until they are acked.
 *
 * A queue with a consumer that listens by itself is left to that one, unless it turns out
 * that it was dead by then ({@linkcode Listeners}).
 */
export class Adoption {
  readonly #context: Context;
  readonly #news: News;
  readonly #tables: Tables;
  readonly #timeout: number;
  readonly #heard = new Ring<Heard>();
  readonly #views = new Map<string, TopologyView>();
  readonly #listeners: Listeners<Heard>;
  #running: Promise<void> | undefined;
  #stopTimer: (() => void) | undefined;
  #over = false;

  /** Makes one that has heard nothing; `timeout` is how long a call may take, ms, and `onGone` is told of a queue for which so many messages are gone. */
  constructor(
    context: Context,
    news: News,
    tables: Tables,
    timeout: number,
    onGone: (queue: string, count: number) => void,
  ) {
    this.#context = context;
    this.#news = news;
    this.#tables = tables;
    this.#timeout = timeout;
    this.#listeners = new Listeners<Heard>(context.clock, {
      now: () => context.serverNow,
      readLives: (owners) => readLives(context, owners),
      onDead: (left, messages) => {
        for (const each of messages) this.#heard.push({ ...each, left });
        if (this.#stopTimer === undefined) this.#run();
      },
      onForgotten: onGone,
    });
  }

  /** Takes in what was published on an exchange's channel. Returns what goes for it, where too much waits. */
  add(exchange: string, bytes: Uint8Array): Heard | undefined {
    if (this.#over) return undefined;
    const gone = this.#heard.size >= MAX_WAITING
      ? this.#heard.shift()
      : undefined;
    this.#heard.push({ exchange, bytes });
    if (this.#stopTimer === undefined) this.#run();
    return gone;
  }

  /** Resolves when all that came is in its queues, or cannot be put now. */
  async idle(): Promise<void> {
    await this.#running;
  }

  /** Ends with its connection. */
  close(): void {
    this.#over = true;
    this.#stopTimer?.();
    this.#heard.clear();
    this.#listeners.close();
  }

  #run(): void {
    this.#running ??= this.#putAll().then(() => this.#running = undefined);
  }

  /** One piece after the other, so that they stay in order. Never rejects. */
  async #putAll(): Promise<void> {
    while (this.#heard.size > 0 && !this.#over) {
      const piece: Heard[] = [];
      while (piece.length < AT_ONCE) {
        const next = this.#heard.shift();
        if (next === undefined) break;
        piece.push(next);
      }
      try {
        while (!await this.#putPiece(piece)) this.#views.clear();
      } catch {
        // Memory is full, or the server is slow: what was put is claimed, and not put again.
        for (const each of piece.reverse()) this.#heard.unshift(each);
        return this.#runLater();
      }
    }
  }

  #runLater(): void {
    if (this.#over) return;
    this.#stopTimer = this.#context.clock.timer(() => {
      this.#stopTimer = undefined;
      this.#run();
    }, AGAIN);
  }

  /** Returns whether the tables were as they are known. */
  async #putPiece(piece: readonly Heard[]): Promise<boolean> {
    const deadline = this.#context.clock.now() + this.#timeout;
    const byVersion = new Map<string, Copy[]>();
    const listened: [QueueRecord, Heard][] = [];
    for (const heard of piece) {
      const { exchange, bytes, left } = heard;
      let view = this.#views.get(exchange);
      if (view === undefined) {
        const of = { type: "exchange", name: exchange } as const;
        view = await this.#tables.read(of, { deadline });
        this.#views.set(exchange, view);
      }
      const routes = view.routes ?? view.version;
      const copies = byVersion.get(routes) ?? [];
      byVersion.set(routes, copies);
      for (const queue of queuesIn(view, exchange)) {
        const isLeft = queue.declaration.name === left;
        if (left !== undefined && !isLeft) continue;
        if (!isLeft && queue.consumers.some(listens)) {
          listened.push([queue, heard]);
        } else copies.push(this.#copy(bytes, queue, isLeft));
      }
    }
    const puts: Promise<boolean>[] = [];
    for (const [version, copies] of byVersion) {
      const seen = versionArguments(this.#context.mirror, version);
      if (seen === undefined) return false;
      const plain = copies.filter(({ limits }) => limits === undefined);
      // A call without messages to put still has to find out whether the view is stale.
      if (plain.length > 0 || listened.length > 0) {
        puts.push(this.#putMany(seen, plain, deadline));
      }
      for (const copy of copies) {
        const { limits } = copy;
        if (limits === undefined) continue;
        puts.push(this.#putOne(seen, copy, limits, deadline));
      }
    }
    const results = await Promise.allSettled(puts);
    for (const result of results) {
      if (result.status === "rejected" && isWorthAgain(result.reason)) {
        throw result.reason;
      }
    }
    const isDone = results
      .every((each) => each.status === "rejected" || each.value);
    if (!isDone) return false;
    for (const [{ declaration, consumers }, heard] of listened) {
      const owners = consumers.filter(listens).map(({ owner }) => owner);
      this.#listeners.add(declaration.name, owners, heard);
    }
    return true;
  }

  #copy(
    bytes: Uint8Array,
    { declaration, traits }: QueueRecord,
    isLeft: boolean,
  ): Copy {
    const { fields, layout, serverNow } = this.#context;
    const { name } = declaration;
    const { message, expiresAt } = readStored(bytes);
    const isRead = !("error" in message);
    const properties = isRead ? message.properties : {};
    const ttl = Math.min(
      traits.messageTtl ?? Infinity,
      properties.expiration ?? Infinity,
    );
    const by = Math.min(expiresAt, serverNow + ttl);
    const timed = by < expiresAt ? expiringBy(bytes, by) : undefined;
    // A consumer that has died may have seen it.
    const text = isLeft
      ? marked(timed ?? bytes, message, `${fields}0`)
      : timed ?? bytes;
    return {
      queue: name,
      suffix: layout.suffix(properties.priority),
      text,
      expires: by < Infinity && (by === expiresAt || timed !== undefined)
        ? Math.ceil(by)
        : "",
      // Without a name it may be another that looks alike: rather twice than not at all.
      claim: isRead && !isNamed(bytes) ? "" : `${digest(bytes)}.${name}`,
      ends: String(traits.expires ?? ""),
      limits: hasLimit(traits) ? withoutPushing(traits) : undefined,
    };
  }

  /** Returns whether the tables were as they are known. */
  async #putMany(
    seen: readonly RedisArgument[],
    copies: readonly Copy[],
    deadline: number,
  ): Promise<boolean> {
    const args: RedisArgument[] = [...seen];
    for (const { claim, queue, suffix, text, expires, ends } of copies) {
      args.push(claim, queue, suffix, text, expires, ends);
    }
    const reply = await this.#context.run("adopt", ACTION, args, { deadline });
    if (!Array.isArray(reply)) return false;
    this.#tell(copies);
    for (let i = 0; i < reply.length; i += 2) {
      const error = replyError(ACTION, decode(reply[i + 1]));
      if (isWorthAgain(error)) throw error;
    }
    return true;
  }

  /** Returns whether the tables were as they are known. */
  async #putOne(
    seen: readonly RedisArgument[],
    copy: Copy,
    limits: QueueTraits,
    deadline: number,
  ): Promise<boolean> {
    const { layout, fields } = this.#context;
    const { claim, queue, suffix, text, expires } = copy;
    const args: RedisArgument[] = [
      ...[
        ...seen,
        "",
        "",
        "",
        "",
        0,
        fields,
        this.#context.nextNumbers(1),
        claim,
      ],
      ...["", 0, "", "", "first", 0, ""],
      ...[queue, layout.suffixes.indexOf(suffix) + 1, text, "", expires],
      ...[...limitsOf(limits), limits.expires ?? "", 0],
    ];
    const reply = await this.#context.run("putOne", ACTION, args, { deadline });
    // Another has claimed it, or there is no room and the queue refuses more: nobody waits for an answer.
    if (!Array.isArray(reply)) return decode(reply) !== "stale";
    this.#tell([copy]);
    return true;
  }

  #tell(copies: readonly Copy[]): void {
    for (const queue of new Set(copies.map(({ queue }) => queue))) {
      this.#news.ring(queue);
    }
    if (copies.some(({ expires }) => expires !== "")) this.#news.ringDue();
  }
}

/** The copy of a message that is put into one queue. */
interface Copy {
  readonly queue: string;
  readonly suffix: string;
  readonly text: string | Uint8Array;
  /** When, on the server's clock; `""` is never. */
  readonly expires: number | "";
  /** Under which name it is claimed; `""` under none. */
  readonly claim: string;
  /** The queue's `x-expires`. */
  readonly ends: string;
  /** The queue's arguments, where it has a limit. */
  readonly limits: QueueTraits | undefined;
}

const ACTION = "put messages that were published by PUB/SUB into queues";

/** The queues into which a message of an exchange is to be put. */
function* queuesIn(
  { topology }: TopologyView,
  exchange: string,
): Iterable<QueueRecord> {
  const seen = new Set<string>();
  for (const { destination } of topology.bindingsFrom(exchange)) {
    if (destination.kind !== "queue" || seen.has(destination.name)) continue;
    seen.add(destination.name);
    const record = topology.queue(destination.name);
    if (record !== undefined && isOurs(record)) yield record;
  }
}

/** Messages that a limit evicts from a queue that dead-letters cannot be dead-lettered from here: the next publish of ours applies the limit, as it does after Kombu puts into a list. */
function withoutPushing(traits: QueueTraits): QueueTraits {
  return traits.deadLetterExchange === undefined || traits.refuses
    ? traits
    : { ...traits, maxLength: undefined, maxBytes: undefined };
}

function isWorthAgain(error: unknown): boolean {
  return error instanceof MessagingError && error.retryable;
}
