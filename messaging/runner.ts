import type { Clock } from "../async/clock.ts";
import { turn } from "../async/turn.ts";
import { MessagingError, UnsupportedError } from "../model/errors.ts";
import { quote } from "../model/foreign_text.ts";
import type { FieldTable } from "../model/field_table.ts";
import {
  checkRetry,
  judge,
  type NextAttempt,
  planAttempt,
} from "./handler_retry.ts";
import { checkKnown } from "./known_options.ts";
import type { Message, ReceivedMessage } from "./message.ts";
import { checkCount, checkSignal } from "./operation_options.ts";
import { RUN, type RunOptions } from "./run_options.ts";
import { Suspects } from "./suspects.ts";

/** What a runner has from its consumer. */
export interface RunnerHost<T> {
  readonly clock: Clock;
  readonly random: () => number;
  /** How long settlements are tried again, ms. */
  readonly patience: number;
  /** A message that is there. */
  take(): ReceivedMessage<T> | undefined;
  /** The next message; `undefined` at the end. */
  next(): Promise<ReceivedMessage<T> | undefined>;
  /** So many more messages would be begun with at once. */
  want(count: number): void;
  cancel(): Promise<void>;
  onError(error: Error, message: Message<T>): void;
}

/** Between a settlement that failed and its next attempt, doubling, ms. */
const [INITIAL_DELAY, MAX_DELAY] = [50, 2000];

/** How long a settlement may take to leave the process, ms. */
const LEAVING = 20;

/** How often an ack is tried that fails for good: what is wrong may be the broker's, and over soon. */
const FEW_TRIES = 5;

/** So many messages are handled before the event loop must turn. */
const BREATH = 256;

/** Calls a handler for messages, so many at once. */
export class Runner<T> {
  readonly #handler: (message: ReceivedMessage<T>) => void | Promise<void>;
  readonly #options: RunOptions<T>;
  readonly #host: RunnerHost<T>;
  readonly #concurrency: number;
  readonly #rewriting: Promise<void>[] = [];
  readonly #suspects: Suspects<ReceivedMessage<T>>;
  #active = 0;
  #count = 0;
  #free: (() => void) | undefined;
  /** Called when no handler runs any more. */
  #idle: (() => void) | undefined;
  /** While a handler is called alone, or is about to be. */
  #alone: Promise<void> | undefined;
  /** Lets go of the messages that wait here. */
  readonly #held = new Set<() => void>();
  #draining = false;

  /** Makes one that does nothing yet. */
  constructor(
    handler: (message: ReceivedMessage<T>) => void | Promise<void>,
    options: RunOptions<T>,
    host: RunnerHost<T>,
  ) {
    if (typeof handler !== "function") {
      throw new TypeError(
        `Cannot run ${
          quote(handler)
        }: a handler must be a function that takes a message`,
      );
    }
    checkKnown(options, RUN);
    checkSignal(options.signal);
    const { concurrency = 1, retry } = options;
    checkCount("concurrency", concurrency, Number.MAX_SAFE_INTEGER);
    if (retry !== undefined) checkRetry(retry);
    this.#handler = handler;
    this.#options = options;
    this.#host = host;
    this.#concurrency = concurrency;
    this.#suspects = new Suspects({
      clock: host.clock,
      mark: (message, headers) => this.#mark(message, headers),
      callAlone: (message) => this.#callAlone(message),
      letGo: (message) => this.#letGo(message),
    });
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
      await this.#rewritten();
      await this.#suspects.end();
      await this.#drain();
    }
  }

  async #pump(): Promise<void> {
    for (;;) {
      if (this.#active >= this.#concurrency) await this.#untilFree();
      const message = this.#host.take() ?? await this.#host.next();
      if (message === undefined) return;
      if (this.#isSuspicious(message)) {
        await this.#examine(message);
        continue;
      }
      if (this.#rewriting.length > 0) await this.#rewritten();
      while (this.#alone !== undefined) await this.#alone;
      this.#active++;
      this.#handle(message).then(this.#done);
      if (++this.#count % BREATH === 0) await turn();
    }
  }

  /** Only with `retry`, whose attempts it may have used up. */
  #isSuspicious(message: ReceivedMessage<T>): boolean {
    const { retry } = this.#options;
    return retry !== undefined && judge(retry, message).type !== "call";
  }

  /** Sees to a message that may end the process of its handler. Never rejects. */
  async #examine(message: ReceivedMessage<T>): Promise<void> {
    const { retry } = this.#options;
    const verdict = retry && judge(retry, message);
    if (verdict?.type === "rewrite") {
      this.#rewriting.push(this.#rewrite(message, verdict.headers));
      return this.#host.want(1);
    }
    await this.#rewritten();
    switch (verdict?.type) {
      case "call-alone":
        this.#suspects.came();
        await this.#callAlone(message, LEAVING);
        return await this.#suspects.proved();
      case "mark":
        await this.#suspects.add(message, verdict.headers);
        break;
      case "give-up": {
        this.#tell(message, neverEnded(verdict.calls));
        await this.#giveUp(message);
      }
    }
    this.#host.want(1);
  }

  /** Calls a handler while no other runs, after a while. Never rejects. */
  async #callAlone(message: ReceivedMessage<T>, delay = 0): Promise<void> {
    while (this.#alone !== undefined) await this.#alone;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#alone = promise;
    if (delay > 0) await this.#wait(delay);
    while (this.#active > 0) {
      await new Promise<void>((resolve) => this.#idle = resolve);
    }
    if (this.#draining) await this.#letGo(message);
    else {
      this.#active++;
      await this.#handle(message);
      this.#done();
    }
    this.#alone = undefined;
    resolve();
  }

  /** Says whether it is out of our hands: written again, or rejected. Never rejects. */
  async #mark(
    message: ReceivedMessage<T>,
    headers: FieldTable,
  ): Promise<boolean> {
    try {
      await message.requeueLater(0, headers);
    } catch (failure) {
      if (message.settled) return true;
      this.#tell(message, failure);
      if (mayPass(failure)) return false;
      await this.#giveUp(message);
      return true;
    }
    // The handler of the copy may end the process before the original has left it.
    await this.#wait(LEAVING);
    return true;
  }

  async #giveUp(message: ReceivedMessage<T>): Promise<void> {
    const failure = await this.#persist(message, () => message.reject());
    if (failure !== undefined) await this.#letGo(message);
  }

  /** Waits until what is being written again has been. */
  async #rewritten(): Promise<void> {
    while (this.#rewriting.length > 0) {
      await Promise.all(this.#rewriting.splice(0));
    }
  }

  /** As a copy at the end of its queue. Never rejects. */
  async #rewrite(
    message: ReceivedMessage<T>,
    headers: FieldTable,
  ): Promise<void> {
    const rewrite = () => message.requeueLater(0, headers);
    const failure = await this.#persist(message, rewrite, undefined, 1);
    // The handler of the copy may end the process before the original has left it.
    if (failure === undefined) return await this.#wait(LEAVING);
    // What cannot be written again cannot be counted either.
    if (mayPass(failure)) await this.#letGo(message);
    else await this.#giveUp(message);
  }

  /** Never rejects. */
  async #handle(message: ReceivedMessage<T>): Promise<void> {
    try {
      const running = this.#handler(message);
      if (running !== undefined) await running;
    } catch (error) {
      this.#tell(message, error);
      if (!message.settled) await this.#failed(message, error);
      return;
    }
    if (message.settled) return;
    try {
      await message.ackOnly();
    } catch (failure) {
      message.settlingFailed(failure);
      await this.#ackAgain(message, failure);
    }
  }

  /** Never rejects. */
  async #ackAgain(
    message: ReceivedMessage<T>,
    failure: unknown,
  ): Promise<void> {
    this.#tell(message, failure);
    if (message.settled) return;
    const ack = () => message.ack();
    const left = await this.#persist(message, ack, failure, FEW_TRIES);
    if (left !== undefined) await this.#letGo(message);
  }

  /** Tries it again later, or no more. Never rejects. */
  async #failed(message: ReceivedMessage<T>, error: unknown): Promise<void> {
    const next = this.#plan(message, error);
    if (next !== undefined) {
      const failure = await this.#retry(message, next);
      if (failure === undefined) return;
      // What is final will be no better next time, and the count must hold.
      if (mayPass(failure)) return await this.#letGo(message);
    }
    await this.#giveUp(message);
  }

  /** Returns what it failed with, in the end. */
  async #retry(
    message: ReceivedMessage<T>,
    { delay, headers }: NextAttempt,
  ): Promise<unknown> {
    const later = (delay: number) => () => message.requeueLater(delay, headers);
    const failure = await this.#persist(message, later(delay), undefined, 1);
    if (delay === 0 || !isUnsupported(failure)) return failure;
    // The broker cannot wait so long, or not with this message: it waits here.
    await this.#wait(delay);
    return await this.#persist(message, later(0), undefined, 1);
  }

  /**
   * Settles, and tries again while the message is ours and there is patience; what fails
   * for good not more often than `tries`. Never rejects.
   *
   * @returns What it failed with in the end; `undefined` if it is settled, or no longer ours.
   */
  async #persist(
    message: ReceivedMessage<T>,
    settle: () => Promise<void>,
    before?: unknown,
    tries = Infinity,
  ): Promise<unknown> {
    const { clock, patience } = this.#host;
    const until = clock.now() + patience;
    let [last, final] = [before, 0];
    for (let delay = INITIAL_DELAY;; delay = Math.min(2 * delay, MAX_DELAY)) {
      if (last !== undefined) {
        if (!mayPass(last) && ++final >= tries) return last;
        if (this.#draining || clock.now() + delay > until) return last;
        await this.#wait(delay);
      }
      if (message.settled) return undefined;
      try {
        return await settle();
      } catch (failure) {
        // A message that is no longer ours is delivered again by itself.
        if (message.settled) return undefined;
        this.#tell(message, failure);
        last = failure;
      }
    }
  }

  /** It goes back as it is. If that fails too, its channel gives it back in time. */
  async #letGo(message: ReceivedMessage<T>): Promise<void> {
    await message.requeue().catch(() => {});
  }

  #plan(
    message: ReceivedMessage<T>,
    error: unknown,
  ): NextAttempt | undefined {
    const { retry } = this.#options;
    const { random } = this.#host;
    // What can not be read will not be readable later.
    if (retry === undefined || message.isUnreadable(error)) return undefined;
    try {
      return planAttempt(retry, message.receivedHeaders, random());
    } catch (failure) {
      this.#tell(message, failure);
      return undefined;
    }
  }

  /** Waits here, unless the runner is about to end. */
  #wait(delay: number): Promise<void> {
    return new Promise<void>((resolve) => {
      const held = this.#held;
      const stop = this.#host.clock.timer(release, this.#draining ? 0 : delay);
      function release(): void {
        stop();
        held.delete(release);
        resolve();
      }
      held.add(release);
    });
  }

  #tell(message: Message<T>, error: unknown): void {
    this.#host.onError(
      error instanceof Error ? error : new Error(String(error)),
      message,
    );
  }

  readonly #done = (): void => {
    this.#active--;
    this.#host.want(1);
    this.#free?.();
    if (this.#active === 0) this.#idle?.();
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

function neverEnded(calls: number): Error {
  return new Error(
    `A message was handed to its handler ${calls} times, which never ended: it is rejected`,
  );
}

function mayPass(error: unknown): boolean {
  return error instanceof MessagingError && error.retryable;
}

function isUnsupported(error: unknown): boolean {
  return error instanceof UnsupportedError;
}
