import { Mailbox } from "../../async/mailbox.ts";
import { turn } from "../../async/turn.ts";
import { CLOSE, type CloseOptions } from "../connection/connection_info.ts";
import { ClosedError, OptionError } from "../../model/errors.ts";
import { Slab } from "../../model/slab.ts";
import {
  checkQueues,
  CONSUMER,
  type ConsumerOptions,
  schemaOf,
} from "./consumer_options.ts";
import {
  Batches,
  type BatchHandler,
  type RunBatchesOptions,
} from "./batches.ts";
import { Breaker, checkAlone, checkBreaker } from "./breaker.ts";
import { Flow } from "./flow.ts";
import { checkWaits } from "./rate_limit.ts";
import type { SharedCount } from "./shared_pace.ts";
import type { Link } from "../connection/topology_channel.ts";
import { checkPausable } from "./flow_options.ts";
import { answering, processing, processingBatch, receiving } from "./hooked.ts";
import { mayWait } from "./handler_retry.ts";
import { Incoming } from "./incoming.ts";
import {
  requireDelay,
  requireKeyOrder,
  requireSharedRate,
} from "./consumed_queues.ts";
import { isRunOrdered, refuseOrdered } from "./ordered_options.ts";
import { checkKnown } from "../known_options.ts";
import { type ConsumerHealth, healthOf } from "./consumer_health.ts";
import { RecoveringConsumer } from "./recovering_consumer.ts";
import type { ReceivedDelivery } from "./lane.ts";
import { LoopBody } from "./loop_body.ts";
import type { Message, ReceivedMessage } from "./message.ts";
import type { Decoding, Reading } from "./reading.ts";
import {
  type Call,
  checkCount,
  checkDuration,
  checkSignal,
  type OperationOptions,
} from "../operation_options.ts";
import { type Queue, queueName } from "../entities/queue.ts";
import { Once } from "./once.ts";
import { Outcomes, type OutcomesHost } from "./outcomes.ts";
import { outcomesHost } from "./outcomes_host.ts";
import type { RouteOptions, Routes } from "./route_options.ts";
import { Router } from "./router.ts";
import type { RunOptions } from "./run_options.ts";
import { Runner } from "./runner.ts";
import { type AskInvalid, checked, type Handler } from "./checked.ts";
import { checkSchema, validator } from "../entities/schema.ts";
import type { Session } from "../connection/session.ts";
import { handlerFailed } from "./teller.ts";
import { type ServeHandler, Server } from "../reply/serving.ts";
import type { ServeOptions } from "../reply/serve_options.ts";
import { HookedPublisher } from "../publish/hooked_publisher.ts";
import type { SessionPublisher } from "../publish/publisher.ts";
import { StreamPositions } from "./stream_position.ts";
import { asError } from "../../model/error_text.ts";

/** How long `close()` waits before it says what for, ms. */
const SILENT = 1000;

/** The time that closing a channel may take after its deadline, ms. */
const CLOSE_GRACE = 50;

/** So many messages are handed over before the event loop must turn: timers and sockets would starve. */
const YIELD_EVERY = 256;

/** How a run can be changed while it is at work. */
interface Controls {
  setConcurrency(concurrency: number): void;
  /** Messages that wait for a limit go back. Never rejects. */
  letWaitingGo(when?: Promise<void>): Promise<void>;
  /** The option for which it is to be the only one. */
  readonly alone: "breaker" | "ordered" | undefined;
}

/** The parts that a run has beside its handler. */
interface RunParts {
  readonly breaker: Breaker | undefined;
  /** Called when no more messages come. */
  readonly onEnd?: () => void;
  /** Whether its handler looks itself whether a message was refused. */
  readonly answers?: boolean;
  /** Takes the number of batches, and returns that of messages. */
  readonly setConcurrency?: (concurrency: number) => number;
}

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
  readonly #queues: readonly (Queue | string)[];
  readonly #options: ConsumerOptions<T>;
  readonly #reading: Reading<T>;
  /** Whether payloads are read before they are handed over. */
  readonly #checks: boolean;
  readonly #onClosed: () => void;
  /** Publishes the answers of `serve`. */
  readonly #publisher: SessionPublisher;
  #mailbox = new Mailbox<ReceivedDelivery>();
  #incoming: Incoming<T>;
  #recovering: RecoveringConsumer;
  /** Sees to messages that a loop's schema refused. */
  #refused: Outcomes<T> | undefined;
  /** The handlers of `run`, at work. */
  readonly #running = new Map<Promise<void>, Controls>();
  /** Whether it takes messages, and how many. */
  readonly #flow: Flow;
  /** The circuit breaker of the run that is at work. */
  #breaker: Breaker | undefined;
  readonly #body = new LoopBody<T>();
  #started = false;
  #count = 0;
  #closing: Promise<void> | undefined;
  #unlisten: (() => void) | undefined;
  #handlerError: Error | undefined;
  /** How many messages an inbox knew as handled. */
  #duplicates = 0;

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
    checkSchema(options.schema, "connection.consumer");
    this.#session = session;
    this.#queues = queues;
    this.#options = options;
    this.#onClosed = onClosed;
    this.#publisher = publisher;
    const { codecs } = decoding;
    const schema = options.schema ?? schemaOf<T>(queues);
    this.#reading = {
      ...decoding,
      accept: codecs.acceptSet(options.accept),
      check: validator(schema),
      slab: new Slab(),
    };
    this.#checks = schema !== undefined || options.onInvalid !== undefined;
    this.#flow = new Flow(options.prefetch ?? 100);
    this.#incoming = this.#newIncoming();
    this.#recovering = this.#newRecovering();
  }

  /**
   * Hands over messages one by one. Leaving the loop cancels the consumer and gives
   * back fetched messages; those that were handed over stay to be settled.
   *
   * @throws The error that ended the consumer, if it was not cancelled.
   */
  [Symbol.asyncIterator](): AsyncIterator<Message<T>, undefined> {
    this.#start();
    return {
      next: () => {
        this.#body.leave(true);
        this.#recovering.want(1);
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
    const breaker = this.#breakerOf(options);
    const seen = processing(this.#reading.uses, handler);
    const watched = breaker?.judging(seen) ?? seen;
    await this.#run(checked(watched, this.#checks, this.#ask), options, {
      breaker,
    });
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
    refuseOrdered(this.#queues);
    const { prefetch } = this.#flow;
    const { clock } = this.#session;
    const breaker = this.#breakerOf(options);
    const seen = processingBatch(this.#reading.uses, handler);
    const watched = breaker?.judging(seen) ?? seen;
    const batches = new Batches<T>(watched, options, prefetch, clock);
    const { size: _, wait: __, ...others } = options;
    await this.#run(
      checked((message) => batches.add(message), true, this.#ask),
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
    const { uses, codecs } = this.#reading;
    const breaker = this.#breakerOf(options);
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
          this.#checks || message.refusal !== undefined,
          this.#ask,
        )(message),
    });
    await this.#run(server.handle, server.runOptions, {
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
    const { autoAck = false } = this.#options;
    const breaker = this.#breakerOf(options);
    const router = new Router(
      routes,
      options,
      autoAck,
      () => this.cancel(),
      (each) => {
        const seen = processing(this.#reading.uses, each);
        return breaker?.judging(seen) ?? seen;
      },
    );
    await this.#run(
      this.#checks
        ? (message) => {
          const handle = () => router.handle(message);
          return checked(handle, true, this.#ask)(message);
        }
        : router.handle,
      router.runOptions as RunOptions<T>, // it tells of messages whatever their payload is
      { breaker },
    );
    if (router.error !== undefined) throw router.error;
  }

  async #run(
    handler: Handler<T>,
    options: RunOptions<T>,
    { breaker, onEnd, setConcurrency, answers }: RunParts,
  ): Promise<void> {
    const { retry } = options;
    const ordered = isRunOrdered(options, this.#queues, this.#options);
    const once = this.#onceOf(handler, options);
    const handle = once?.handle ?? handler;
    const tried = breaker?.trying(handle) ?? handle;
    const { uses } = this.#reading;
    const received = receiving(uses, tried, answers ? undefined : this.#ask);
    // Its group may be told by the payload.
    const via = options.rateLimit?.key === undefined ? undefined : "run";
    const shared = this.#sharedBy(options);
    const runner = new Runner<T>(received, options, {
      ...this.#outcomesHost(options.onError),
      breaker,
      ordered,
      shared,
      take: () => incoming.take(false, via),
      next: onEnd === undefined
        ? () => incoming.next(false, via)
        : () =>
          incoming.next(false, via).then((message) => {
            if (message === undefined) onEnd();
            return message;
          }),
      want: (count) => recovering.want(count),
      onEnd: (callback) => mailbox.onEnd(callback),
      hasEnded: () => mailbox.ended,
      cancel: () => this.cancel(),
      calling: (is) => this.#session.handling = is ? this : undefined,
    });
    checkWaits(options.rateLimit, this.#options.autoAck);
    if ((retry || options.onFailure) && this.#options.autoAck) {
      throw new TypeError(
        "Cannot try messages again, or park them, of a consumer with autoAck: they are acked when they are handed over",
      );
    }
    if (once !== undefined && this.#options.autoAck) {
      throw new OptionError(
        "Cannot use an inbox for a consumer with autoAck: its messages are acked when they are handed over, and one that fails would not come again",
      );
    }
    const alone = breaker !== undefined
      ? "breaker"
      : ordered
      ? "ordered"
      : undefined;
    checkAlone([alone, ...[...this.#running.values()].map((e) => e.alone)]);
    this.#start([
      ...(retry && mayWait(retry) ? [requireDelay] : []),
      ...(ordered ? [requireKeyOrder] : []),
      ...(shared === undefined ? [] : [requireSharedRate]),
    ]);
    this.#breaker = breaker;
    const [incoming, recovering] = [this.#incoming, this.#recovering];
    const mailbox = this.#mailbox;
    const stopListening = once && mailbox.onEnd(() => once.end());
    const running = runner.run();
    this.#running.set(running, {
      setConcurrency: (concurrency) =>
        runner.setConcurrency(setConcurrency?.(concurrency) ?? concurrency),
      letWaitingGo: (when) => {
        once?.letWaitingGo();
        return runner.letWaitingGo(when);
      },
      alone,
    });
    try {
      await running;
    } finally {
      this.#running.delete(running);
      stopListening?.();
      if (breaker !== undefined) this.#endBreaker(breaker);
    }
  }

  /** Returns the caller of the handler for messages that the inbox does not know; `undefined` without an inbox. */
  #onceOf(
    handler: Handler<T>,
    { inbox, inboxKey, onError }: RunOptions<T>,
  ): Once<T> | undefined {
    if (inbox === undefined) return undefined;
    const { clock, teller } = this.#outcomesHost(onError);
    return new Once(handler, inbox, inboxKey, {
      clock,
      tell: (error, message) => teller.failed(error, message),
      skipped: (
        { deliveryInfo: { queue }, properties: { messageId } },
        key,
      ) => {
        this.#duplicates++;
        this.#session.emit({ type: "duplicate", queue, messageId, key });
      },
    });
  }

  #sharedBy(
    { rateLimit }: Pick<RunOptions<T>, "rateLimit">,
  ): SharedCount | undefined {
    if (rateLimit?.scope !== "queue") return undefined;
    const session = this.#session;
    const { limit, interval } = rateLimit;
    return {
      hasOneQueue: this.#queues.length === 1,
      admit: (queue, key, signal) => {
        const call = { ...session.call(), signal };
        return session.retry(call, async () => {
          const link = await session.link(call);
          requireSharedRate(link);
          const { connection } = link;
          return await connection.rates?.admit(
            queue,
            key,
            { limit, interval },
            call,
          ) ??
            0;
        });
      },
    };
  }

  #breakerOf({ breaker }: Pick<RunOptions<T>, "breaker">): Breaker | undefined {
    if (breaker === undefined) return undefined;
    checkBreaker(breaker);
    checkPausable(this.#queues, 'use a "breaker" for');
    const queues = this.#queues.map(queueName);
    return new Breaker(breaker, {
      clock: this.#session.clock,
      hasEnded: () => this.#mailbox.ended,
      onEnd: (callback) => this.#mailbox.onEnd(callback),
      opened: (error, until) => {
        this.#flow.breakerIs("open");
        this.#session.emit({
          type: "breaker-opened",
          queues,
          until: new Date(until),
          error,
        });
        this.#renewSoon();
      },
      halfOpened: () => this.#flow.breakerIs("half-open"),
      closed: () => {
        this.#flow.breakerIs("closed");
        this.#session.emit({ type: "breaker-closed", queues });
        this.#renewSoon();
      },
    });
  }

  #endBreaker(breaker: Breaker): void {
    breaker.end();
    this.#flow.breakerIs("closed");
  }

  /** A broker that does not answer loses the channel, and by that the rest goes back. */
  #renewSoon(): void {
    this.#session.track(this.#renew(this.#session.call()).catch(() => {}));
  }

  /** Gives back messages that were fetched and not handed over, and those that wait for a limit. */
  async #renew(call: Call): Promise<void> {
    const running = [...this.#running.values()];
    const renewing = this.#recovering.renew(call);
    // Messages that wait begin no more from now on; given back at once they would come again.
    const going = running.map((each) => each.letWaitingGo(renewing));
    try {
      await renewing;
    } finally {
      await Promise.all(going);
      await Promise.all(running.map((each) => each.letWaitingGo()));
    }
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
    checkPausable(this.#queues, "pause");
    const call = this.#session.call(options);
    if (this.#flow.pause(true)) this.#tellFlow("consumer-paused");
    if (this.#started) await this.#renew(call);
  }

  /**
   * Takes messages again after `pause()`. A consumer that is not paused ignores it, and an
   * open circuit breaker stays open.
   */
  resume(): void {
    if (this.#flow.pause(false)) this.#tellFlow("consumer-resumed");
  }

  #tellFlow(type: "consumer-paused" | "consumer-resumed"): void {
    this.#session.emit({ type, queues: this.#queues.map(queueName) });
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
    checkPausable(this.#queues, "set the prefetch of");
    const call = this.#session.call(options);
    if (!this.#flow.setPrefetch(prefetch)) return;
    if (this.#started) await this.#recovering.renew(call);
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
    if (this.#running.size === 0) {
      throw new OptionError(
        'Cannot set the concurrency of a consumer without a handler: call "run" first, or give it the option "concurrency"',
      );
    }
    for (const each of this.#running.values()) each.setConcurrency(concurrency);
  }

  #checkOpen(what: string): void {
    if (this.#closing === undefined) return;
    throw new ClosedError(`Cannot ${what} a consumer: it is closed`);
  }

  /** Stops consuming, and gives back fetched messages; messages that were handed over stay to be settled. */
  async cancel(options?: OperationOptions): Promise<void> {
    this.#mailbox.end();
    // Out of reach at once: a loop that takes one after the other gets no more.
    const left = this.#mailbox.clear();
    this.#unlisten?.();
    this.#session.track(this.#letRefusedGo());
    if (!this.#started) return;
    await this.#recovering.stop(left, this.#session.call(options));
  }

  /** Messages that a loop's schema refused, and that could not be parked, are waited for no longer. */
  async #letRefusedGo(): Promise<void> {
    const refused = this.#refused;
    this.#refused = undefined;
    refused?.drain();
    await refused?.idle();
  }

  /** Says how it is, by what the process knows: nothing is asked of the broker. */
  health(): ConsumerHealth {
    const { clock, loopWatch } = this.#session;
    const isAborted = this.#options.signal?.aborted === true;
    return healthOf({
      now: clock.now(),
      wall: clock.wall(),
      loopBlocked: loopWatch.blocked,
      hasEnded: this.#mailbox.ended,
      // An aborted signal is the user's way to cancel it.
      failure: isAborted ? undefined : this.#mailbox.failure,
      flow: this.#flow,
      breaker: this.#breaker,
      recovering: this.#recovering,
      loopWaits: this.#body.waits,
      duplicates: this.#duplicates,
      lastError: this.#handlerError ?? this.#recovering.lastError ??
        this.#session.problem,
    });
  }

  /**
   * Ends it for good, in order: takes no more messages, gives back those that nobody has
   * begun with, waits for the handlers of `run` that are at work, and for the body of a
   * loop until it has settled its message, sends their acks, and gives back what is still
   * unsettled. It always returns, and never rejects. A handler does not wait for itself: a
   * call before its first `await` resolves at once. After a second of waiting the event
   * `close-waits` says what for.
   */
  close(options: CloseOptions = {}): Promise<void> {
    checkKnown(options, CLOSE);
    const { drainTimeout } = options;
    if (drainTimeout !== undefined) checkDuration("drainTimeout", drainTimeout);
    const call = this.#session.call({ timeout: drainTimeout });
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
        Promise.allSettled([...this.#running.keys(), this.#body.idle()]),
        call,
        () => new Error("late"),
      ).finally(stopTelling);
    } catch {
      // Its time is up: the other messages go back with the channel.
    }
    await this.#recovering.close({
      signal: undefined,
      deadline: Math.max(
        call.deadline,
        this.#session.clock.now() + CLOSE_GRACE,
      ),
    }).catch(() => {});
    this.#onClosed();
  }

  /** A caller that waits for a second is told the reason: it may be its own handler. */
  #tellLate(call: Call): () => void {
    return this.#session.clock.timer(() => {
      this.#session.emit({
        type: "close-waits",
        queues: this.#queues.map(queueName),
        handlers: this.#recovering.unsettled,
        timeLeft: this.#left(call),
      });
    }, SILENT);
  }

  #left({ deadline }: Call): number {
    return Math.max(1, deadline - this.#session.clock.now());
  }

  #start(needs: readonly ((link: Link) => void)[] = []): void {
    if (this.#closing !== undefined) {
      throw new ClosedError("Cannot consume: the consumer is closed");
    }
    if (this.#started && this.#mailbox.ended) {
      // It was cancelled, and is wanted again.
      this.#mailbox = new Mailbox<ReceivedDelivery>();
      this.#incoming = this.#newIncoming();
      this.#recovering = this.#newRecovering();
      this.#started = false;
    }
    for (const each of needs) this.#recovering.require(each);
    if (this.#started) return;
    this.#started = true;
    this.#listen();
    if (!this.#mailbox.ended) this.#recovering.start();
  }

  #listen(): void {
    const { signal } = this.#options;
    if (signal === undefined) return;
    const onAbort = () => {
      this.#mailbox.fail(signal.reason);
      const left = this.#mailbox.clear();
      this.#session.track(this.#letRefusedGo());
      this.#session.track(
        this.#recovering.stop(left, this.#session.call(undefined)),
      );
    };
    if (signal.aborted) return onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    this.#unlisten = () => signal.removeEventListener("abort", onAbort);
  }

  #next(): Promise<IteratorResult<Message<T>, undefined>> {
    // Messages that are there cost no turn of the event loop but now and then.
    if (++this.#count % YIELD_EVERY === 0) {
      return turn().then(() => this.#nextResult());
    }
    const message = this.#incoming.take(this.#checks, "iterate");
    if (message === undefined) return this.#nextResult();
    return Promise.resolve(this.#inBody(message));
  }

  async #nextResult(): Promise<IteratorResult<Message<T>, undefined>> {
    const began = this.#incoming.isSeen ? this.#session.clock.now() : undefined;
    const message = await this.#incoming.next(this.#checks, "iterate", began);
    return message === undefined
      ? { done: true, value: undefined }
      : this.#inBody(message);
  }

  #inBody(message: ReceivedMessage<T>): IteratorYieldResult<Message<T>> {
    this.#body.enter(message);
    return { done: false, value: message };
  }

  /** Sees to a message for a loop whose payload is not right, or that a middleware failed for. Never rejects. */
  async #refuse(message: ReceivedMessage<T>, error: Error): Promise<void> {
    const refused = this.#refused ??= new Outcomes<T>(
      {},
      this.#outcomesHost(undefined),
    );
    if (!message.isUnreadable(error)) {
      return await refused.failedBefore(message, error);
    }
    const isAsked = await this.#ask(error, message);
    await refused.refused(message, error, isAsked); // it may be let go meanwhile
  }

  /** Asks `onInvalid`, if it is there. Never rejects. */
  readonly #ask: AskInvalid<T> = async (error, message) => {
    const { onInvalid } = this.#options;
    if (onInvalid === undefined) return false;
    try {
      await onInvalid(error, message);
    } catch (cause) {
      this.#session.emit(handlerFailed(asError(cause), message, undefined));
    }
    return true;
  };

  #outcomesHost(onError: RunOptions<T>["onError"]): OutcomesHost<T> {
    return outcomesHost(
      this.#session,
      onError ?? this.#options.onError,
      (error) => this.#handlerError = error,
    );
  }

  #newIncoming(): Incoming<T> {
    return new Incoming(this.#mailbox, this.#reading, {
      refuse: (message, error) => this.#refuse(message, error),
      want: (count) => this.#recovering.want(count),
    });
  }

  #newRecovering(): RecoveringConsumer {
    const { autoAck, exclusive, consumerTag } = this.#options;
    return new RecoveringConsumer(this.#session, {
      queues: this.#queues,
      flow: this.#flow,
      noAck: autoAck ?? false,
      exclusive: exclusive ?? false,
      consumerTag,
      positions: new StreamPositions(this.#options.arguments),
    }, this.#mailbox);
  }
}
