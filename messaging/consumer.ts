import { Mailbox } from "../async/mailbox.ts";
import { turn } from "../async/turn.ts";
import { CLOSE, type CloseOptions } from "./connection_info.ts";
import { ClosedError } from "../model/errors.ts";
import {
  checkQueues,
  CONSUMER,
  type ConsumerOptions,
} from "./consumer_options.ts";
import { mayWait } from "./handler_retry.ts";
import { checkKnown } from "./known_options.ts";
import { type ConsumerHealth, healthOf } from "./consumer_health.ts";
import { Intake } from "./intake.ts";
import type { Arrival } from "./lane.ts";
import { LoopBody } from "./loop_body.ts";
import { type Message, ReceivedMessage } from "./message.ts";
import {
  canRead,
  type Decoding,
  needsCompression,
  prepareToRead,
  type Reading,
  unreadable,
} from "./reading.ts";
import {
  type Call,
  checkCount,
  checkDuration,
  checkSignal,
  limitsOf,
  type OperationOptions,
} from "./operation_options.ts";
import { type Queue, queueName } from "./queue.ts";
import { handlerFailed, type RunOptions } from "./run_options.ts";
import { Runner } from "./runner.ts";
import { type Schema, validator } from "./schema.ts";
import type { Session } from "./session.ts";
import { StreamPositions } from "./stream_position.ts";

/** How long `close()` waits before it says what for, ms. */
const SILENT = 1000;

/** What closing a channel may take where its time is up, ms. */
const GOODBYE = 50;

/** So many messages are handed over before the event loop must turn: timers and sockets would starve. */
const BREATH = 256;

/**
 * Consumes messages, one by one with `for await`, or with a handler by `run`. It
 * starts with the first of either, and consumes again by itself when its connection
 * was lost.
 *
 * @typeParam T What its messages' `payload` is.
 *
 * @example Consume one message
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createConnection, Queue } from "@dashi/mq";
 *
 * await using connection = createConnection("memory://consumer");
 * const orders = new Queue("orders");
 * const producer = connection.producer({ declare: [orders] });
 * await producer.publish({ id: 1 }, { routingKey: "orders" });
 *
 * for await (const message of connection.consumer<{ id: number }>(orders)) {
 *   assertEquals(message.payload.id, 1);
 *   await message.ack();
 *   break; // cancels, and gives back what was fetched
 * }
 * ```
 */
export class Consumer<T = unknown>
  implements AsyncIterable<Message<T>>, AsyncDisposable {
  readonly #session: Session;
  readonly #queues: readonly (Queue | string)[];
  readonly #options: ConsumerOptions<T>;
  readonly #reading: Reading<T>;
  /** The accepted types whose codecs were not loaded yet when it was made. */
  readonly #lazyTypes: readonly string[];
  readonly #onClosed: () => void;
  #mailbox = new Mailbox<Arrival>();
  #intake: Intake;
  /** The handlers of `run`, at work. */
  readonly #running = new Set<Promise<void>>();
  readonly #body = new LoopBody<T>();
  #started = false;
  #count = 0;
  #closing: Promise<void> | undefined;
  #unlisten: (() => void) | undefined;
  #handlerError: Error | undefined;

  /** Made by `connection.consumer`. */
  constructor(
    session: Session,
    decoding: Decoding,
    queues: readonly (Queue | string)[],
    options: ConsumerOptions<T>,
    onClosed: () => void,
  ) {
    checkKnown(options, CONSUMER);
    checkSignal(options.signal);
    checkCount("prefetch", options.prefetch ?? 100, 65_535);
    checkQueues(queues);
    this.#session = session;
    this.#queues = queues;
    this.#options = options;
    this.#onClosed = onClosed;
    const { codecs } = decoding;
    this.#reading = {
      ...decoding,
      accept: codecs.acceptSet(options.accept),
      parse: validator(options.parse ?? schemaOf<T>(queues)),
    };
    this.#lazyTypes = [...this.#reading.accept].filter((type) =>
      codecs.isLazy(type)
    );
    this.#intake = this.#newIntake();
  }

  /**
   * Hands over messages one by one. Leaving the loop cancels the consumer and gives
   * back what was fetched; what was handed over stays to be settled.
   *
   * @throws What ended the consumer, if it was not cancelled.
   */
  [Symbol.asyncIterator](): AsyncIterator<Message<T>, undefined> {
    this.#start();
    return {
      next: () => {
        this.#body.leave(true);
        this.#intake.want(1);
        return this.#next();
      },
      return: async () => {
        this.#body.leave(false);
        await this.cancel();
        return { done: true, value: undefined };
      },
    };
  }

  /**
   * Calls a handler for each message, until the consumer is cancelled. A message
   * that the handler has not settled is acked when it returns, and when it throws
   * rejected: dead-lettered or dropped, never delivered again at once. With `retry` it
   * is called again for the message before that, so many times over all processes, for
   * the count travels with the message: the header `x-attempts` says which attempt a
   * delivery is. What the handler threw is told by `health()` and the connection's
   * events.
   *
   * @throws {UnsupportedError} If `retry` waits, and the broker lacks `delay`.
   * @throws What ended the consumer, if it was not cancelled.
   */
  async run(
    handler: (message: Message<T>) => void | Promise<void>,
    options: RunOptions<T> = {},
  ): Promise<void> {
    const { retry } = options;
    const runner = new Runner<T>(handler, options, {
      clock: this.#session.clock,
      random: this.#session.random,
      patience: this.#session.endpoint.operationTimeout,
      take: () => this.#take(),
      next: () => this.#nextMessage(),
      want: (count) => intake.want(count),
      cancel: () => this.cancel(),
      onError: (error, message) => {
        this.#handlerError = error;
        const { onError = this.#options.onError } = options;
        const heard = onError !== undefined;
        this.#session.emit(handlerFailed(error, message), heard);
        try {
          onError?.(error, message);
        } catch (cause) {
          this.#session.emit(handlerFailed(cause, message));
        }
      },
    });
    if (retry !== undefined && this.#options.autoAck) {
      throw new TypeError(
        "Cannot try messages again of a consumer with autoAck: they are acked when they are handed over",
      );
    }
    this.#start(retry !== undefined && mayWait(retry));
    const intake = this.#intake;
    const running = runner.run();
    this.#running.add(running);
    try {
      await running;
    } finally {
      this.#running.delete(running);
    }
  }

  /** Stops consuming, and gives back what was fetched; what was handed over stays to be settled. */
  async cancel(options?: OperationOptions): Promise<void> {
    this.#mailbox.end();
    // Out of reach at once: a loop that takes one after the other gets no more.
    const left = this.#mailbox.clear();
    this.#unlisten?.();
    if (!this.#started) return;
    await this.#intake.stop(left, this.#limits(options));
  }

  /** Says how it is. */
  health(): ConsumerHealth {
    return healthOf({
      now: this.#session.clock.now(),
      ended: this.#mailbox.ended,
      intake: this.#intake,
      loopWaits: this.#body.waits,
      lastError: this.#handlerError ?? this.#intake.lastError ??
        this.#session.problem,
    });
  }

  /**
   * Ends it for good, in order: takes no more messages, gives back those that nobody has
   * begun with, waits for the handlers of `run` that are at work, and for the body of a
   * loop until it has settled its message, sends their acks, and gives back what is still
   * unsettled. It always returns, and never rejects. A handler that waits for it would
   * wait for itself: call `cancel()` there. After a second of waiting the event
   * `close-waits` says what for.
   */
  close(options: CloseOptions = {}): Promise<void> {
    checkKnown(options, CLOSE);
    const { drainTimeout } = options;
    if (drainTimeout !== undefined) checkDuration("drainTimeout", drainTimeout);
    return this.#closing ??= this.#close(
      this.#limits({ timeout: drainTimeout }),
    );
  }

  /** Closes it. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(call: Call): Promise<void> {
    const { limits } = this.#session;
    try {
      await this.cancel({ timeout: this.#left(call) });
      const stopTelling = this.#tellLate(call);
      await limits.wait(
        Promise.allSettled([...this.#running, this.#body.idle()]),
        call,
        () => new Error("late"),
      ).finally(stopTelling);
    } catch {
      // Its time is up: what is left goes back with the channel.
    }
    await this.#intake.close({
      signal: undefined,
      deadline: Math.max(call.deadline, this.#session.clock.now() + GOODBYE),
    }).catch(() => {});
    this.#onClosed();
  }

  /** Whoever waits for a second is told what for: it may be himself. */
  #tellLate(call: Call): () => void {
    return this.#session.clock.timer(() => {
      this.#session.emit({
        type: "close-waits",
        queues: this.#queues.map(queueName),
        handlers: this.#intake.unsettled,
        timeLeft: this.#left(call),
      });
    }, SILENT);
  }

  #left({ deadline }: Call): number {
    return Math.max(1, deadline - this.#session.clock.now());
  }

  #start(delays = false): void {
    if (this.#closing !== undefined) {
      throw new ClosedError("Cannot consume: the consumer is closed");
    }
    if (this.#started && this.#mailbox.ended) {
      // It was cancelled, and is wanted again.
      this.#mailbox = new Mailbox<Arrival>();
      this.#intake = this.#newIntake();
      this.#started = false;
    }
    if (delays) this.#intake.requireDelay();
    if (this.#started) return;
    this.#started = true;
    this.#listen();
    if (!this.#mailbox.ended) this.#intake.start();
  }

  #listen(): void {
    const { signal } = this.#options;
    if (signal === undefined) return;
    const onAbort = () => {
      this.#mailbox.fail(signal.reason);
      const left = this.#mailbox.clear();
      this.#session.track(this.#intake.stop(left, this.#limits(undefined)));
    };
    if (signal.aborted) return onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    this.#unlisten = () => signal.removeEventListener("abort", onAbort);
  }

  #next(): Promise<IteratorResult<Message<T>, undefined>> {
    // Messages that are there cost no turn of the event loop but now and then.
    if (++this.#count % BREATH === 0) {
      return turn().then(() => this.#nextResult());
    }
    const message = this.#take();
    if (message === undefined) return this.#nextResult();
    return Promise.resolve(this.#inBody(message));
  }

  async #nextResult(): Promise<IteratorResult<Message<T>, undefined>> {
    const message = await this.#nextMessage();
    return message === undefined
      ? { done: true, value: undefined }
      : this.#inBody(message);
  }

  #inBody(message: ReceivedMessage<T>): IteratorYieldResult<Message<T>> {
    this.#body.enter(message);
    return { done: false, value: message };
  }

  /** Takes a message that is there. With `onDecodeError` each must be read first. */
  #take(): ReceivedMessage<T> | undefined {
    if (this.#options.onDecodeError !== undefined) return undefined;
    if (this.#lazyTypes.some((type) => this.#reading.codecs.isLazy(type))) {
      return undefined;
    }
    const arrival = this.#mailbox.peek();
    if (arrival === undefined) return undefined;
    if (needsCompression(this.#reading, arrival.delivery)) return undefined;
    this.#mailbox.take();
    return this.#handOver(arrival);
  }

  async #nextMessage(): Promise<ReceivedMessage<T> | undefined> {
    const { onDecodeError } = this.#options;
    for (;;) {
      const arrival = await this.#mailbox.next();
      if (arrival === undefined) return undefined;
      const loading = prepareToRead(this.#reading, arrival.delivery);
      if (loading !== undefined) await loading;
      if (this.#mailbox.ended) {
        // Cancelled while it was on its way here: it is for others.
        arrival.source.giveBack(arrival);
        continue;
      }
      const message = this.#handOver(arrival);
      if (onDecodeError === undefined || canRead(message)) return message;
      await this.#onUnreadable(message);
      this.#intake.want(1);
    }
  }

  #handOver({ delivery, source }: Arrival): ReceivedMessage<T> {
    source.take(delivery);
    return new ReceivedMessage<T>(delivery, source, this.#reading);
  }

  async #onUnreadable(message: Message<T>): Promise<void> {
    try {
      await this.#options.onDecodeError?.(unreadable(message), message);
    } catch (error) {
      this.#session.emit(handlerFailed(error, message));
    }
    // It may be lost by now: then it is delivered again.
    if (!message.settled) await message.reject().catch(() => {});
  }

  #newIntake(): Intake {
    const { prefetch, autoAck, exclusive, consumerTag } = this.#options;
    return new Intake(this.#session, {
      queues: this.#queues,
      prefetch: prefetch ?? 100,
      noAck: autoAck ?? false,
      exclusive: exclusive ?? false,
      consumerTag,
      positions: new StreamPositions(this.#options.arguments),
    }, this.#mailbox);
  }

  #limits(options: OperationOptions | undefined): Call {
    const { clock, endpoint } = this.#session;
    return limitsOf(options, clock, endpoint.operationTimeout);
  }
}

/** What a consumer of one queue is typed by. */
function schemaOf<T>(
  queues: readonly (Queue | string)[],
): Schema<T> | undefined {
  const [queue, ...others] = queues;
  if (typeof queue !== "object" || others.length > 0) return undefined;
  return queue.schema as Schema<T> | undefined; // the compiler has held T to it
}
