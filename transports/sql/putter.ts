import { UnsupportedError } from "../../model/errors.ts";
import { keyOf } from "../../virtual/message_key.ts";
import { hasLimit } from "../../virtual/queue_arguments.ts";
import {
  DUPLICATE,
  LOST,
  PUT,
  type PutOptions,
  type PutResult,
  STALE,
  type StoreItem,
} from "../store/store.ts";
import { laneOf } from "./lanes.ts";
import type { SqlReservation } from "./message.ts";
import { findMark, leaveMark } from "./once.ts";
import type { CallersTx, Draft, Tx } from "./port.ts";
import { ripen } from "./ripening.ts";
import { DELAYED, READY } from "./schema.ts";
import { noteSize, sizeOf } from "./sizes.ts";
import type { Settlements } from "./settlements.ts";
import type { NumberedQueue, SqlTables } from "./tables.ts";
import type { Taker } from "./taker.ts";

/** A message that is to be put. */
export interface Putting {
  readonly items: readonly StoreItem[];
  /** Of each item. */
  readonly heads: readonly string[];
  readonly options: PutOptions | undefined;
}

const FULL: PutResult = { type: "full" };

/** What a put needs of a connection. */
export interface PutterParts {
  readonly tables: SqlTables;
  readonly taker: Taker;
  readonly settlements: Settlements;
  readonly now: () => number;
}

/** Puts messages. */
export class Putter {
  readonly #parts: PutterParts;

  /** Makes one for a connection. */
  constructor(parts: PutterParts) {
    this.#parts = parts;
  }

  /** Puts messages that stand one after another. */
  readonly put = async (
    tx: Tx,
    calls: readonly Putting[],
  ): Promise<readonly PutResult[]> => {
    await this.#parts.tables.sync(tx);
    const results: PutResult[] = [];
    // One moment for all of them: what is alike is added together.
    const now = this.#parts.now();
    const ripe = new Set<number>();
    // Those that need no look at what is there are appended together.
    let drafts: Draft[] = [];
    const append = async () => {
      if (drafts.length > 0) await tx.append(drafts);
      drafts = [];
    };
    for (const call of calls) {
      const refusal = this.#refuse(call);
      if (refusal !== undefined) {
        results.push(refusal);
        continue;
      }
      if (this.#needsLook(call)) {
        await append();
        results.push(await this.#putAlone(tx, call, now, ripe));
      } else {
        results.push(PUT);
        for (const draft of this.#drafts(tx, call, now)) {
          drafts.push(
            draft.lane === undefined ? draft : await this.#inLane(tx, draft),
          );
        }
      }
    }
    await append();
    return results;
  };

  /**
   * Puts messages in a transaction of the caller's. Nobody waits for that: it holds no lock
   * of ours. One for an ordered queue finds its lane when others see it.
   *
   * @throws {UnsupportedError} If a queue has a limit of length.
   */
  async putWithin(
    tx: CallersTx,
    tables: SqlTables,
    call: Putting,
  ): Promise<void> {
    for (const { queue: name } of call.items) {
      if (isLimited(tables.queue(name))) throw noLimits(name);
    }
    const drafts = this.#drafts(tx, call, this.#parts.now(), tables).map((
      draft,
    ) =>
      draft.lane === undefined
        ? draft
        : { ...draft, state: DELAYED, rank: draft.putAt }
    );
    if (drafts.length > 0) await tx.append(drafts);
  }

  #refuse({ options }: Putting): PutResult | undefined {
    const version = options?.version;
    return version === undefined || version === this.#parts.tables.view.routes
      ? undefined
      : STALE;
  }

  #needsLook({ items, options }: Putting): boolean {
    return options?.mark !== undefined || options?.instead !== undefined ||
      items.some(({ queue }) => isLimited(this.#parts.tables.queue(queue)));
  }

  async #putAlone(
    tx: Tx,
    call: Putting,
    now: number,
    /** The queues with a limit of which all is ready that is due by now. */
    ripe: Set<number>,
  ): Promise<PutResult> {
    const { tables, settlements } = this.#parts;
    const { items, options } = call;
    const { instead, mark } = options ?? {};
    if (mark !== undefined) {
      const token = await findMark(tx, mark, now);
      if (token !== undefined) return token === mark.token ? PUT : DUPLICATE;
    }
    const displaced: SqlReservation[] = [];
    /** What has expired, and was taken to make room, goes back. */
    const refuse = async (result: PutResult) => {
      const back = {
        reservations: displaced,
        options: undefined,
        isUnseen: true,
      };
      await settlements.release(tx, [back]);
      return result;
    };
    for (const { queue: name } of items) {
      const queue = tables.queue(name);
      if (!isLimited(queue) || ripe.has(queue.number)) continue;
      await tx.lock(`queue ${queue.number}`);
      const { ordered } = queue.traits;
      while (await ripen(tx, queue.number, { now, ordered }));
      ripe.add(queue.number);
    }
    for (const { queue: name, message } of items) {
      const queue = tables.queue(name);
      if (queue?.traits.refuses !== true) continue;
      const { length } = message.body;
      if (!await this.#makesRoom(tx, queue, displaced, 1, length)) {
        return await refuse(FULL);
      }
    }
    if (instead !== undefined) {
      const [lost] = await settlements.removeAll(tx, [instead]);
      if (lost !== undefined) return await refuse(LOST);
    }
    if (mark !== undefined) await leaveMark(tx, mark, now);
    for (const each of this.#drafts(tx, call, now)) {
      const draft = each.lane === undefined
        ? each
        : await this.#inLane(tx, each);
      await tx.append([draft]);
      const queue = tables.numbered(draft.queue);
      if (draft.state !== READY || !isLimited(queue)) continue;
      noteSize(tx, draft.queue, 1, draft.size);
      while (!await this.#makesRoom(tx, queue, displaced)) {
        // The first goes first.
        const taken = await this.#parts.taker.takeFrom(tx, queue, 1);
        if (taken.length === 0) break;
        displaced.push(...taken);
      }
    }
    return displaced.length === 0 ? PUT : { type: "put", displaced };
  }

  /** Says whether there is room for so much more; takes what has expired where there is none. */
  async #makesRoom(
    tx: Tx,
    queue: NumberedQueue,
    displaced: SqlReservation[],
    more = 0,
    moreBytes = 0,
  ): Promise<boolean> {
    const { maxLength = Infinity, maxBytes = Infinity } = queue.traits;
    for (;;) {
      const before = await sizeOf(tx, queue.number);
      if (
        before.count + more <= maxLength && before.bytes + moreBytes <= maxBytes
      ) return true;
      displaced.push(...await this.#parts.taker.takeExpiredOf(tx, queue));
      const after = await sizeOf(tx, queue.number);
      if (after.count === before.count) return false;
    }
  }

  /** Behind those that came before, in a transaction or with a delay, and have found no lane yet. */
  async #inLane(tx: Tx, draft: KeyedDraft): Promise<Draft> {
    await ripen(tx, draft.queue, { now: this.#parts.now(), ordered: true });
    const rank = await laneOf(tx, draft.queue, draft.lane?.key);
    return { ...draft, rank, home: rank };
  }

  #drafts(
    tx: Pick<Tx, "news" | "soonest">,
    { items, heads }: Putting,
    now: number,
    tables = this.#parts.tables,
  ): readonly KeyedDraft[] {
    const drafts: KeyedDraft[] = [];
    for (const [i, { queue: name, message, ttl }] of items.entries()) {
      const queue = tables.queue(name);
      if (queue === undefined) continue; // it was deleted
      const { properties, body, delay } = message;
      const { number, traits } = queue;
      const dueAt = now + delay;
      const expiresAt = ttl === undefined ? null : dueAt + ttl;
      const home = 0 -
        Math.min(properties.priority ?? 0, traits.maxPriority ?? 0);
      const key = traits.ordered ? keyOf(properties.headers) : undefined;
      const isDelayed = delay > 0;
      if (isDelayed || expiresAt !== null) {
        tx.soonest = Math.min(
          tx.soonest,
          isDelayed ? dueAt : expiresAt ?? dueAt,
        );
      }
      if (!isDelayed) tx.news.add(number);
      drafts.push({
        state: isDelayed ? DELAYED : READY,
        queue: number,
        rank: isDelayed ? dueAt : home,
        home,
        key: key ?? null,
        messageId: isDelayed ? properties.messageId ?? null : null,
        expiresAt,
        deliveries: 0,
        putAt: now,
        size: body.length,
        head: heads[i] ?? "",
        body,
        lane: traits.ordered && !isDelayed ? { key } : undefined,
      });
    }
    return drafts;
  }
}

function noLimits(queue: string): UnsupportedError {
  return new UnsupportedError(
    `Cannot publish to queue "${queue}" with a transaction: it has a limit of length, and nobody can count what is in it while the transaction is open; publish to one without "maxLength" and "maxBytes"`,
  );
}

function isLimited(
  queue: NumberedQueue | undefined,
): queue is NumberedQueue {
  return queue !== undefined && hasLimit(queue.traits);
}

/** A draft for an ordered queue, whose lane is yet to be found. */
type KeyedDraft = Draft & {
  readonly lane: { readonly key: string | undefined } | undefined;
};
