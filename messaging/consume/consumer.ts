import { turn } from "../../async/turn.ts";
import { CLOSE, type CloseOptions } from "../connection/connection_info.ts";
import { ClosedError, OptionError } from "../../model/errors.ts";
import {
  checkQueues,
  CONSUMER,
  type ConsumerOptions,
} from "./consumer_options.ts";
import {
  Batches,
  type BatchHandler,
  RUN_BATCHES,
  type RunBatchesOptions,
} from "./batches.ts";
import { checkPausable } from "./flow_options.ts";
import { answering, processing, processingBatch } from "./hooked.ts";
import { refuseOrdered } from "./ordered_options.ts";
import { checkKnown } from "../known_options.ts";
import { type ConsumerHealth, healthOf } from "./consumer_health.ts";
import { checkBatchInbox } from "./inbox_options.ts";
import { Intake } from "./intake.ts";
import { LoopBody } from "./loop_body.ts";
import { Runs } from "./runs.ts";
import type { Message, ReceivedMessage } from "./message.ts";
import type { Decoding } from "./reading.ts";
import {
  type Call,
  checkCount,
  checkDuration,
  checkSignal,
  type OperationOptions,
} from "../operation_options.ts";
import { type Queue, queueName } from "../entities/queue.ts";
import { ROUTE, type RouteOptions, type Routes } from "./route_options.ts";
import { Router } from "./router.ts";
import { RUN, type RunOptions } from "./run_options.ts";
import { checked } from "./checked.ts";
import { checkSchema } from "../entities/schema.ts";
import { checkOffset } from "./stream_options.ts";
import type { Session } from "../connection/session.ts";
import { type ServeHandler, Server } from "../reply/serving.ts";
import { SERVE, type ServeOptions } from "../reply/serve_options.ts";
import { HookedPublisher } from "../publish/hooked_publisher.ts";
import type { SessionPublisher } from "../publish/publisher.ts";

/** How long `close()` waits before it says what for, ms. */
const SILENT = 1000;

/** The time that closing a channel may take after its deadline, ms. */
const CLOSE_GRACE = 50;

/** So many messages are handed over before the event loop must turn: timers and sockets would starve. */
const YIELD_EVERY = 256;

/**
 * Consumes messages, one by one with `for await`, or with a handler by `run`. It
 * starts with the first of either, and consumes again by itself when its connection
 * was lost.
 *
 * @typeParam T The type of its messages' `payload`.
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
  readonly #intake: Intake<T>;
  readonly #runs: Runs<T>;
  readonly #body = new LoopBody<T>();
  readonly #onClosed: () => void;
  /** Publishes the answers of `serve`. */
  readonly #publisher: SessionPublisher;
  #count = 0;
  #closing: Promise<void> | undefined;

  /** Made by `connection.consumer`. */
  constructor(
    session: Session,
    decoding: Decoding,
    queues: readonly (Queue | string)[],
    options: ConsumerOptions<T>,
    onClosed: () => void,
    publisher: SessionPublisher,
  ) {
    checkKnown(options, CONSUMER);
    checkSignal(options.signal);
    checkCount("prefetch", options.prefetch ?? 100, 65_535);
    checkQueues(queues);
    checkOffset(options, queues);
    checkSchema(options.schema, "connection.consumer");
    this.#session = session;
    this.#onClosed = onClosed;
    this.#publisher = publisher;
    this.#intake = new Intake(session, decoding, queues, options);
    this.#runs = new Runs(this.#intake, this);
  }

  /**
   * Hands over messages one by one. Leaving the loop cancels the consumer and gives
   * back fetched messages; those that were handed over stay to be settled.
   *
   * @throws The error that ended the consumer, if it was not cancelled.
   */
  [Symbol.asyncIterator](): AsyncIterator<Message<T>, undefined> {
    this.#intake.start();
    return {
      next: () => {
        this.#body.leave(true);
        this.#intake.recovering.want(1);
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
   * Calls a handler for each message, until the consumer is cancelled. A message that
   * the handler has not settled is acked when it returns. When it throws the message is
   * tried again, at most five times unless `retry` says otherwise, and then parked: none is
   * lost, unless `onFailure` says so. The count holds over all processes, for it travels
   * with the message in the header `x-attempts`. The connection's events tell all of it.
   *
   * @throws {UnsupportedError} If the broker lacks the capability for an option: `delay` for a `retry` that waits, `key-order` for `ordered`, `shared-rate` for a `rateLimit` over all processes.
   * @throws {OptionError} If an option is unknown or bad, or does not go with another: `ordered` with `autoAck` or with a `Queue` that is not ordered, `breaker` with a queue that is deleted with its last consumer.
   * @throws {RangeError} If a number is out of range.
   * @throws The error that ended the consumer, if it was not cancelled.
   */
  async run(
    handler: (message: Message<T>) => void | Promise<void>,
    options: RunOptions<T> = {},
  ): Promise<void> {
    const breaker = this.#runs.breakerOf(options, RUN);
    const seen = processing(this.#intake.reading.uses, handler);
    const watched = breaker?.judging(seen) ?? seen;
    await this.#runs.run(
      checked(watched, this.#intake.checks, this.#intake.ask),
      options,
      {
        breaker,
      },
    );
  }

  /**
   * As `run`, but for a handler of several messages at once: as many as there are, `size`
   * at most, and `wait` after the first one came. Each is settled by itself: what the
   * handler settled stays so, and the rest is acked when it returns, and tried again, or
   * given up, when it throws. A message that cannot be read, or its schema refuses, is in
   * no batch.
   *
   * @throws As of `run`.
   *
   * @example 97 are acked, and 3 tried again
   * ```ts
   * import { assertEquals } from "@std/assert";
   * import { createConnection, Queue } from "@dashi/mq";
   *
   * await using connection = createConnection("memory://batches");
   * const rows = new Queue<number>("rows");
   * const producer = connection.producer({ queue: rows });
   * for (let row = 0; row < 100; row++) await producer.publish(row);
   *
   * const consumer = connection.consumer(rows);
   * const sizes: number[] = [];
   * await consumer.runBatches(async (messages) => {
   *   if (sizes.push(messages.length) === 2) return void consumer.cancel();
   *   for (const message of messages.slice(0, 97)) await message.ack();
   *   throw new Error("three were left");
   * }, { size: 100, wait: 500, retry: { backoff: 0 } });
   * assertEquals(sizes, [100, 3]);
   * ```
   */
  async runBatches(
    handler: BatchHandler<T>,
    options: RunBatchesOptions<T> = {},
  ): Promise<void> {
    refuseOrdered(this.#intake.queues);
    const { prefetch } = this.#intake.flow;
    const { clock } = this.#session;
    const breaker = this.#runs.breakerOf(options, RUN_BATCHES);
    checkBatchInbox(options.inbox);
    const seen = processingBatch(this.#intake.reading.uses, handler);
    const watched = breaker?.judging(seen) ?? seen;
    const batches = new Batches<T>(watched, options, prefetch, clock);
    const { size: _, wait: __, ...others } = options;
    await this.#runs.run(
      checked((message) => batches.add(message), true, this.#intake.ask),
      { ...others, concurrency: batches.most },
      {
        breaker,
        onEnd: () => batches.end(),
        setConcurrency: (concurrency) => {
          batches.setConcurrency(concurrency);
          return batches.most;
        },
      },
    );
  }

  /**
   * Calls a handler for each request, and publishes its result to where the request
   * says; then the request is acked. An error of the handler is the answer: the one who asked
   * rejects with a {@linkcode RemoteError}. A request whose deadline has passed is acked
   * without a call. A message that names no queue for an answer is handled as by `run`.
   *
   * At least once: after a lost connection, or a kill, a request may come again. An answer
   * that cannot be delivered, for nobody has the queue that the request named, is dropped
   * and counted in `connection.health()`.
   *
   * @typeParam A The type of its answers.
   * @throws The error that ended the consumer, if it was not cancelled.
   *
   * @example Serve sums
   * ```ts
   * import { assertEquals } from "@std/assert";
   * import { createConnection, Queue } from "@dashi/mq";
   *
   * await using connection = createConnection("memory://serve");
   * const sums = new Queue<number[]>("sums");
   * await connection.declare(sums);
   * const consumer = connection.consumer(sums);
   * const serving = consumer.serve(({ payload }) =>
   *   payload.reduce((sum, each) => sum + each, 0)
   * );
   *
   * const sum = await connection.request<number>([1, 2, 3], {
   *   routingKey: "sums",
   *   timeout: 5000,
   * });
   * assertEquals(sum, 6);
   * await consumer.cancel();
   * await serving;
   * ```
   */
  async serve<A>(
    handler: ServeHandler<T, A>,
    options: ServeOptions<T> = {},
  ): Promise<void> {
    const { uses, codecs } = this.#intake.reading;
    const breaker = this.#runs.breakerOf(options, SERVE);
    const seen = answering(uses, handler);
    const watched = breaker?.judging(seen) ?? seen;
    const server = new Server<T, A | undefined>(watched, options, {
      session: this.#session,
      publisher: uses === undefined
        ? this.#publisher
        : new HookedPublisher(this.#publisher, uses, "reply"),
      codecs,
      checked: (each) => (message) =>
        checked(
          each,
          this.#intake.checks || message.refusal !== undefined,
          this.#intake.ask,
        )(message),
    });
    await this.#runs.run(server.handle, server.runOptions, {
      breaker,
      answers: true,
    });
  }

  /**
   * Calls for each message the handler of its `type`, as `run` does; each may have a schema
   * of its own. A message that has another type, or none, or does not pass its schema, is
   * parked, or handled as the options `unknown` and `invalid` say.
   *
   * @typeParam M The types of the payloads, by the types of the messages.
   * @throws {MessagingError} If a type is unknown, with the code `type-unknown`, and `unknown` is `"throw"`.
   * @throws {DecodeError} If a message is invalid and `invalid` is `"throw"`.
   * @throws The error that ended the consumer, if it was not cancelled.
   *
   * @example Two types of messages
   * ```ts
   * import { assertEquals } from "@std/assert";
   * import { createConnection, Queue } from "@dashi/mq";
   *
   * await using connection = createConnection("memory://route");
   * const events = new Queue("events");
   * await connection.send(events, { id: 7 }, { type: "order.created" });
   * await connection.send(events, "Ada", { type: "user.renamed" });
   *
   * const seen: unknown[] = [];
   * const consumer = connection.consumer(events);
   * await consumer.route({
   *   "order.created": {
   *     schema: (payload: unknown) => payload as { id: number },
   *     handler: ({ payload }) => void seen.push(payload.id),
   *   },
   *   "user.renamed": ({ payload }) => {
   *     seen.push(payload);
   *     void consumer.cancel();
   *   },
   * });
   * assertEquals(seen, [7, "Ada"]);
   * ```
   */
  async route<M extends Record<string, unknown>>(
    routes: Routes<M>,
    options: RouteOptions = {},
  ): Promise<void> {
    const { autoAck = false } = this.#intake.options;
    const breaker = this.#runs.breakerOf(options, ROUTE);
    const router = new Router(
      routes,
      options,
      autoAck,
      () => this.cancel(),
      (each) => {
        const seen = processing(this.#intake.reading.uses, each);
        return breaker?.judging(seen) ?? seen;
      },
    );
    await this.#runs.run(
      this.#intake.checks
        ? (message) => {
          const handle = () => router.handle(message);
          return checked(handle, true, this.#intake.ask)(message);
        }
        : router.handle,
      router.runOptions as RunOptions<T>, // it tells of messages whatever their payload is
      { breaker },
    );
    if (router.error !== undefined) throw router.error;
  }

  /**
   * Takes no more messages until `resume()`: what was fetched and not handed over goes back
   * to its queue, where others may take it, and handlers that are at work come to their
   * end. It stays paused over lost connections, and over `cancel()`; called before the
   * consumer starts it starts paused, and called again it does nothing more.
   *
   * @returns When the broker has the fetched messages back; a handler may wait for it.
   * @throws {OptionError} If a queue is deleted with its last consumer.
   * @throws {ClosedError} If the consumer is closed.
   * @throws {TimeoutError} If the broker has not answered in time: it is paused all the same.
   *
   * @example Pause while a shop is closed
   * ```ts
   * import { assertEquals } from "@std/assert";
   * import { createConnection, Queue } from "@dashi/mq";
   *
   * await using connection = createConnection("memory://pause");
   * const orders = new Queue<number>("orders");
   * const producer = connection.producer({ queue: orders });
   * for (let id = 1; id <= 3; id++) await producer.publish(id);
   *
   * const consumer = connection.consumer(orders);
   * const seen: number[] = [];
   * const running = consumer.run(async ({ payload }) => {
   *   seen.push(payload);
   *   if (payload === 1) await consumer.pause();
   *   if (payload === 3) void consumer.cancel();
   * });
   * while (consumer.health().reason !== "it is paused") await new Promise((r) => setTimeout(r));
   * assertEquals(seen, [1]);
   * consumer.resume();
   * await running;
   * assertEquals(seen, [1, 2, 3]);
   * ```
   */
  async pause(options?: OperationOptions): Promise<void> {
    this.#checkOpen("pause");
    checkPausable(this.#intake.queues, "pause");
    const call = this.#session.call(options);
    if (this.#intake.flow.pause(true)) this.#tellFlow("consumer-paused");
    if (this.#intake.hasStarted) await this.#runs.renew(call);
  }

  /**
   * Takes messages again after `pause()`. A consumer that is not paused ignores it, and an
   * open circuit breaker stays open.
   */
  resume(): void {
    if (this.#intake.flow.pause(false)) this.#tellFlow("consumer-resumed");
  }

  #tellFlow(type: "consumer-paused" | "consumer-resumed"): void {
    this.#session.emit({ type, queues: this.#intake.queues.map(queueName) });
  }

  /**
   * Changes how many messages of each queue are unsettled at most. Messages that were
   * fetched and not handed over go back, and the consumer consumes again; those that
   * handlers have are not counted any more. It holds for later connections too.
   *
   * @param prefetch As of `connection.consumer`.
   * @returns When the broker has the fetched messages back.
   * @throws {RangeError} If it is not a whole number from 1 to 65535.
   * @throws {OptionError} If a queue is deleted with its last consumer.
   * @throws {ClosedError} If the consumer is closed.
   * @throws {TimeoutError} If the broker has not answered in time: it holds all the same.
   */
  async setPrefetch(
    prefetch: number,
    options?: OperationOptions,
  ): Promise<void> {
    this.#checkOpen("set the prefetch of");
    checkCount("prefetch", prefetch, 65_535);
    checkPausable(this.#intake.queues, "set the prefetch of");
    const call = this.#session.call(options);
    if (!this.#intake.flow.setPrefetch(prefetch)) return;
    if (this.#intake.hasStarted) await this.#intake.recovering.renew(call);
  }

  /**
   * Changes how many handlers run at once, of `run` and its like at work now; of
   * `runBatches` it counts batches. Fewer take effect as handlers come to their end. Another
   * `run` begins with its own option.
   *
   * @param concurrency As the option of `run`.
   * @throws {RangeError} If it is not a whole number above 0.
   * @throws {OptionError} If no handler was given yet.
   * @throws {ClosedError} If the consumer is closed.
   */
  setConcurrency(concurrency: number): void {
    this.#checkOpen("set the concurrency of");
    checkCount("concurrency", concurrency, Number.MAX_SAFE_INTEGER);
    if (this.#runs.isIdle) {
      throw new OptionError(
        'Cannot set the concurrency of a consumer without a handler: call "run" first, or give it the option "concurrency"',
      );
    }
    this.#runs.setConcurrency(concurrency);
  }

  #checkOpen(what: string): void {
    if (this.#closing === undefined) return;
    throw new ClosedError(`Cannot ${what} a consumer: it is closed`);
  }

  /** Stops consuming, and gives back fetched messages; messages that were handed over stay to be settled. */
  async cancel(options?: OperationOptions): Promise<void> {
    await this.#intake.cancel(this.#session.call(options));
  }

  /** Says how it is, by what the process knows: nothing is asked of the broker. */
  health(): ConsumerHealth {
    const { clock, loopWatch } = this.#session;
    const isAborted = this.#intake.options.signal?.aborted === true;
    return healthOf({
      now: clock.now(),
      wall: clock.wall(),
      loopBlocked: loopWatch.blocked,
      hasEnded: this.#intake.mailbox.ended,
      // An aborted signal is the user's way to cancel it.
      failure: isAborted ? undefined : this.#intake.mailbox.failure,
      flow: this.#intake.flow,
      breaker: this.#runs.breaker,
      recovering: this.#intake.recovering,
      loopWaits: this.#body.waits,
      duplicates: this.#runs.duplicates,
      lastError: this.#intake.handlerError ??
        this.#intake.recovering.lastError ??
        this.#session.problem,
    });
  }

  /**
   * Ends it for good, in order: takes no more messages, gives back those that nobody has
   * begun with, waits for the handlers of `run` that are at work, and for the body of a
   * loop until it has settled its message, sends their acks, and gives back what is still
   * unsettled. It always returns, and never rejects; a `run` whose handlers are still at work
   * then resolves without them. A handler does not wait for itself: a
   * call before its first `await` resolves at once. After a second of waiting the event
   * `close-waits` says what for.
   */
  close(options: CloseOptions = {}): Promise<void> {
    checkKnown(options, CLOSE);
    const { drainTimeout } = options;
    if (drainTimeout !== undefined) checkDuration("drainTimeout", drainTimeout);
    const call = this.#session.call({ timeout: drainTimeout });
    this.#intake.isClosed = true;
    const closing = this.#closing ??= this.#close(call);
    return this.#session.handling === this ? Promise.resolve() : closing;
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
        Promise.all([this.#runs.ended(), this.#body.idle()]),
        call,
        () => new Error("late"),
      ).finally(stopTelling);
    } catch {
      // Its time is up: the other messages go back with the channel.
    }
    await this.#intake.recovering.close({
      signal: undefined,
      deadline: Math.max(
        call.deadline,
        this.#session.clock.now() + CLOSE_GRACE,
      ),
    }).catch(() => {});
    this.#runs.abandon();
    this.#onClosed();
  }

  /** A caller that waits for a second is told the reason: it may be its own handler. */
  #tellLate(call: Call): () => void {
    return this.#session.clock.timer(() => {
      this.#session.emit({
        type: "close-waits",
        queues: this.#intake.queues.map(queueName),
        handlers: this.#intake.recovering.unsettled,
        timeLeft: this.#left(call),
      });
    }, SILENT);
  }

  #left({ deadline }: Call): number {
    return Math.max(1, deadline - this.#session.clock.now());
  }

  #next(): Promise<IteratorResult<Message<T>, undefined>> {
    // Messages that are there cost no turn of the event loop but now and then.
    if (++this.#count % YIELD_EVERY === 0) {
      return turn().then(() => this.#nextResult());
    }
    const message = this.#intake.incoming.take(this.#intake.checks, "iterate");
    if (message === undefined) return this.#nextResult();
    return Promise.resolve(this.#inBody(message));
  }

  async #nextResult(): Promise<IteratorResult<Message<T>, undefined>> {
    const began = this.#intake.incoming.isSeen
      ? this.#session.clock.now()
      : undefined;
    const message = await this.#intake.incoming.next(
      this.#intake.checks,
      "iterate",
      began,
    );
    return message === undefined
      ? { done: true, value: undefined }
      : this.#inBody(message);
  }

  #inBody(message: ReceivedMessage<T>): IteratorYieldResult<Message<T>> {
    this.#body.enter(message);
    return { done: false, value: message };
  }
}
