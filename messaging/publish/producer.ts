import { turn } from "../../async/turn.ts";
import type * as codec from "../../codec/mod.ts";
import { MAX_WAIT } from "../../model/checks.ts";
import { TimeoutError } from "../../model/errors.ts";
import type { Publishing } from "../../model/message.ts";
import { checkEntities } from "../entities/entities.ts";
import { exchangeName } from "../entities/exchange.ts";
import { checkKnown } from "../known_options.ts";
import { formatOf, isLazy, loadCodecs, saysFormat } from "./encoding.ts";
import { dedupeOf } from "./dedupe.ts";
import { Needs, UNKNOWN } from "./needs.ts";
import { checkCount, type OperationOptions } from "../operation_options.ts";
import {
  PRODUCER,
  type ProducerOptions,
  PUBLISH,
  type PublishDefaults,
  type Published,
  type PublishOnceOptions,
  type PublishOptions,
} from "./producer_options.ts";
import {
  checkExchange,
  checkQueue,
  checkRange,
  propertiesOf,
} from "./publishing.ts";
import {
  PUBLISH_ALL,
  publishAll,
  type PublishAllOptions,
  type PublishedAll,
} from "./publish_all.ts";
import { defaultsOf, withDefaults } from "./publish_defaults.ts";
import { PublishWindow } from "./publish_window.ts";
import type { Confirmation, PublishCall } from "./publish_call.ts";
import type { HookedPublisher } from "./hooked_publisher.ts";
import { Queue } from "../entities/queue.ts";
import type { Session } from "../connection/session.ts";
import { producerClosed } from "../connection/session_errors.ts";

/**
 * Publishes messages. Call `publish` many times without waiting: it pipelines.
 *
 * @typeParam T The type of its payloads.
 *
 * @example Publish to a queue
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createConnection, Queue } from "@dashi/mq";
 *
 * await using connection = createConnection("memory://producer");
 * const orders = new Queue("orders");
 * const producer = connection.producer<{ id: number }>({ declare: [orders] });
 * await producer.publish({ id: 1 }, { routingKey: "orders" });
 *
 * const status = await connection.declare(orders);
 * assertEquals(status.messageCount, 1);
 * ```
 */
export class Producer<T = unknown> implements AsyncDisposable {
  readonly #session: Session;
  readonly #codecs: codec.CodecRegistry;
  readonly #options: ProducerOptions;
  readonly #needs: Needs;
  /** How a payload is written where a publish does not say. */
  readonly #format: codec.EncodeOptions;
  /** The properties that each message is published with, unless it has its own. */
  readonly #defaults: PublishDefaults | undefined;
  readonly #publisher: HookedPublisher;
  readonly #window: PublishWindow;
  readonly #onClosed: () => void;
  #closing: Promise<void> | undefined;

  /** Made by `connection.producer`. */
  constructor(
    session: Session,
    publisher: HookedPublisher,
    codecs: codec.CodecRegistry,
    options: ProducerOptions,
    onClosed: () => void,
  ) {
    checkKnown(options, PRODUCER);
    const { exchange, maxInFlight = 1000 } = options;
    checkExchange(exchange);
    checkQueue(options);
    checkEntities(options.declare, `"declare" of connection.producer`);
    checkCount("maxInFlight", maxInFlight, Number.MAX_SAFE_INTEGER);
    this.#session = session;
    this.#codecs = codecs;
    this.#options = options;
    this.#format = formatOf({}, options);
    this.#defaults = defaultsOf(options);
    this.#onClosed = onClosed;
    this.#needs = new Needs(session, options);
    this.#publisher = publisher;
    this.#window = new PublishWindow(publisher, session.limits, maxInFlight);
  }

  /**
   * Publishes a message, and resolves when the broker has accepted it; with `dedupe` it
   * resolves to whether the message was a duplicate.
   *
   * @throws {EncodeError} If the payload cannot be written.
   * @throws {UnroutableError} If it is mandatory and no queue takes it.
   * @throws {NotFoundError} If there is no such exchange.
   * @throws {PublishError} If the broker refuses it.
   * @throws {TimeoutError} If there is no answer in time; `outcome` says whether it may have been sent.
   * @throws {RangeError} If a number is out of range.
   * @throws {OptionError} If an option is unknown, or the key is none.
   * @throws {UnsupportedError} If the broker cannot do what an option asks for.
   */
  publish(payload: T, options: PublishOnceOptions): Promise<Published>;
  /** The same without `dedupe`: nothing more is to be told. */
  publish(payload: T, options?: PublishOptions): Promise<void>;
  publish(
    payload: T,
    given: PublishOptions = NO_OPTIONS,
  ): Promise<void | Published> {
    try {
      if (this.#closing !== undefined) throw producerClosed();
      const options = this.#defaults === undefined
        ? given
        : withDefaults(this.#defaults, given);
      const call = this.#limits(options);
      return options.dedupe === undefined
        ? this.#publish(payload, options, call)
        : this.#publishOnce(payload, options, call);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Says besides whether another has published it. */
  async #publishOnce(
    payload: T,
    options: PublishOptions,
    limits: PublishCall,
  ): Promise<Published> {
    const confirmation: Confirmation = { duplicate: false };
    await this.#publish(payload, options, { ...limits, confirmation });
    const isTold = this.#session.capabilities.has("dedupe");
    return { duplicate: isTold ? confirmation.duplicate : undefined };
  }

  #publish(
    payload: T,
    options: PublishOptions,
    call: PublishCall,
  ): Promise<void> {
    options.signal?.throwIfAborted();
    checkEntities(options.declare, `"declare" of publish`);
    checkExchange(options.exchange);
    if (options.transaction !== undefined) {
      this.#needs.checkTransaction(options);
    }
    const replyTo = this.#needs.replyTo(options.replyTo);
    const format = saysFormat(options)
      ? formatOf(options, this.#format)
      : this.#format;
    if (
      (this.#window.line.busy && !this.#publisher.isSeen) ||
      replyTo === UNKNOWN ||
      isLazy(this.#codecs, format) ||
      !this.#needs.areMet(options)
    ) return this.#publishLater(payload, options, format, call);
    const message = this.#message(payload, options, format, replyTo);
    return this.#window.pass(message, call);
  }

  /** Apart, for a function that makes functions costs more even where it makes none. */
  #publishLater(
    payload: T,
    options: PublishOptions,
    format: codec.EncodeOptions,
    call: PublishCall,
  ): Promise<void> {
    return this.#window.pass(
      () => this.#prepare(payload, options, format, call),
      call,
    );
  }

  /**
   * Publishes many payloads, in order, from a list or from what `for await` goes through:
   * it reads no faster than the broker takes them, keeps no more than `maxInFlight` of
   * them, and resolves when each is answered for. One that fails ends no other.
   *
   * @throws {TypeError} If there is nothing to go through.
   * @throws {PublishAllError} If iterating over them throws: it tells of the publishes that were begun, once they have been answered.
   *
   * @example The outcome of each
   * ```ts
   * import { assertEquals } from "@std/assert";
   * import { createConnection, Queue } from "@dashi/mq";
   *
   * await using connection = createConnection("memory://all");
   * const producer = connection.producer({ queue: new Queue("lines") });
   * async function* lines() {
   *   for (let line = 1; line <= 5000; line++) yield line;
   *   yield () => "no payload";
   * }
   * const { published, failed } = await producer.publishAll(lines(), {
   *   each: (_, index) => ({ messageId: `import-${index}` }),
   * });
   * assertEquals(published, 5000);
   * assertEquals(failed.map(({ index }) => index), [5000]);
   * ```
   */
  async publishAll(
    payloads: Iterable<T> | AsyncIterable<T>,
    options: PublishAllOptions<T> = {},
  ): Promise<PublishedAll<T>> {
    checkKnown(options, PUBLISH_ALL);
    return await publishAll(payloads, options, {
      publish: (payload, options) => this.publish(payload, options),
      ready: () => this.ready,
    });
  }

  /** How many messages wait for a connection or the broker's answer; beyond `maxInFlight` they wait for their turn, and are not counted. */
  get inFlight(): number {
    return this.#window.inFlight;
  }

  /**
   * Resolves when a further message would not have to wait for its turn: await it before
   * each of many publishes that are not awaited, and they are begun no faster than the
   * broker takes them. It never rejects.
   *
   * @example Import many lines
   * ```ts
   * import { assertEquals } from "@std/assert";
   * import { createConnection, Queue } from "@dashi/mq";
   *
   * await using connection = createConnection("memory://import");
   * const producer = connection.producer({ queue: new Queue("lines") });
   * const errors: Error[] = [];
   * for (let line = 1; line <= 50_000; line++) {
   *   await producer.ready;
   *   producer.publish(`line ${line}`).catch((error) => errors.push(error));
   * }
   * await producer.flush();
   * assertEquals(errors, []);
   * ```
   */
  get ready(): Promise<void> {
    return this.#window.ready;
  }

  /**
   * Waits until all that was published is answered. A failed publish rejects where it was
   * called: that promise has settled before this one resolves.
   *
   * @throws {TimeoutError} If that is not so in time.
   */
  async flush(options?: OperationOptions): Promise<void> {
    const call = this.#session.call(options);
    await this.#session.limits.wait(
      this.#answered(),
      call,
      () =>
        new TimeoutError(
          "Cannot flush in time: the broker has not answered to all that was published",
          { outcome: "unknown" },
        ),
    );
  }

  /**
   * Publishes no more, and waits for what was begun: for the answers to what is in flight,
   * and for what something is still declared for.
   */
  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  /** Closes it. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    await this.#window.drain();
    this.#onClosed();
  }

  async #answered(): Promise<void> {
    await this.#window.drain();
    await turn(); // the callers that await them are told first
  }

  /** Makes a message that something has to be declared or loaded for first. */
  async #prepare(
    payload: T,
    options: PublishOptions,
    format: codec.EncodeOptions,
    call: PublishCall,
  ): Promise<Publishing> {
    await loadCodecs(this.#codecs, format);
    if (options.transaction === undefined) {
      await this.#needs.declare(options, call);
    }
    const name = this.#needs.replyTo(options.replyTo);
    const replyTo = name === UNKNOWN ? undefined : name;
    return this.#message(payload, options, format, replyTo);
  }

  #limits(options: PublishOptions): PublishCall {
    const call = this.#session.call(options, PUBLISH);
    return {
      signal: call.signal,
      deadline: call.deadline,
      fresh: true,
      retry: options.transaction === undefined &&
        (options.retry ?? this.#session.reconnectPolicy !== false),
      mandatory: options.mandatory,
    };
  }

  /** The queue to publish to, where there is one: it is declared by now. */
  #queueName(): string {
    const { queue } = this.#options;
    return queue instanceof Queue
      ? this.#session.declarations.nameOf(queue) ?? ""
      : queue ?? "";
  }

  #message(
    payload: T,
    options: PublishOptions,
    format: codec.EncodeOptions,
    replyTo: string | undefined,
  ): Publishing {
    const exchange = exchangeName(
      options.exchange ?? this.#options.exchange ?? "",
    );
    const routingKey = options.routingKey ?? this.#options.routingKey ??
      this.#queueName();
    if (exchange === "" && routingKey === "") {
      throw new TypeError(
        `Cannot publish to the default exchange without a routing key: give "routingKey", which is the queue's name there, or name an "exchange"`,
      );
    }
    const encoded = this.#codecs.encode(payload, format);
    const { dedupe, transaction } = options;
    const message: Publishing = {
      exchange,
      routingKey,
      mandatory: options.mandatory ??
        (exchange === "" && this.#session.knowsQueues),
      delay: checkRange("delay", options.delay, 0, MAX_WAIT) ?? 0,
      properties: propertiesOf(options, replyTo, encoded),
      body: encoded.body,
      ownsProperties: true,
      keyed: options.key !== undefined,
    };
    if (transaction !== undefined) return { ...message, transaction };
    return dedupe === undefined
      ? message
      : { ...message, dedupe: dedupeOf(dedupe, options.messageId) };
  }
}

/** Of a publish that was given none: one object for all. */
const NO_OPTIONS: PublishOptions = {};
