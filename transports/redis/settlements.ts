import type { CallOptions } from "../../model/call_options.ts";
import { EnvelopeWriter } from "../store/envelope.ts";
import type { ReleaseOptions, Reservation } from "../store/store.ts";
import type { RedisArgument } from "./reply.ts";
import type { Context } from "./context.ts";
import type { Fanout } from "./fanout.ts";
import type { News } from "./news.ts";
import { RedisReservation } from "./reservation.ts";
import { marked, withExpiry } from "./stored.ts";

/** So many are settled in one script, or so many bytes given back: a server does nothing else meanwhile. */
const AT_ONCE = 200;
const MAX_SIZE = 1_000_000;

/** Splits what is given back into what one script gives back. */
export function* releasePieces<T>(
  all: Iterable<T>,
  sizeOf: (each: T) => number,
): Iterable<readonly T[]> {
  let piece: T[] = [];
  let size = 0;
  for (const each of all) {
    piece.push(each);
    size += sizeOf(each);
    if (piece.length < AT_ONCE && size < MAX_SIZE) continue;
    yield piece;
    [piece, size] = [[], 0];
  }
  if (piece.length > 0) yield piece;
}

/** Settles taken messages: acks, requeues, quarantines or renews them. */
export class Settlements {
  readonly #context: Context;
  readonly #news: News;
  readonly #fanout: Fanout;
  readonly #writer = new EnvelopeWriter();

  /** Makes one for a connection; `news` hears of queues that get messages back. */
  constructor(context: Context, news: News, fanout: Fanout) {
    this.#context = context;
    this.#news = news;
    this.#fanout = fanout;
  }

  /** Forgets messages: they are done. */
  async remove(
    reservations: readonly Reservation[],
    options?: CallOptions,
  ): Promise<readonly Reservation[]> {
    const held = unacked(reservations);
    const { commands, layout } = this.#context;
    // Read by somebody and acked: nobody needs it any more.
    const read = aside(reservations).map(({ queue, bytes }) =>
      commands.send(`ack a message of queue "${queue}"`, [
        "LREM",
        layout.malformed(queue),
        1,
        bytes,
      ], options)
    );
    const plain = held.filter(({ key }) => !key);
    const keyed = plain.length === held.length ? [] : held.filter(hasKey);
    const [lost, lostOfKeys] = await Promise.all([
      this.#inPieces("remove", "ack messages", plain, options),
      this.#removeKeyed(keyed, options),
      ...read,
    ]);
    return lostOfKeys.length === 0 ? lost : [...lost, ...lostOfKeys];
  }

  /** In ordered queues: the next message of each key may be taken then. */
  async #removeKeyed(
    held: readonly RedisReservation[],
    options?: CallOptions,
  ): Promise<readonly Reservation[]> {
    const lost: Reservation[] = [];
    for (let i = 0; i < held.length; i += AT_ONCE) {
      const some = held.slice(i, i + AT_ONCE);
      const [gone, more] = await this.#context.runList(
        "removeOrdered",
        "ack messages",
        some.flatMap(({ handle, queue, key = "" }) => [handle, queue, key]),
        options,
      );
      lost.push(...placesIn(some, gone));
      const queues = new Set(placesIn(some, more).map(({ queue }) => queue));
      for (const queue of queues) this.#news.ring(queue);
    }
    return lost;
  }

  /**
   * Puts messages back that were delivered, and marks them; those of an ordered queue that
   * come with other headers or later, as if they were put there anew, but in their place.
   */
  release(
    reservations: readonly Reservation[],
    options: ReleaseOptions = {},
  ): Promise<readonly Reservation[]> {
    const { delay, headers } = options;
    return delay === undefined && headers === undefined
      ? this.#putBack(reservations, true, options)
      : this.#putAgain(reservations, options);
  }

  async #putAgain(
    reservations: readonly Reservation[],
    { delay = 0, headers, ...options }: ReleaseOptions,
  ): Promise<readonly Reservation[]> {
    const held = unacked(reservations).reverse();
    const args: RedisArgument[] = [];
    for (const each of held) {
      const { handle, queue, key = "", bytes, message, expiresAt } = each;
      const id = crypto.randomUUID();
      const rewritten = "error" in message || headers === undefined
        ? marked(bytes, message, handle)
        : this.#writer.write({
          ...message,
          properties: { ...message.properties, headers },
          republished: true,
        }, id);
      const text = typeof rewritten === "string" && headers !== undefined &&
          expiresAt !== undefined
        ? withExpiry(rewritten, expiresAt)
        : rewritten;
      args.push(handle, queue, each.lineage, key, text, id);
      args.push(Math.max(0, Math.ceil(delay)));
    }
    const action = "requeue messages";
    const lost = await this.#context.run("again", action, args, options);
    for (const queue of new Set(held.map(({ queue }) => queue))) {
      this.#news.ring(queue);
    }
    this.#news.ringDue();
    return placesIn(held, lost);
  }

  /** Puts messages back as they were: nobody has seen them, nor waits for this. */
  giveBack(reservations: readonly Reservation[]): void {
    this.#putBack(reservations, false).catch(() => {});
  }

  async #putBack(
    reservations: readonly Reservation[],
    delivered: boolean,
    options?: CallOptions,
  ): Promise<readonly Reservation[]> {
    const { layout } = this.#context;
    // The last to be served first: each goes in front of those before it.
    const held = unacked(reservations).reverse();
    const moved = aside(reservations).map(async ({ queue, bytes }) => {
      const action = `requeue a message of queue "${queue}"`;
      const list = layout.list(queue, 0);
      const expires = this.#context.mirror.expiresOf(queue) ?? "";
      const args = [queue, list, bytes, "RPUSH", expires];
      await this.#context.run("back", action, args, options);
    });
    for (const each of reservations.toReversed()) {
      if (each instanceof RedisReservation && each.where.type === "here") {
        const { bytes, message, handle } = each;
        const back = delivered ? marked(bytes, message, handle) : bytes;
        this.#fanout.restore(
          each.queue,
          typeof back === "string" ? ENCODER.encode(back) : back,
        );
      }
    }
    const lost: Reservation[] = [];
    for (const some of releasePieces(held, ({ bytes }) => bytes.length)) {
      const args = some.flatMap((each): RedisArgument[] => {
        const { handle, queue, lineage, bytes, message } = each;
        const priority = "error" in message
          ? undefined
          : message.properties.priority;
        const suffix = this.#context.suffixOf(queue, priority);
        const text = delivered ? marked(bytes, message, handle) : bytes;
        return [handle, "", 1, queue, suffix, text, lineage];
      });
      const action = "requeue messages";
      const reply = await this.#context.run("release", action, args, options);
      lost.push(...placesIn(some, reply));
    }
    await Promise.all(moved);
    for (const queue of new Set(reservations.map(({ queue }) => queue))) {
      this.#news.ring(queue);
    }
    if (held.some(({ timed }) => timed)) this.#news.ringDue();
    return lost;
  }

  /** Says that messages are being worked on. */
  async renew(
    reservations: readonly Reservation[],
    options?: CallOptions,
  ): Promise<readonly Reservation[]> {
    const held = unacked(reservations);
    return await this.#inPieces("renew", "renew leases", held, options);
  }

  /** Runs a script that is given fields. Returns the reservations that were not there. */
  async #inPieces(
    script: "remove" | "renew",
    action: string,
    held: readonly RedisReservation[],
    options?: CallOptions,
  ): Promise<readonly Reservation[]> {
    const lost: Reservation[] = [];
    for (let i = 0; i < held.length; i += 2 * AT_ONCE) {
      const some = held.slice(i, i + 2 * AT_ONCE);
      const fields = some.map(({ handle }) => handle);
      const reply = await this.#context.run(script, action, fields, {
        ...options,
        queueOf: (place) => some[place]?.queue ?? "",
      });
      lost.push(...placesIn(some, reply));
    }
    return lost;
  }

  /** Quarantines messages; entries that are no envelopes are in quarantine since they were taken. */
  async setAside(
    reservations: readonly Reservation[],
    options?: CallOptions,
  ): Promise<readonly Reservation[]> {
    const held = unacked(reservations);
    const here = reservations.filter((each) => each instanceof RedisReservation)
      .filter(({ where }) => where.type === "here");
    if (held.length + here.length === 0) return [];
    const lost = await this.#context.run(
      "aside",
      "put messages aside",
      [...held, ...here].flatMap(({ where, queue, bytes }) => [
        where.type === "unacked" ? where.field : "",
        queue,
        bytes,
      ]),
      options,
    );
    const keyed = held.filter(hasKey).map(({ queue }) => queue);
    for (const queue of new Set(keyed)) this.#news.ring(queue);
    return placesIn(held, lost);
  }
}

const ENCODER = new TextEncoder();

function unacked(reservations: readonly Reservation[]): RedisReservation[] {
  return reservations.filter((each) => each instanceof RedisReservation)
    .filter(({ where }) => where.type === "unacked");
}

function aside(reservations: readonly Reservation[]): RedisReservation[] {
  return reservations.filter((each) => each instanceof RedisReservation)
    .filter(({ where }) => where.type === "aside");
}

function hasKey({ key }: RedisReservation): boolean {
  return key !== undefined && key !== "";
}

function placesIn(
  held: readonly RedisReservation[],
  places: unknown,
): readonly RedisReservation[] {
  if (!Array.isArray(places) || places.length === 0) return [];
  const lost = new Set(places.map(Number));
  return held.filter((_, place) => lost.has(place));
}
