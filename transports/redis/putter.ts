import { Batcher } from "../../async/batcher.ts";
import { asError } from "../../model/error_text.ts";
import { PreconditionFailedError } from "../../model/errors.ts";
import type { Publishing } from "../../model/message.ts";
import { encodeBase64 } from "../../codec/mod.ts";
import { hasLimit } from "../../virtual/queue_arguments.ts";
import { ENVELOPE_HEAD, EnvelopeWriter } from "../store/envelope.ts";
import { PUT, STALE } from "../store/store.ts";
import type { PutOptions, PutResult, StoreItem } from "../store/store.ts";
import { notAnswered } from "../connection_errors.ts";
import { byteLength, Push } from "./socket/push_client.ts";
import { decode, type RedisArgument, type RedisReply } from "./reply.ts";
import { type Context, versionArguments } from "./context.ts";
import {
  announcedArguments,
  announceLast,
  channelsOf,
  END,
  TAIL,
} from "./put_arguments.ts";
import type { News } from "./news.ts";
import { Predecessors } from "./listening/predecessors.ts";
import type { Batch, Copy, Refused, Waiting } from "./batch.ts";
import { PassingError, replyError } from "./errors.ts";
import type { Settlements } from "./settlements.ts";
import { isForPieces, SinglePutter } from "./single_putter.ts";
import { withExpiry } from "./stored.ts";

const PLAIN = "plain";
const ACTION = "publish";

/** So many characters leave in one call, or so many messages: a server does nothing else meanwhile. */
const MAX_SIZE = 4_000_000;
const MAX_MESSAGES = 128;
const MAX_COPIES = 2000;

/** The size of an envelope besides the body, about. */
const HEAD_SIZE = 400;

/** Puts messages: those of one turn of the event loop in one call. */
export class Putter {
  readonly #context: Context;
  readonly #writer = new EnvelopeWriter();
  readonly #news: News;
  readonly #batcher: Batcher<Waiting, PutResult>;
  readonly #predecessors: Predecessors;
  readonly #single: SinglePutter;

  /** Makes one that has nothing to put; `news` hears of our own puts, of which the server does not notify us. */
  constructor(context: Context, news: News, settlements: Settlements) {
    this.#context = context;
    this.#news = news;
    this.#predecessors = new Predecessors(context.mirror);
    this.#single = new SinglePutter(
      context,
      news,
      settlements,
      this.#writer,
      this.#predecessors,
    );
    this.#batcher = new Batcher({
      limits: context.limits,
      count: MAX_MESSAGES,
      bytes: MAX_SIZE,
      bytesOf: sizeOf,
      atOnce: Infinity,
      // All of a call rests on the same view.
      joins: () => {
        let version: string | undefined;
        let copies = 0;
        return (put) => {
          const own = this.#versionOf(put);
          if (copies === 0) version = own;
          copies += put.items.length;
          return own === version && copies <= MAX_COPIES;
        };
      },
      actionOf: () => ACTION,
      late: () => notAnswered(ACTION, "unknown"),
      send: (puts, { deadline = Infinity }) => this.#send(puts, deadline),
    });
  }

  /** Puts the copies of one message. */
  put(items: readonly StoreItem[], options: PutOptions): Promise<PutResult> {
    const { version, announced, instead, mark } = options;
    const isPlain = instead === undefined && mark === undefined;
    if (isPlain && this.#arePlain(items) && !isForPieces(items)) {
      return this.#batcher.add({ items, version, announced }, options);
    }
    this.flush(); // what was published before comes before
    return this.#single.put(items, options);
  }

  /** Sends all that waits. */
  flush(): void {
    this.#batcher.flush();
  }

  /** Whether they may share a call with others. */
  #arePlain(items: readonly StoreItem[]): boolean {
    const { mirror } = this.#context;
    return items.every(({ message, queue }) =>
      message.delay <= 0 && !hasLimit(mirror.traitsOf(queue))
    );
  }

  /** Puts together what leaves in one call. */
  #fill(puts: readonly Waiting[]): Batch {
    const batch: Batch = {
      version: this.#versionOf(puts[0]),
      written: [],
      lists: new Map(),
      ordered: undefined,
      pushes: new Map(),
      last: undefined,
      announced: [],
      queues: new Set(),
      timed: new Map(),
      expiring: new Map(),
    };
    for (const put of puts) {
      try {
        batch.written.push(this.#write(put, batch));
      } catch (error) {
        batch.written.push({ error });
      }
    }
    return batch;
  }

  /** Writes a message into its lists; returns them. */
  #write({ items, announced }: Waiting, batch: Batch): readonly string[] {
    const { layout, mirror } = this.#context;
    const lists: string[] = [];
    let copy: Copy | undefined;
    for (const item of items) {
      const { queue, message } = item;
      if (batch.version === PLAIN) {
        lists.push(this.#writePlain(message, queue, batch));
        continue;
      }
      let list = layout.key(queue) +
        this.#context.suffixOf(queue, message.properties.priority);
      batch.queues.add(queue);
      const expires = mirror.expiresOf(queue);
      if (mirror.traitsOf(queue).ordered) {
        list = layout.key(queue);
        (batch.ordered ??= new Set()).add(list);
      }
      lists.push(list);
      if (expires !== undefined) batch.expiring.set(queue, expires);
      copy = this.#copy(item, copy);
      const { text, expiresAt } = copy;
      const texts = batch.lists.get(list);
      if (texts === undefined) batch.lists.set(list, [text]);
      else texts.push(text);
      if (expiresAt === undefined) continue;
      const at = batch.timed.get(queue) ?? Infinity;
      batch.timed.set(queue, Math.min(at, expiresAt));
    }
    if (announced !== undefined && announced.length > 0) {
      const first = items[0]?.message;
      const channels = channelsOf(layout, announced, first, this.#predecessors);
      announceLast(batch, channels, lists[0]);
    }
    return lists;
  }

  /** Nobody looks at the body to learn the size: there may be much of it, and base64 is ASCII. */
  #writePlain(message: Publishing, queue: string, batch: Batch): string {
    // It may throw: before there is anything of it.
    const tail = this.#writer.writeTail(message, crypto.randomUUID());
    const { priority } = message.properties;
    let last = batch.last;
    if (
      last === undefined || last.queue !== queue || last.priority !== priority
    ) {
      const list = this.#context.layout.key(queue) +
        this.#context.suffixOf(queue, priority);
      let push = batch.pushes.get(list);
      if (push === undefined) batch.pushes.set(list, push = new Push(list));
      batch.queues.add(queue);
      batch.last = last = { queue, priority, list, push };
    }
    const head = ENVELOPE_HEAD + encodeBase64(message.body);
    const size = this.#writer.isAscii ? tail.length : byteLength(tail);
    last.push.add(head + tail, head.length + size);
    return last.list;
  }

  /** Returns the version that a put depends on: none to be checked by a script, if the tables are known to be unchanged. */
  #versionOf(put: Waiting | undefined): string | undefined {
    if (put?.version === undefined || !this.#context.isCurrent(put.version)) {
      return put?.version;
    }
    for (const { message, ttl, queue } of put.items) {
      if (message.exchange !== "" || ttl !== undefined) return put.version;
      const { mirror } = this.#context;
      if (
        mirror.traitsOf(queue).ordered || mirror.expiresOf(queue) !== undefined
      ) return put.version;
    }
    return PLAIN;
  }

  /** A copy's text, its name, and when it expires. All copies are of one message. */
  #copy(item: StoreItem, first: Copy | undefined): Copy {
    const id = crypto.randomUUID();
    // Every copy has a name of its own: Kombu's consumers note by it what they took.
    const plain = first === undefined
      ? this.#writer.write(item.message, id)
      : `${first.plain.slice(0, -TAIL)}${id}${END}`;
    if (item.ttl === undefined) {
      return { id, plain, text: plain, expiresAt: undefined };
    }
    const expiresAt = this.#context.serverNow + item.message.delay + item.ttl;
    return { id, plain, text: withExpiry(plain, expiresAt), expiresAt };
  }

  async #send(
    puts: readonly Waiting[],
    deadline: number,
  ): Promise<readonly (PutResult | Promise<PutResult>)[]> {
    const batch = this.#fill(puts);
    const { version, queues, timed } = batch;
    const refused = queues.size === 0
      ? new Map()
      : version === PLAIN
      ? await this.#push(batch, deadline)
      : await this.#putAll(batch, puts[0], deadline);
    for (const queue of queues) this.#news.ring(queue);
    if (timed.size > 0) this.#news.ringDue();
    return batch.written.map((lists) => resultOf(lists, refused));
  }

  /** A command for each list. Returns the lists that cannot be, and why. */
  async #push({ pushes }: Batch, deadline: number): Promise<Refused> {
    const refused = new Map<string, Error>();
    await Promise.all([...pushes].map(async ([list, push]) => {
      try {
        const action = this.#actionOf(list);
        await this.#context.commands.push(action, push, { deadline });
        await this.#context.confirm(action, list, { deadline });
      } catch (error) {
        // Another list's messages may be there all the same.
        const isTheirs = error instanceof PreconditionFailedError ||
          error instanceof PassingError;
        if (!isTheirs) throw error;
        refused.set(list, error);
      }
    }));
    return refused;
  }

  /** A script for all. Returns the lists that cannot be, and why; `undefined` if the view was old. */
  async #putAll(
    batch: Batch,
    first: Waiting | undefined,
    deadline: number,
  ): Promise<Refused | undefined> {
    const { version, lists } = batch;
    const seen = versionArguments(this.#context.mirror, version);
    if (seen === undefined) return undefined;
    const exchange = first?.items[0]?.message.exchange;
    const options = { version, exchange, deadline };
    if (this.#context.isSharded) {
      return await this.#putApart(batch, seen, options);
    }
    const args = argumentsOf(batch, seen, lists);
    const reply = await this.#context.put(args, options);
    return Array.isArray(reply) ? this.#refusedIn(reply, lists) : undefined;
  }

  /** A script for each queue, and one before where the tables are. */
  async #putApart(
    batch: Batch,
    seen: readonly (string | number)[],
    options: Parameters<Context["put"]>[1],
  ): Promise<Refused | undefined> {
    const { deadline } = options;
    if (!await this.#context.isCurrentThere(seen, batch.expiring, options)) {
      return undefined;
    }
    const queues = Map.groupBy(
      batch.lists,
      ([list]) => this.#context.layout.queueOf(list) ?? "",
    );
    const refused = new Map<string, Error | typeof STALE>();
    await Promise.all([...queues].map(async ([queue, entries]) => {
      const lists = new Map(entries);
      const args = argumentsOf(batch, NO_VERSION, lists, queue);
      const of = { deadline, queueOf: () => queue };
      try {
        const reply = await this.#context.run("put", ACTION, args, of);
        const found = Array.isArray(reply) && this.#refusedIn(reply, lists);
        for (const list of lists.keys()) {
          const why = found ? found.get(list) : STALE;
          if (why !== undefined) refused.set(list, why);
        }
      } catch (error) {
        // Other queues have theirs all the same.
        for (const list of lists.keys()) refused.set(list, asError(error));
      }
    }));
    return refused;
  }

  /** The lists that could not be put to, and why. */
  #refusedIn(
    reply: readonly RedisReply[],
    lists: ReadonlyMap<string, unknown>,
  ): Map<string, Error> {
    const order = [...lists.keys()];
    const refused = new Map<string, Error>();
    for (let i = 0; i < reply.length; i += 2) {
      const list = order[Number(reply[i])] ?? "";
      refused.set(list, replyError(this.#actionOf(list), decode(reply[i + 1])));
    }
    return refused;
  }

  #actionOf(list: string): string {
    return `publish to queue "${this.#context.layout.queueOf(list) ?? list}"`;
  }
}

/** No view that is to be checked. */
const NO_VERSION = ["", 0] as const;

/** Writes the arguments of the script, for some lists of a batch, or for those of one queue. */
function argumentsOf(
  batch: Batch,
  seen: readonly (string | number)[],
  lists: ReadonlyMap<string, readonly string[]>,
  only?: string,
): RedisArgument[] {
  const args: RedisArgument[] = [...seen];
  for (const times of [batch.expiring, batch.timed]) {
    const some = only === undefined
      ? [...times]
      : [...times].filter(([queue]) => queue === only);
    args.push(some.length);
    for (const [queue, value] of some) args.push(queue, Math.ceil(value));
  }
  if (only !== undefined) args.push(0);
  else for (const each of announcedArguments(batch)) args.push(each);
  for (const [list, texts] of lists) {
    const isOrdered = batch.ordered?.has(list) ?? false;
    args.push(list, isOrdered ? -texts.length : texts.length);
    for (const text of texts) args.push(text);
  }
  return args;
}

/** The size of a message's texts, about. */
function sizeOf({ items }: Waiting): number {
  const bytes = items[0]?.message.body.byteLength ?? 0;
  return items.length * (bytes * 4 / 3 + HEAD_SIZE);
}

/** Returns the result of a message's put, from the lists that refused it; without `refused` the view was stale. */
function resultOf(
  written: Batch["written"][number],
  refused: Refused | undefined,
): PutResult | Promise<PutResult> {
  if ("error" in written) return Promise.reject(written.error);
  if (refused === undefined) return STALE;
  if (refused.size === 0) return PUT;
  const why = written.map((list) => refused.get(list)).find((each) => each);
  if (why === undefined) return PUT;
  return why === STALE ? STALE : Promise.reject(why);
}
