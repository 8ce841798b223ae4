import type { CallOptions } from "../model/call_options.ts";
import { TimeoutError } from "../model/errors.ts";
import type { Deadline } from "./deadlines.ts";
import type { Limits } from "./limits.ts";
import { Ring } from "./ring.ts";
import { atNextTurn } from "./turn.ts";

/** How batches are made and sent. */
export interface BatcherSettings<I, R> {
  /** Watches the calls. */
  readonly limits: Limits;
  /** The maximum number of items in a batch. */
  readonly count: number;
  /** The maximum number of bytes in a batch; one larger item leaves alone. @default {Infinity} */
  readonly bytes?: number | undefined;
  /** How many batches may be under way at once; one keeps the order. */
  readonly atOnce: number;
  /** Names the action on an item, for errors: `publish to queue "x"`. */
  actionOf(item: I): string;
  /** Makes the error of an item that has left and was not answered in time. */
  late(item: I): Error;
  /** Says how much an item adds to a batch, just before it leaves. An item for which it throws fails with that. */
  readonly bytesOf?: ((item: I) => number) | undefined;
  /** Makes, for each batch, the test of each item in order: whether it may leave with those before it. */
  readonly joins?: (() => (item: I) => boolean) | undefined;
  /**
   * Sends a batch. The deadline is the latest of its items', and `undefined` where one
   * of them has none.
   *
   * @returns The result of each item, in order; one that failed alone is a rejected promise.
   */
  send(
    items: readonly I[],
    options: CallOptions,
  ): Promise<readonly (R | Promise<R>)[]>;
  /** Whether `send` settles by its deadline. Without that its items are watched until then. @default {true} */
  readonly heedsDeadline?: boolean | undefined;
  /** Called when nothing waits, and nothing is under way. */
  readonly onIdle?: (() => void) | undefined;
}

/** Deadlines of one batch that differ by less are one, ms. */
const DEADLINES_APART = 20;

/**
 * Batches the items of one turn of the event loop, and what comes while
 * the batches before it are under way.
 *
 * @typeParam I The type of an item.
 * @typeParam R The type of its result.
 */
export class Batcher<I, R> {
  readonly #settings: BatcherSettings<I, R>;
  readonly #waiting = new Ring<Pending<I, R>>();
  #underWay = 0;
  #isScheduled = false;
  /** No deadline of those that wait is earlier. */
  #due = Infinity;
  #watch: Deadline | undefined;

  /** Makes one with nothing to send. */
  constructor(settings: BatcherSettings<I, R>) {
    this.#settings = settings;
  }

  /**
   * Sends an item with the next batch that has room.
   *
   * @param item The item.
   * @param options The call's limits.
   * @returns The item's result.
   * @throws The signal's `reason`, if it aborts first.
   * @throws {TimeoutError} If the deadline is missed; its `outcome` says whether the item had left.
   */
  add(item: I, options?: CallOptions): Promise<R> {
    const signal = options?.signal;
    if (signal?.aborted) return Promise.reject(signal.reason);
    const { limits, atOnce } = this.#settings;
    const deadline = options?.deadline ?? Infinity;
    return new Promise((resolve, reject) => {
      const pending = new Pending(item, deadline, resolve, reject);
      if (signal !== undefined) {
        pending.unwatch = limits.watch(
          { signal },
          (stopped) => pending.fail(stopped?.aborted),
        );
      }
      this.#waiting.push(pending);
      if (deadline < this.#due) {
        this.#due = deadline;
        this.#watch?.cancel();
        this.#watch = undefined;
      }
      if (this.#underWay < atOnce) this.#schedule();
      else if (this.#watch === undefined) this.#watchWaiting();
    });
  }

  /** Sends all that waits, at once. */
  flush(): void {
    while (this.#waiting.size > 0) this.#send();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    atNextTurn(this.#onTurn);
  }

  /** A batch a turn: one that was written leaves while the next is being put together. */
  readonly #onTurn = (): void => {
    this.#isScheduled = false;
    this.#send();
    this.#goOn();
  };

  #goOn(): void {
    if (this.#waiting.size > 0) {
      if (this.#underWay < this.#settings.atOnce) this.#schedule();
      if (this.#watch === undefined) this.#watchWaiting();
    } else if (this.#underWay === 0) this.#settings.onIdle?.();
  }

  /** Puts a batch together, and sends it if a caller still waits for it. */
  #send(): void {
    const waiting = this.#waiting;
    const { limits, count, bytes = Infinity, bytesOf, joins } = this.#settings;
    // Items whose deadline has passed are not sent.
    if (this.#due <= limits.now()) this.#failWaiting();
    const batch: Pending<I, R>[] = [];
    const mayJoin = joins?.();
    let size = 0;
    let first = Infinity;
    let last = 0;
    while (batch.length < count) {
      const next = waiting.at(0);
      if (next === undefined) break;
      if (!next.isOver) {
        try {
          size += bytesOf?.(next.item) ?? 0;
          const joined = mayJoin?.(next.item) ?? true;
          if (batch.length > 0 && (size > bytes || !joined)) break;
          next.hasLeft = true;
          batch.push(next);
          if (next.deadline < first) first = next.deadline;
          if (next.deadline > last) last = next.deadline;
        } catch (error) {
          next.fail(error);
        }
      }
      waiting.shift();
    }
    if (waiting.size === 0) {
      this.#watch?.cancel();
      this.#watch = undefined;
      this.#due = Infinity;
    }
    if (batch.length > 0) this.#sendAll(batch, first, last);
  }

  async #sendAll(
    batch: readonly Pending<I, R>[],
    first: number,
    last: number,
  ): Promise<void> {
    this.#underWay++;
    // A caller with an earlier deadline than others of its batch does not wait as long.
    let watch: Deadline | undefined;
    const { heedsDeadline = true } = this.#settings;
    const watchFirst = (first: number) => {
      if (
        heedsDeadline ? !(last - first >= DEADLINES_APART) : first === Infinity
      ) return;
      watch = this.#settings.limits.watchDeadline(first, () => {
        const at = first + DEADLINES_APART;
        watchFirst(failLate(batch, at, this.#settings.late));
      });
    };
    watchFirst(first);
    try {
      const results = await this.#settings.send(
        batch.map(({ item }) => item),
        { deadline: last === Infinity ? undefined : last },
      );
      for (let i = 0; i < batch.length; i++) {
        batch[i]?.done(results[i] as R | Promise<R>);
      }
    } catch (error) {
      for (const pending of batch) pending.fail(error);
    }
    watch?.cancel();
    this.#underWay--;
    // In the next turn: who was answered just now may have more.
    this.#goOn();
  }

  #watchWaiting(): void {
    if (this.#due === Infinity) return;
    this.#watch = this.#settings.limits.watchDeadline(this.#due, () => {
      this.#failWaiting();
      this.#watch = undefined;
      this.#watchWaiting();
    });
  }

  /** Fails those that wait, and whose deadline is missed. */
  #failWaiting(): void {
    const waiting: Pending<I, R>[] = [];
    for (let i = 0; i < this.#waiting.size; i++) {
      const each = this.#waiting.at(i);
      if (each !== undefined) waiting.push(each);
    }
    const { actionOf, limits } = this.#settings;
    this.#due = failLate(waiting, limits.now(), (item) =>
      new TimeoutError(
        `Cannot ${actionOf(item)} in time: it had not been sent by then`,
        { outcome: "not-sent" },
      ));
  }
}

/** Batchers by name, each for as long as it has something to do. */
export class Batchers<T, I, R> {
  readonly #settingsOf: (of: T) => BatcherSettings<I, R>;
  readonly #batchers = new Map<string, Batcher<I, R>>();

  /** `settingsOf` says how batches are sent to something. */
  constructor(settingsOf: (of: T) => BatcherSettings<I, R>) {
    this.#settingsOf = settingsOf;
  }

  /**
   * Sends an item with others of its name, as {@linkcode Batcher.add} does.
   *
   * @param name The name of the batch.
   * @param of The object that the name stands for.
   * @param item The item.
   * @param options The call's limits.
   * @returns The item's result.
   */
  add(name: string, of: T, item: I, options?: CallOptions): Promise<R> {
    let batcher = this.#batchers.get(name);
    if (batcher === undefined) {
      batcher = new Batcher({
        ...this.#settingsOf(of),
        onIdle: () => this.#batchers.delete(name),
      });
      this.#batchers.set(name, batcher);
    }
    return batcher.add(item, options);
  }
}

/** An item on its way, and the caller that waits for it. */
class Pending<I, R> {
  item: I;
  deadline: number;
  /** Whether it has left; before that it can be called off. */
  hasLeft = false;
  /** Whether nobody waits for it any more. */
  isOver = false;
  /** Stops watching its signal. */
  unwatch: (() => void) | undefined;
  readonly #resolve: (result: R | Promise<R>) => void;
  readonly #reject: (error: unknown) => void;

  constructor(
    item: I,
    deadline: number,
    resolve: (result: R | Promise<R>) => void,
    reject: (error: unknown) => void,
  ) {
    this.item = item;
    this.deadline = deadline;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  done(result: R | Promise<R>): void {
    this.unwatch?.();
    this.#resolve(result);
  }

  fail(error: unknown): void {
    this.unwatch?.();
    this.isOver = true;
    // A large item is not kept until its turn.
    if (!this.hasLeft) this.item = undefined as I;
    this.#reject(error);
  }
}

/** Fails those whose deadline comes no later than a moment; returns the next deadline. */
function failLate<I, R>(
  all: readonly Pending<I, R>[],
  at: number,
  late: (item: I) => Error,
): number {
  let next = Infinity;
  for (const pending of all) {
    if (pending.isOver) continue;
    if (pending.deadline <= at) {
      pending.fail(late(pending.item));
    } else next = Math.min(next, pending.deadline);
  }
  return next;
}
