import type { Clock } from "../async/clock.ts";
import { turn } from "../async/turn.ts";
import {
  checkRetry,
  type HandlerRetry,
  type NextAttempt,
  planAttempt,
} from "./handler_retry.ts";
import type { Message, ReceivedMessage } from "./message.ts";
import { checkCount } from "./operation_options.ts";

/** Options of `consumer.run`. */
export interface RunOptions {
  /** The most handlers that run at once. @default {1} */
  readonly concurrency?: number | undefined;
  /** How to try a message again whose handler threw. @default {not at all: it is rejected} */
  readonly retry?: HandlerRetry | undefined;
  /** Stops taking messages when it aborts; `run` resolves when the handlers have ended. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds that running handlers have after that. @default {without limit} */
  readonly drainTimeout?: number | undefined;
}

/** What a runner has from its consumer. */
export interface RunnerHost<T> {
  readonly clock: Clock;
  /** A message that is there. */
  take(): ReceivedMessage<T> | undefined;
  /** The next message; `undefined` at the end. */
  next(): Promise<ReceivedMessage<T> | undefined>;
  /** So many more messages would be begun with at once. */
  want(count: number): void;
  cancel(): Promise<void>;
  onError(error: Error, queue: string): void;
}

/** So many messages are handled before the event loop must turn. */
const BREATH = 256;

/** Calls a handler for messages, so many at once. */
export class Runner<T> {
  readonly #handler: (message: Message<T>) => void | Promise<void>;
  readonly #options: RunOptions;
  readonly #host: RunnerHost<T>;
  readonly #concurrency: number;
  #active = 0;
  #count = 0;
  #free: (() => void) | undefined;
  /** Lets go of the messages that wait here. */
  readonly #held = new Set<() => void>();
  #draining = false;

  /** Makes one that does nothing yet. */
  constructor(
    handler: (message: Message<T>) => void | Promise<void>,
    options: RunOptions,
    host: RunnerHost<T>,
  ) {
    const { concurrency = 1, retry } = options;
    checkCount("concurrency", concurrency, Number.MAX_SAFE_INTEGER);
    if (retry !== undefined) checkRetry(retry);
    this.#handler = handler;
    this.#options = options;
    this.#host = host;
    this.#concurrency = concurrency;
  }

  /** Runs until there are no more messages. */
  async run(): Promise<void> {
    const { signal } = this.#options;
    const onAbort = () => void this.#host.cancel().catch(() => {});
    if (signal?.aborted) onAbort();
    else signal?.addEventListener("abort", onAbort, { once: true });
    this.#host.want(this.#concurrency);
    try {
      await this.#pump();
    } finally {
      signal?.removeEventListener("abort", onAbort);
      await this.#drain();
    }
  }

  async #pump(): Promise<void> {
    for (;;) {
      if (this.#active >= this.#concurrency) await this.#untilFree();
      const message = this.#host.take() ?? await this.#host.next();
      if (message === undefined) return;
      this.#active++;
      this.#handle(message).then(this.#done);
      if (++this.#count % BREATH === 0) await turn();
    }
  }

  /** Never rejects. */
  async #handle(message: ReceivedMessage<T>): Promise<void> {
    try {
      const running = this.#handler(message);
      if (running !== undefined) await running;
      if (!message.settled) await message.ack();
    } catch (error) {
      this.#tell(message, error);
      if (!message.settled) await this.#settle(message, error);
    }
  }

  /** Tries it again later, or no more. Never rejects. */
  async #settle(message: ReceivedMessage<T>, error: unknown): Promise<void> {
    const next = this.#plan(message, error);
    try {
      if (next === undefined) await message.reject();
      else await message.requeueLater(next.delay, next.headers);
    } catch (failure) {
      // A message that is no longer ours is delivered again by itself.
      if (message.settled) return;
      this.#tell(message, failure);
      await this.#hold(message, next?.delay ?? 0);
    }
  }

  #plan(
    message: ReceivedMessage<T>,
    error: unknown,
  ): NextAttempt | undefined {
    const { retry } = this.#options;
    // What can not be read will not be readable later.
    if (retry === undefined || message.isUnreadable(error)) return undefined;
    try {
      return planAttempt(retry, message.headers);
    } catch (failure) {
      this.#tell(message, failure);
      return undefined;
    }
  }

  /** The broker would not take it for later: it waits here, and goes back. */
  async #hold(message: ReceivedMessage<T>, delay: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const stop = this.#host.clock.timer(
        release,
        this.#draining ? 0 : delay,
      );
      const held = this.#held;
      function release(): void {
        stop();
        held.delete(release);
        resolve();
      }
      held.add(release);
    });
    await message.requeue().catch(() => {});
  }

  #tell(message: Message<T>, error: unknown): void {
    this.#host.onError(
      error instanceof Error ? error : new Error(String(error)),
      message.deliveryInfo.queue,
    );
  }

  readonly #done = (): void => {
    this.#active--;
    this.#host.want(1);
    this.#free?.();
  };

  #untilFree(): Promise<void> {
    return new Promise((resolve) => {
      this.#free = () => {
        this.#free = undefined;
        resolve();
      };
    });
  }

  async #drain(): Promise<void> {
    const { drainTimeout } = this.#options;
    this.#draining = true;
    for (const release of [...this.#held]) release();
    let late = false;
    const stop = drainTimeout === undefined
      ? undefined
      : this.#host.clock.timer(() => {
        late = true;
        this.#free?.();
      }, drainTimeout);
    while (this.#active > 0 && !late) await this.#untilFree();
    stop?.();
  }
}
