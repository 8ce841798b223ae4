import type { Clock } from "../../async/clock.ts";
import { OptionError } from "../../model/errors.ts";
import { checkKnown, type KnownOptions, optionsOf } from "../known_options.ts";
import { checkCount, checkDelay } from "../operation_options.ts";
import { checkHandler } from "./checked.ts";
import type { Message } from "./message.ts";
import { RUN_OPTIONS, type RunOptions } from "./run_options.ts";

/** Options of `consumer.runBatches`: those of `run`, and how large a batch is. @typeParam T The type of its messages' `payload`. */
export interface RunBatchesOptions<T = unknown>
  extends Omit<RunOptions<T>, "concurrency" | "ordered"> {
  /** The maximum number of messages of a batch; at most the consumer's `prefetch`. @default {100} */
  readonly size?: number | undefined;
  /** Milliseconds that the first message of a batch waits for others. @default {100} */
  readonly wait?: number | undefined;
  /** The maximum number of batches that are handled at once. @default {1} */
  readonly concurrency?: number | undefined;
}

/** Handles some messages. @typeParam T The type of their `payload`. */
export type BatchHandler<T> = (
  messages: readonly Message<T>[],
) => void | Promise<void>;

const { ordered: _, ...BATCH_OPTIONS } = RUN_OPTIONS;

/** The known options of `runBatches`. */
export const RUN_BATCHES: KnownOptions = optionsOf<RunBatchesOptions>(
  "runBatches",
  {
    ...BATCH_OPTIONS,
    size: true,
    wait: true,
  },
  {
    batchSize: '"size"',
    maxBatchSize: '"size"',
    timeout: '"wait"',
    maxWait: '"wait"',
    ordered: 'an option of "run": one message of a key at a time is no batch',
    prefetch: 'an option of "connection.consumer"',
  },
);

/** A batch that is being filled, or handled. */
interface Batch<T> {
  readonly messages: Message<T>[];
  /** Settles as its handler does: for each of its messages. */
  readonly handled: Promise<void>;
  readonly resolve: (handled: void | Promise<void>) => void;
  /** The message that reports that the handler threw though it has settled all of them. */
  teller: Message<T> | undefined;
}

/**
 * Makes batches of messages that come one by one, and hands them to a handler. Each message
 * is told how its batch ended.
 */
export class Batches<T> {
  readonly #handler: BatchHandler<T>;
  readonly #clock: Clock;
  readonly #size: number;
  readonly #wait: number;
  #concurrency: number;
  /** The batch that others may join. */
  #open: Batch<T> | undefined;
  #stopWaiting: (() => void) | undefined;
  /** Batches that no message may join any more, and that wait for their turn. */
  readonly #full: Batch<T>[] = [];
  #running = 0;
  #ended = false;

  /**
   * Makes one without a batch.
   *
   * @throws {TypeError} If the handler is none.
   * @throws {RangeError} If a number is out of range.
   * @throws {OptionError} If an option is unknown, or a batch is larger than the prefetch.
   */
  constructor(
    handler: BatchHandler<T>,
    options: RunBatchesOptions<T>,
    prefetch: number,
    clock: Clock,
  ) {
    checkHandler(handler, "run", "takes a list of messages");
    checkKnown(options, RUN_BATCHES);
    const { size = Math.min(100, prefetch), wait = 100, concurrency = 1 } =
      options;
    checkCount("size", size, Number.MAX_SAFE_INTEGER);
    checkDelay("wait", wait);
    checkCount("concurrency", concurrency, Number.MAX_SAFE_INTEGER);
    if (size > prefetch) {
      throw new OptionError(
        `Cannot run batches of ${size} messages: no more than ${prefetch} are fetched; give connection.consumer(…) a "prefetch" of ${size} or more`,
      );
    }
    this.#handler = handler;
    this.#clock = clock;
    this.#size = size;
    this.#wait = wait;
    this.#concurrency = concurrency;
  }

  /** So many messages may be in batches at once. */
  get most(): number {
    return this.#size * this.#concurrency;
  }

  /** Changes how many batches are handled at once. */
  setConcurrency(concurrency: number): void {
    this.#concurrency = concurrency;
    for (let more = concurrency - this.#running; more > 0; more--) this.#next();
  }

  /**
   * Adds a message to a batch.
   *
   * @param message The message.
   * @returns A promise that settles as the batch's handler does; if that throws, but has settled the message, it resolves.
   */
  add(message: Message<T>): Promise<void> {
    const batch = this.#open ??= this.#begin();
    batch.messages.push(message);
    if (batch.messages.length >= this.#size || this.#ended) this.#close();
    return batch.handled.catch((error) => {
      if (!message.settled || batch.teller === message) throw error;
    });
  }

  /** No more messages come: open batches are handled at once. */
  end(): void {
    this.#ended = true;
    this.#close();
  }

  #begin(): Batch<T> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#stopWaiting = this.#clock.timer(() => this.#close(), this.#wait);
    return { messages: [], handled: promise, resolve, teller: undefined };
  }

  #close(): void {
    const batch = this.#open;
    if (batch === undefined) return;
    this.#stopWaiting?.();
    this.#open = undefined;
    this.#full.push(batch);
    this.#next();
  }

  #next(): void {
    if (this.#running >= this.#concurrency) return;
    const batch = this.#full.shift();
    if (batch === undefined) return;
    this.#running++;
    batch.resolve(this.#handle(batch));
  }

  async #handle(batch: Batch<T>): Promise<void> {
    const { messages } = batch;
    try {
      await this.#handler(messages);
    } catch (error) {
      if (messages.every(({ settled }) => settled)) batch.teller = messages[0];
      throw error;
    } finally {
      this.#running--;
      this.#next();
    }
  }
}
