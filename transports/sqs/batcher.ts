import type { Limits } from "../../async/limits.ts";
import { Ring } from "../../async/ring.ts";
import { atNextTurn } from "../../async/turn.ts";
import type { CallOptions } from "../../model/call_options.ts";
import { TimeoutError } from "../../model/errors.ts";
import { notAnswered } from "../connection_errors.ts";
import type { Failure } from "./errors.ts";
import type { BatchResult } from "./batch_result.ts";

/** SQS's and SNS's, for all batches. */
const MAX_ENTRIES = 10;

/** How batches are made and sent. */
export interface BatcherSettings<I> {
  /** The most bytes in a batch. */
  readonly mostBytes: number;
  /** How many batches may be under way at once; one keeps the order. */
  readonly atOnce: number;
  readonly limits: Limits;
  /** Says how much an item adds to a batch, just before it leaves; what it throws is the item's end. */
  readonly bytesOf?: ((item: I) => number) | undefined;
  /** Sends a batch. */
  send(items: readonly I[], options: CallOptions): Promise<BatchResult>;
}

/** An item on its way, and whoever waits for it. */
class Waiting<I> {
  readonly item: I;
  readonly deadline: number | undefined;
  readonly resolve: (failure: Failure | undefined) => void;
  readonly reject: (error: unknown) => void;
  /** Stops watching its limits. */
  unwatch: (() => void) | undefined;
  /** Whether it has left; before that it can be called off. */
  sent = false;

  constructor(
    item: I,
    deadline: number | undefined,
    resolve: (failure: Failure | undefined) => void,
    reject: (error: unknown) => void,
  ) {
    this.item = item;
    this.deadline = deadline;
    this.resolve = resolve;
    this.reject = reject;
  }

  done(failure: Failure | undefined): void {
    this.unwatch?.();
    this.resolve(failure);
  }

  fail(error: unknown): void {
    this.unwatch?.();
    this.reject(error);
  }
}

/**
 * Puts together what is sent in one turn of the event loop, and what comes while the
 * batches before it are under way: up to ten items each.
 */
export class Batcher<I> {
  readonly #settings: BatcherSettings<I>;
  readonly #waiting = new Ring<Waiting<I>>();
  #underWay = 0;
  #flushing = false;

  /** Makes one with nothing to send. */
  constructor(settings: BatcherSettings<I>) {
    this.#settings = settings;
  }

  /**
   * Sends an item with the next batch that has room.
   *
   * @param item The item.
   * @param options The call's limits.
   * @returns What was wrong with it, or `undefined`.
   * @throws The signal's `reason`, if it aborts first.
   * @throws {TimeoutError} If the deadline is missed; its `outcome` says whether the item had left.
   */
  add(item: I, options: CallOptions = {}): Promise<Failure | undefined> {
    const refusal = this.#settings.limits.refusal(options, "send to AWS");
    if (refusal !== undefined) return Promise.reject(refusal);
    return new Promise((resolve, reject) => {
      const { deadline, signal } = options;
      const waiting = new Waiting(item, deadline, resolve, reject);
      if (deadline !== undefined || signal !== undefined) {
        waiting.unwatch = this.#settings.limits.watch(
          { deadline, signal },
          (stopped) => {
            if (!waiting.sent) this.#callOff(waiting);
            waiting.reject(
              stopped === undefined ? lateError(waiting.sent) : stopped.aborted,
            );
          },
        );
      }
      this.#waiting.push(waiting);
      this.#schedule();
    });
  }

  #callOff(waiting: Waiting<I>): void {
    const others = this.#waiting.clear();
    for (const each of others) if (each !== waiting) this.#waiting.push(each);
  }

  #schedule(): void {
    if (this.#flushing || this.#underWay >= this.#settings.atOnce) return;
    this.#flushing = true;
    atNextTurn(this.#flush);
  }

  readonly #flush = (): void => {
    this.#flushing = false;
    while (
      this.#waiting.size > 0 && this.#underWay < this.#settings.atOnce
    ) {
      const batch = this.#take();
      if (batch.length > 0) this.#send(batch);
    }
  };

  #take(): readonly Waiting<I>[] {
    const { bytesOf, mostBytes } = this.#settings;
    const batch: Waiting<I>[] = [];
    let bytes = 0;
    while (batch.length < MAX_ENTRIES) {
      const next = this.#waiting.at(0);
      if (next === undefined) break;
      try {
        bytes += bytesOf?.(next.item) ?? 0;
      } catch (error) {
        this.#waiting.shift();
        next.fail(error);
        continue;
      }
      if (batch.length > 0 && bytes > mostBytes) break;
      this.#waiting.shift();
      next.sent = true;
      batch.push(next);
    }
    return batch;
  }

  #send(batch: readonly Waiting<I>[]): void {
    this.#underWay++;
    this.#settings.send(
      batch.map(({ item }) => item),
      { deadline: latest(batch) },
    ).then(
      (results) => {
        for (const [i, waiting] of batch.entries()) waiting.done(results[i]);
      },
      (error) => {
        for (const waiting of batch) waiting.fail(error);
      },
    ).then(() => {
      this.#underWay--;
      // In the next turn: who was answered just now may have more.
      if (this.#waiting.size > 0) this.#schedule();
    });
  }
}

/** A batch lives as long as the call that waits longest; one without a deadline has the connection's. */
function latest(
  batch: readonly { readonly deadline: number | undefined }[],
): number | undefined {
  let latest = 0;
  for (const { deadline } of batch) {
    if (deadline === undefined) return undefined;
    latest = Math.max(latest, deadline);
  }
  return latest;
}

function lateError(sent: boolean): TimeoutError {
  return sent ? notAnswered("finish", "unknown", "AWS") : new TimeoutError(
    "Cannot send in time: the batches before it have not been answered",
    { outcome: "not-sent" },
  );
}
