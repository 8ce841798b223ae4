import type { Limits } from "../../async/limits.ts";
import { atNextTurn } from "../../async/turn.ts";
import type { CallOptions } from "../../model/call_options.ts";
import { TimeoutError } from "../../model/errors.ts";
import type { Failure } from "./errors.ts";
import type { BatchResult } from "./requests.ts";

/** SQS's and SNS's, for all batches. */
const MOST_ENTRIES = 10;

/** How batches are made and sent. */
export interface BatcherSettings<I> {
  /** The most bytes in a batch. */
  readonly mostBytes: number;
  /** How many batches may be under way at once; one keeps the order. */
  readonly atOnce: number;
  readonly limits: Limits;
  /** Sends a batch. */
  send(items: readonly I[], options: CallOptions): Promise<BatchResult>;
}

interface Waiting<I> {
  readonly item: I;
  readonly bytes: number;
  readonly deadline: number | undefined;
  readonly resolve: (failure: Failure | undefined) => void;
  readonly reject: (error: unknown) => void;
  /** Whether it has left; before that it can be called off. */
  sent: boolean;
}

/**
 * Puts together what is sent in one turn of the event loop, and what comes while the
 * batches before it are under way: up to ten items each.
 */
export class Batcher<I> {
  readonly #settings: BatcherSettings<I>;
  #waiting: Waiting<I>[] = [];
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
   * @param bytes How much it adds to a batch.
   * @param options The call's limits.
   * @returns What was wrong with it, or `undefined`.
   * @throws The signal's `reason`, if it aborts first.
   * @throws {TimeoutError} If the deadline is missed; its `outcome` says whether the item had left.
   */
  add(
    item: I,
    bytes: number,
    options: CallOptions = {},
  ): Promise<Failure | undefined> {
    return new Promise((resolve, reject) => {
      const { deadline, signal } = options;
      const unwatch = deadline === undefined && signal === undefined
        ? undefined
        : this.#settings.limits.watch({ deadline, signal }, (stopped) => {
          if (!waiting.sent) {
            this.#waiting = this.#waiting.filter((each) => each !== waiting);
          }
          reject(
            stopped === undefined ? lateError(waiting.sent) : stopped.aborted,
          );
        });
      const waiting: Waiting<I> = {
        item,
        bytes,
        deadline,
        resolve: (failure) => {
          unwatch?.();
          resolve(failure);
        },
        reject: (error) => {
          unwatch?.();
          reject(error);
        },
        sent: false,
      };
      this.#waiting.push(waiting);
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#flushing || this.#underWay >= this.#settings.atOnce) return;
    this.#flushing = true;
    atNextTurn(() => {
      this.#flushing = false;
      this.#flush();
    });
  }

  #flush(): void {
    while (
      this.#waiting.length > 0 && this.#underWay < this.#settings.atOnce
    ) this.#send(this.#take());
  }

  #take(): readonly Waiting<I>[] {
    let [count, bytes] = [0, 0];
    for (const waiting of this.#waiting) {
      bytes += waiting.bytes;
      if (count > 0 && bytes > this.#settings.mostBytes) break;
      waiting.sent = true;
      if (++count === MOST_ENTRIES) break;
    }
    return this.#waiting.splice(0, count);
  }

  #send(batch: readonly Waiting<I>[]): void {
    this.#underWay++;
    this.#settings.send(
      batch.map(({ item }) => item),
      { deadline: latest(batch) },
    ).then(
      (results) => {
        for (const [i, { resolve }] of batch.entries()) resolve(results[i]);
      },
      (error) => {
        for (const { reject } of batch) reject(error);
      },
    ).then(() => {
      this.#underWay--;
      // In the next turn: who was answered just now may have more.
      if (this.#waiting.length > 0) this.#schedule();
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
  return sent
    ? new TimeoutError("Cannot finish in time: AWS has not answered", {
      outcome: "unknown",
    })
    : new TimeoutError(
      "Cannot send in time: the batches before it have not been answered",
      { outcome: "not-sent" },
    );
}
