import { hasLimit } from "../../virtual/queue_arguments.ts";
import type { EnvelopeWriter } from "../store/envelope.ts";
import { STALE } from "../store/store.ts";
import type { PutOptions, PutResult, StoreItem } from "../store/store.ts";
import { notAnswered } from "../connection_errors.ts";
import { type Context, versionArguments } from "./context.ts";
import type { News } from "./news.ts";
import type { Predecessors } from "./listening/predecessors.ts";
import { channelsOf, dueName, END, limitsOf, TAIL } from "./put_arguments.ts";
import { decode, type RedisArgument, type RedisReply } from "./reply.ts";
import { readAllTaken, RedisReservation } from "./reservation.ts";
import type { Settlements } from "./settlements.ts";
import { withExpiry } from "./stored.ts";

const ACTION = "publish";

/** So many copies of a message, or so many characters, are put in one script of several: a server does nothing else meanwhile. */
const MAX_COPIES = 500;
const MAX_SIZE = 1_000_000;

/** The message that another is put instead of, if it lies in the server. */
function heldIn(instead: PutOptions["instead"]): RedisReservation | undefined {
  return instead instanceof RedisReservation && instead.where.type === "unacked"
    ? instead
    : undefined;
}

/** Says whether the copies of a message are too many for one script, or too large. */
export function isForPieces(items: readonly StoreItem[]): boolean {
  if (items.length === 1) return false;
  const size = items[0]?.message.body.byteLength ?? 0;
  return items.length > 2 * MAX_COPIES || items.length * size > 2 * MAX_SIZE;
}

/**
 * Puts one message by itself: delayed, once, in another's place, where a queue has a limit, or
 * into so many queues that it is done in pieces. All pieces leave at once, so what is
 * published later comes later in each queue. The first decides, on the routes as they are
 * then: if it is refused, the others put nothing. Else they put the rest, by those routes:
 * a queue that was deleted meanwhile is left out, and one that was bound comes too late.
 */
export class SinglePutter {
  readonly #context: Context;
  readonly #news: News;
  readonly #settlements: Settlements;
  readonly #writer: EnvelopeWriter;
  readonly #predecessors: Predecessors;

  /** Makes one that has nothing to put. */
  constructor(
    context: Context,
    news: News,
    settlements: Settlements,
    writer: EnvelopeWriter,
    predecessors: Predecessors,
  ) {
    this.#context = context;
    this.#news = news;
    this.#settlements = settlements;
    this.#writer = writer;
    this.#predecessors = predecessors;
  }

  /** Puts the copies of a message. */
  put(items: readonly StoreItem[], options: PutOptions): Promise<PutResult> {
    const { signal, deadline } = options;
    if (signal?.aborted) return Promise.reject(signal.reason);
    // A put that has left is done, whether or not its caller still waits for it.
    return this.#context.limits.wait(
      this.#put(items, options),
      { signal, deadline },
      () => notAnswered(ACTION, "unknown"),
    );
  }

  async #put(
    items: readonly StoreItem[],
    options: PutOptions,
  ): Promise<PutResult> {
    const seen = versionArguments(this.#context.mirror, options.version);
    if (seen === undefined) return STALE;
    return this.#context.isSharded
      ? await this.#putApart(items, seen, options)
      : await this.#putTogether(items, seen, options);
  }

  /**
   * One script for each queue: first those that may refuse, one after the other, then the
   * others, and at last the message goes that it is put instead of. Who ends between leaves
   * copies, and nothing is lost.
   */
  async #putApart(
    items: readonly StoreItem[],
    seen: readonly (string | number)[],
    options: PutOptions,
  ): Promise<PutResult> {
    const { version, instead, deadline = Infinity } = options;
    const { mirror } = this.#context;
    const expiring = new Map(items.flatMap(({ queue }) => {
      const expires = mirror.expiresOf(queue);
      return expires === undefined || instead ? [] : [[queue, expires]];
    }));
    const exchange = items[0]?.message.exchange;
    const of = { version, exchange, deadline };
    if (!await this.#context.isCurrentThere(seen, expiring, of)) return STALE;
    const held = heldIn(instead);
    const isAway = held !== undefined &&
      (items.length > 1 || items[0]?.queue !== held.queue);
    if (isAway && await this.#settle("renew", held, options)) {
      return { type: "lost" };
    }
    const results: PutResult[] = [];
    const putOne = async (item: StoreItem) => {
      results.push(
        await this.#putTogether([item], ["", 0], {
          ...options,
          version: isAway ? "" : version,
          instead: isAway ? undefined : instead,
          announced: [],
        }),
      );
    };
    const refuses = ({ queue }: StoreItem) => {
      const traits = mirror.traitsOf(queue);
      return traits.refuses && hasLimit(traits);
    };
    for (const item of items.filter(refuses)) {
      await putOne(item);
      if (results.at(-1)?.type === "full") return { type: "full" };
    }
    await Promise.all(items.filter((item) => !refuses(item)).map(putOne));
    const stale = results.find(({ type }) => type === "stale");
    if (stale !== undefined) return stale;
    if (isAway) await this.#settle("remove", held, options);
    const [first] = results;
    const puts = results.filter((each) => each.type === "put");
    if (first !== undefined && puts.length === 0) return first;
    return {
      type: "put",
      displaced: puts.flatMap(({ displaced = [] }) => displaced),
    };
  }

  /** Returns whether the message that is held was not there any more. */
  async #settle(
    script: "renew" | "remove",
    { handle, queue, key }: RedisReservation,
    { deadline }: PutOptions,
  ): Promise<boolean> {
    const of = { deadline, queueOf: () => queue };
    if (script === "remove" && key) {
      const args = [handle, queue, key];
      const [lost] = await this.#context.runList(
        "removeOrdered",
        ACTION,
        args,
        of,
      );
      this.#news.ring(queue); // its key may have more
      return Array.isArray(lost) && lost.length > 0;
    }
    const lost = await this.#context.run(script, ACTION, [handle], of);
    return Array.isArray(lost) && lost.length > 0;
  }

  async #putTogether(
    items: readonly StoreItem[],
    seen: readonly (string | number)[],
    { version, instead, announced, deadline, mark }: PutOptions,
  ): Promise<PutResult> {
    const { fields } = this.#context;
    const queue = items[0]?.queue ?? "";
    // With a mark it is all or nothing: who ends between pieces would leave it, and not the rest.
    const most = mark === undefined ? MAX_COPIES : Infinity;
    const pieces = this.#pieces(items, announced ?? [], most);
    const name = pieces.length === 1 ? "" : crypto.randomUUID();
    const held = heldIn(instead);
    const late = (reply: RedisReply) => this.#giveBack(reply);
    const replies = await Promise.allSettled(
      pieces.map((piece, i) =>
        this.#context.run("putOne", ACTION, [
          ...seen,
          held?.handle ?? "",
          // Without a view it goes back to the queue that it was taken of.
          version === undefined ? held?.lineage ?? "" : "",
          ...[held?.queue ?? "", held?.key ?? ""],
          items[0]?.message.delay ?? 0,
          fields,
          this.#context.nextNumbers(100_000),
          "",
          mark === undefined ? "" : this.#context.layout.mark(mark.key, queue),
          mark?.window ?? 0,
          mark?.token ?? "",
          name,
          i === 0 ? "first" : i < pieces.length - 1 ? "next" : "last",
          ...piece,
          // The first alone may be too late to begin: a part of them would help nobody.
        ], { ...(i === 0 ? { deadline, late } : {}), queueOf: () => queue })
      ),
    );
    const [first] = replies;
    const failed = replies.find((each) => each.status === "rejected");
    const put = replies.flatMap((each) =>
      each.status === "fulfilled" ? [each.value] : []
    );
    if (first?.status === "fulfilled" && !Array.isArray(first.value)) {
      const type = decode(first.value);
      return type === "full" || type === "lost" || type === "duplicate"
        ? { type }
        : STALE;
    }
    if (failed !== undefined || !put.every(Array.isArray)) {
      for (const reply of put) this.#giveBack(reply);
      // The name of the pieces was evicted: nobody knows which of the queues have it.
      throw failed?.reason ?? notAnswered(ACTION, "unknown");
    }
    for (const { queue } of items) this.#news.ring(queue);
    if (held?.key) this.#news.ring(held.queue); // its key may have more
    this.#news.ringDue();
    return { type: "put", displaced: put.flatMap((each) => this.#read(each)) };
  }

  /** Writes the arguments of each script: where it is announced, what the texts begin with, and copies. */
  #pieces(
    items: readonly StoreItem[],
    announced: readonly string[],
    mostCopies: number,
  ): readonly (readonly RedisArgument[])[] {
    const { layout, mirror } = this.#context;
    const message = items[0]?.message;
    if (message === undefined) return [];
    const channels = channelsOf(layout, announced, message, this.#predecessors);
    const written = this.#writer.write(message, crypto.randomUUID());
    const head = written.slice(0, -TAIL);
    const copies = items.map(({ queue, ttl }, i) => {
      const { delay, properties: { priority } } = message;
      const traits = mirror.traitsOf(queue);
      // Every copy has a name of its own: Kombu's consumers note by it what they took.
      const id = crypto.randomUUID();
      const at = ttl === undefined
        ? undefined
        : Math.floor(this.#context.serverNow + delay + ttl);
      const suffix = this.#context.suffixOf(queue, priority);
      const place = layout.suffixes.indexOf(suffix) + 1;
      return {
        refuses: traits.refuses && hasLimit(traits),
        args: [
          queue,
          traits.ordered ? -place : place,
          at === undefined ? id + END : withExpiry(id + END, at),
          // One of the copies is announced when it becomes due.
          i === 0 && delay > 0 ? dueName(id, channels) : id,
          at ?? "",
          ...limitsOf(traits),
          mirror.expiresOf(queue) ?? "",
          mirror.isDeclared(queue) ? 1 : 0,
        ],
      };
    });
    // A queue that refuses it is asked before any has it.
    const asked = copies.filter(({ refuses }) => refuses);
    const others = copies.filter(({ refuses }) => !refuses);
    const most = mostCopies === Infinity ? items.length : Math.max(
      1,
      Math.min(mostCopies, Math.floor(MAX_SIZE / written.length)),
    );
    const first = Math.max(0, most - asked.length);
    const pieces = [[...asked, ...others.slice(0, first)]];
    for (let i = first; i < others.length; i += most) {
      pieces.push(others.slice(i, i + most));
    }
    return pieces.map((piece, i) => [
      ...i === 0 ? [channels.length, ...channels] : [0],
      head,
      ...piece.flatMap(({ args }) => args),
    ]);
  }

  /** Reads what was pushed out, as `maxlen` whether or not it has expired; what is in quarantine stays there. */
  #read(reply: RedisReply): readonly RedisReservation[] {
    if (!Array.isArray(reply)) return [];
    return readAllTaken(this.#context, reply, 0)
      .filter(({ where }) => where.type === "unacked");
  }

  #giveBack(reply: RedisReply): void {
    this.#settlements.giveBack(this.#read(reply));
  }
}
