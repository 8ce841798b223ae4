import { Limits } from "../../async/limits.ts";
import { atNextTurn } from "../../async/turn.ts";
import { PreconditionFailedError, TimeoutError } from "../../model/errors.ts";
import type { Publishing } from "../../model/message.ts";
import { encodeBase64 } from "../../codec/mod.ts";
import type { QueueTraits } from "../../virtual/queue_arguments.ts";
import { ENVELOPE_HEAD, EnvelopeWriter } from "../store/envelope.ts";
import { PUT, STALE } from "../store/store.ts";
import type { PutOptions, PutResult, StoreItem } from "../store/store.ts";
import { notAnswered } from "../connection_errors.ts";
import { byteLength, Push } from "./client.ts";
import { decode, type RedisArgument } from "./reply.ts";
import { type Core, versionArguments } from "./core.ts";
import {
  announcedArguments,
  announceLast,
  channelsOf,
  dueName,
} from "./announcing.ts";
import { hasLimit, limitsOf, NO_TRAITS } from "./limits.ts";
import { Predecessors } from "./predecessors.ts";
import type { Batch, Copy, Refused, Sent, Waiting } from "./batch.ts";
import { replyError } from "./errors.ts";
import { displacedIn, RedisReservation } from "./reservation.ts";
import { withExpiry } from "./stored.ts";

const PLAIN = "plain";
/** Deadlines of one turn that differ by less are one, ms. */
const DEADLINES_APART = 20;

/** So many characters leave in one call, or so many messages: a server does nothing else meanwhile. */
const MAX_SIZE = 4_000_000;
const MAX_MESSAGES = 128;
const MAX_COPIES = 2000;

/** Who is told of what we put: what we do ourselves the server does not tell us. */
export interface PutterHost {
  /** These were pushed out, and nobody waits for them any more. */
  giveBack(reservations: readonly RedisReservation[]): void;
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
  readonly #waiting: Waiting[] = [];
  readonly #predecessors: Predecessors;

  /** Makes one that has nothing to put. */
  constructor(core: Core, host: PutterHost) {
    this.#core = core;
    this.#limits = new Limits(core.clock);
    this.#host = host;
    this.#predecessors = new Predecessors(core.mirror);
  }

  /** Puts the copies of one message. */
  put(items: readonly StoreItem[], options: PutOptions): Promise<PutResult> {
    if (options.signal?.aborted) return Promise.reject(options.signal.reason);
    const putting = options.instead === undefined && this.#arePlain(items)
      ? this.#putSoon(items, options)
      : this.#putOne(items, options);
    return options.signal === undefined ? putting : this.#limits.wait(
      putting,
      { signal: options.signal },
      () => new TimeoutError("Cannot put messages in time"), // there is no deadline
    );
  }

  /** Ends with its connection. */
  close(): void {
    this.#limits.clear();
  }

  /** Sends all that waits. */
  flush(): void {
    while (this.#waiting.length > 0) this.#send(this.#fill());
  }

  /** Whether they may share a call with others. */
  #arePlain(items: readonly StoreItem[]): boolean {
    for (const { message, queue } of items) {
      if (message.delay > 0 || hasLimit(this.#traitsOf(queue))) return false;
    }
    return true;
  }

  #putSoon(
    items: readonly StoreItem[],
    { version, announced, deadline, signal }: PutOptions,
  ): Promise<PutResult> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({
        items,
        version,
        announced,
        deadline,
        signal,
        resolve,
        reject,
      });
      if (this.#waiting.length === 1) this.#pumpSoon();
    });
  }

  /** A call a turn: what was written leaves while the next is being put together. */
  #pumpSoon(): void {
    atNextTurn(() => {
      if (this.#waiting.length === 0) return;
      this.#send(this.#fill());
      if (this.#waiting.length > 0) this.#pumpSoon();
    });
  }

  /** Puts together what leaves in the next call. */
  #fill(): Batch {
    const version = this.#versionOf(this.#waiting[0]);
    const batch: Batch = {
      version,
      sent: [],
      lists: new Map(),
      pushes: new Map(),
      announced: [],
      queues: new Set(),
      timed: new Map(),
      expiring: new Map(),
      first: Infinity,
      last: 0,
      watch: undefined,
      size: 0,
      copies: 0,
    };
    let count = 0;
    for (const each of this.#waiting) {
      if (
        this.#versionOf(each) !== version || count === MAX_MESSAGES ||
        batch.size > MAX_SIZE || batch.copies > MAX_COPIES
      ) break;
      count++;
      if (each.signal?.aborted) continue; // its caller knows
      try {
        this.#write(each, batch);
      } catch (error) {
        each.reject(error);
      }
    }
    this.#waiting.splice(0, count);
    return batch;
  }

  #write(put: Waiting, batch: Batch): void {
    const { layout } = this.#core;
    const { items, announced, deadline } = put;
    const lists: string[] = [];
    let copy: Copy | undefined;
    for (const item of items) {
      const { queue, message } = item;
      const list = layout.list(queue, message.properties.priority);
      lists.push(list);
      batch.queues.add(queue);
      if (batch.version === PLAIN) {
        this.#writePlain(message, list, batch);
        continue;
      }
      const { expires } = this.#traitsOf(queue);
      if (expires !== undefined) batch.expiring.set(queue, expires);
      copy = this.#copy(item, copy);
      const { text, expiresAt } = copy;
      const texts = batch.lists.get(list);
      if (texts === undefined) batch.lists.set(list, [text]);
      else texts.push(text);
      batch.size += text.length;
      if (expiresAt === undefined) continue;
      const at = batch.timed.get(queue) ?? Infinity;
      batch.timed.set(queue, Math.min(at, expiresAt));
    }
    if (announced !== undefined && announced.length > 0) {
      const first = items[0]?.message;
      const channels = channelsOf(layout, announced, first, this.#predecessors);
      announceLast(batch, channels, lists[0]);
    }
    batch.first = Math.min(batch.first, deadline ?? Infinity);
    batch.last = Math.max(batch.last, deadline ?? Infinity);
    batch.copies += items.length;
    batch.sent.push({ put, lists });
  }

  /** Nobody looks at the body to learn the size: there may be much of it, and base64 is ASCII. */
  #writePlain(message: Publishing, list: string, batch: Batch): void {
    const head = ENVELOPE_HEAD + encodeBase64(message.body);
    const tail = this.#writer.writeTail(message, crypto.randomUUID());
    const size = head.length + byteLength(tail);
    let push = batch.pushes.get(list);
    if (push === undefined) batch.pushes.set(list, push = new Push(list));
    push.add(head + tail, size);
    batch.size += size;
  }

  /** What a put rests on: nothing that a script must check, where the tables are known to be what they were. */
  #versionOf(put: Waiting | undefined): string | undefined {
    if (put?.version === undefined || !this.#core.isCurrent(put.version)) {
      return put?.version;
    }
    for (const { message, ttl, queue } of put.items) {
      if (message.exchange !== "" || ttl !== undefined) return put.version;
      if (this.#traitsOf(queue).expires !== undefined) return put.version;
    }
    return PLAIN;
  }

  /** A copy's text, its name, and when it expires. All copies are of one message. */
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
    if (batch.sent.length === 0) return;
    const { version, sent, queues, timed } = batch;
    const sending = version === PLAIN ? this.#push(batch) : this.#putAll(batch);
    this.#watch(batch);
    sending.then((refused) => {
      batch.watch?.cancel();
      this.#answer(sent, refused);
      for (const queue of queues) this.#host.put(queue);
      if (timed.size > 0) this.#host.timed();
    }, (error) => {
      batch.watch?.cancel();
      for (const { put } of sent) put.reject(error);
    });
  }

  /** Those who have less time than others of their turn do not wait as long. */
  #watch(batch: Batch): void {
    const { first, last, sent } = batch;
    if (!(last - first >= DEADLINES_APART)) return;
    batch.watch = this.#limits.watchDeadline(first, () => {
      const near = this.#core.clock.now() + DEADLINES_APART;
      batch.first = Infinity;
      for (const { put } of sent) {
        const { deadline = Infinity } = put;
        if (deadline <= near) put.reject(notAnswered("publish", "unknown"));
        else batch.first = Math.min(batch.first, deadline);
      }
      this.#watch(batch);
    });
  }

  /** A command for each list. Returns the lists that cannot be, and why. */
  async #push({ pushes, last: deadline }: Batch): Promise<Refused> {
    const refused = new Map<string, Error>();
    await Promise.all([...pushes].map(async ([list, push]) => {
      try {
        await this.#core.commands.push(this.#actionOf(list), push, {
          deadline,
        });
      } catch (error) {
        // Another list's messages may be there all the same.
        if (!(error instanceof PreconditionFailedError)) throw error;
        refused.set(list, error);
      }
    }));
    return refused;
  }

  /** A script for all. Returns the lists that cannot be, and why; `undefined` if the view was old. */
  async #putAll(batch: Batch): Promise<Refused | undefined> {
    const { version, lists, timed, last: deadline } = batch;
    const seen = versionArguments(this.#core.mirror, version);
    if (seen === undefined) return undefined;
    const args: RedisArgument[] = [...seen, batch.expiring.size];
    for (const [queue, expires] of batch.expiring) args.push(queue, expires);
    args.push(timed.size);
    for (const [queue, at] of timed) args.push(queue, Math.ceil(at));
    for (const each of announcedArguments(batch)) args.push(each);
    for (const [list, texts] of lists) {
      args.push(list, texts.length);
      for (const text of texts) args.push(text);
    }
    const order = [...lists.keys()];
    const exchange = batch.sent[0]?.put.items[0]?.message.exchange;
    const reply = await this.#core.put(args, { version, exchange, deadline });
    if (!Array.isArray(reply)) return undefined;
    const refused = new Map<string, Error>();
    for (let i = 0; i < reply.length; i += 2) {
      const list = order[Number(reply[i])] ?? "";
      refused.set(list, replyError(this.#actionOf(list), decode(reply[i + 1])));
    }
    return refused;
  }

  #actionOf(list: string): string {
    return `publish to queue "${
      list.slice(this.#core.layout.options.prefix.length)
    }"`;
  }

  #answer(sent: readonly Sent[], refused: Refused | undefined): void {
    for (const { put, lists } of sent) {
      if (refused === undefined) put.resolve(STALE);
      else if (refused.size === 0) put.resolve(PUT);
      else {
        const list = lists.find((name) => refused.has(name));
        if (list === undefined) put.resolve(PUT);
        else put.reject(refused.get(list));
      }
    }
  }

  /** Puts one message by itself: delayed, in another's place, or where a queue has a limit. */
  async #putOne(
    items: readonly StoreItem[],
    { version, instead, announced = [], deadline }: PutOptions,
  ): Promise<PutResult> {
    const { layout, fields, mirror } = this.#core;
    const field = instead instanceof RedisReservation &&
        instead.where.type === "unacked"
      ? instead.where.field
      : "";
    this.flush(); // what was published before comes before
    const seen = versionArguments(mirror, version);
    if (seen === undefined) return STALE;
    const message = items[0]?.message;
    const delay = message?.delay ?? 0;
    const channels = channelsOf(layout, announced, message, this.#predecessors);
    const args: RedisArgument[] = [
      ...seen,
      field,
      delay,
      fields,
      this.#core.nextNumbers(100_000),
      "",
      channels.length,
      ...channels,
    ];
    let copy: Copy | undefined;
    for (const item of items) {
      const isFirst = copy === undefined;
      copy = this.#copy(item, copy);
      const { text, expiresAt } = copy;
      // One of the copies is announced when it becomes due.
      const id = isFirst && delay > 0 ? dueName(copy.id, channels) : copy.id;
      const suffix = layout.suffix(item.message.properties.priority);
      args.push(
        item.queue,
        layout.suffixes.indexOf(suffix) + 1,
        text,
        id,
        expiresAt === undefined ? "" : Math.ceil(expiresAt),
        ...limitsOf(this.#traitsOf(item.queue)),
      );
    }
    const reply = await this.#core.run("putOne", "publish", args, {
      deadline,
      late: (reply) => {
        if (!Array.isArray(reply)) return;
        this.#host.giveBack(displacedIn(reply, fields, mirror.topology));
      },
    });
    if (!Array.isArray(reply)) {
      const type = decode(reply);
      return type === "full" || type === "lost" ? { type } : STALE;
    }
    for (const { queue } of items) this.#host.put(queue);
    this.#host.timed();
    return {
      type: "put",
      displaced: displacedIn(reply, fields, mirror.topology),
    };
  }

  #traitsOf(queue: string): QueueTraits {
    return this.#core.mirror.topology.queue(queue)?.traits ?? NO_TRAITS;
  }
}

/** An envelope ends with its name, a UUID. */
const TAIL = `00000000-0000-4000-8000-000000000001"}}`.length;
