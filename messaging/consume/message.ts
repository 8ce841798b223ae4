import { copyOfProperties } from "../../model/copies.ts";
import { asError } from "../../model/error_text.ts";
import {
  DecodeError,
  MessagingError,
  SettlementError,
  UnsupportedError,
} from "../../model/errors.ts";
import type { FieldTable } from "../../model/field_table.ts";
import type {
  Delivery,
  DeliveryTag,
  MessageProperties,
} from "../../model/message.ts";
import type {
  Channel,
  Parked,
  RejectOptions,
} from "../../transports/transport.ts";
import type {
  Hooks,
  IncomingMessage,
  PlainProperties,
  ReceivedVia,
  SettleHook,
  Settlement,
} from "../middleware/hooks.ts";
import { type Death, deathsOf } from "./deaths.ts";
import { attemptOf } from "./handler_retry.ts";
import { textOfMessage } from "./message_text.ts";
import { inspectBy } from "../inspect_by.ts";
import { notPassedOn } from "../middleware/late.ts";
import { watched } from "../middleware/observer.ts";
import { hasSingleActiveConsumer, Queue } from "../entities/queue.ts";
import type { DelayedRetry } from "../entities/queue_options.ts";
import { type KnownOptions, optionsOf } from "../known_options.ts";
import type {
  AckOptions,
  DeliveryInfo,
  Message,
  RequeueOptions,
} from "./message_type.ts";
import {
  type Call,
  checkDelay,
  type OperationOptions,
} from "../operation_options.ts";
import {
  type Decoded,
  notYet,
  prepareToRead,
  type Reading,
  readPayload,
  unreadable,
} from "./reading.ts";
import type { Source } from "./source.ts";
import { KEY_HEADER, keyOf } from "../../virtual/message_key.ts";

export type {
  AckOptions,
  DeliveryInfo,
  Message,
  RequeueOptions,
} from "./message_type.ts";

const ACK: KnownOptions = optionsOf<AckOptions>("ack", {
  signal: true,
  timeout: true,
  multiple: "boolean",
});

/** How a message is settled that is done: follows `Cannot `. */
const ACKED = "ack";

const REQUEUE: KnownOptions = optionsOf<RequeueOptions>("requeue", {
  signal: true,
  timeout: true,
  delay: true,
});

type Settling = Omit<Settlement, "message">;

/** How a message is settled where nothing else is said. */
const SETTLED: Omit<Settling, "action"> = {
  multiple: false,
  delay: 0,
  error: undefined,
  attempt: undefined,
};

const NO_HEADERS: FieldTable = Object.freeze({});

/** A message as the middlewares see it first: nothing of it is copied before somebody looks. */
class Incoming implements IncomingMessage {
  readonly via: ReceivedVia;
  readonly began: number | undefined;
  readonly message: Message<unknown>;

  constructor(
    message: Message<unknown>,
    via: ReceivedVia,
    began: number | undefined,
  ) {
    this.message = message;
    this.via = via;
    this.began = began;
  }

  get queue(): string {
    return this.message.deliveryInfo.queue;
  }

  get exchange(): string {
    return this.message.deliveryInfo.exchange;
  }

  get routingKey(): string {
    return this.message.deliveryInfo.routingKey;
  }

  get redelivered(): boolean {
    return this.message.deliveryInfo.redelivered;
  }

  get properties(): PlainProperties {
    const { headers: _, ...properties } = this.message.properties;
    return properties;
  }

  get headers(): FieldTable {
    return this.message.headers;
  }

  get body(): Uint8Array {
    return this.message.body;
  }
}

/** A delivery, and the channel to settle it on. */
export class ReceivedMessage<T> implements Message<T> {
  static {
    inspectBy(this.prototype, textOfMessage);
  }

  readonly #delivery: Delivery;
  readonly #source: Source;
  readonly #reading: Reading<T>;
  /** How it was settled. */
  #settled: string | false;
  #decoded: Decoded<T> | undefined;
  /** Until its schema has answered. */
  #checking: Promise<void> | undefined;
  #controller: AbortController | undefined;
  #properties: MessageProperties | undefined;
  #body: Uint8Array | undefined;
  /** Which call it is, where it was called for here before. */
  #attempt: number | undefined;
  #wentBack = false;
  /** As the middlewares hand it over, where that is not as it came. */
  #handed: Delivery | undefined;
  /** Whether it has passed the middlewares. */
  #hasPassed = false;
  #refusal: Error | undefined;
  #kept: unknown;

  /** Makes a message of a delivery. */
  constructor(delivery: Delivery, source: Source, reading: Reading<T>) {
    this.#delivery = delivery;
    this.#source = source;
    this.#reading = reading;
    this.#settled = source.noAck && ACKED;
  }

  get payload(): T {
    const { payload, error } = this.#decoded ??= this.#decode();
    if (error !== undefined) throw error;
    return payload as T; // where there is no error
  }

  /** A copy: the message may have to be written again, as it came. */
  get body(): Uint8Array {
    return this.#body ??= this.#delivery.received === undefined
      ? this.#reading.slab.copy(this.#delivery.body)
      : this.#delivery.body;
  }

  /** How many bytes its body has, as it came; 0 of one that was too large to be kept. */
  get size(): number {
    try {
      return this.#delivery.body.byteLength;
    } catch {
      return 0; // to read it throws
    }
  }

  get headers(): FieldTable {
    return this.properties.headers ?? {};
  }

  /** As `body`. */
  get properties(): MessageProperties {
    return this.#properties ??= this.#delivery.received === undefined
      ? copyOfProperties(this.#delivery.properties)
      : this.#delivery.properties;
  }

  /** As they came: to look at `properties` is to copy them. */
  get receivedProperties(): MessageProperties {
    const delivery = this.#delivery;
    return delivery.received ?? delivery.properties;
  }

  /** As they came. */
  get receivedHeaders(): FieldTable {
    return this.receivedProperties.headers ?? NO_HEADERS;
  }

  /** The exchange that it was published to. */
  get exchange(): string {
    return this.#delivery.exchange;
  }

  /** The key that it was published with. */
  get routingKey(): string {
    return this.#delivery.routingKey;
  }

  /** The queue that it comes from. */
  get queue(): string {
    return this.#delivery.queue;
  }

  /** Its number on its channel. */
  get deliveryTag(): DeliveryTag {
    return this.#delivery.deliveryTag;
  }

  /** Whether it surely came without a header, which is cheaper to ask than to look. */
  lacksHeader(name: string): boolean {
    return this.#delivery.lacksHeader?.(name) ?? false;
  }

  get key(): string | undefined {
    return this.lacksHeader(KEY_HEADER)
      ? undefined
      : keyOf(this.receivedHeaders);
  }

  get contentType(): string | undefined {
    return (this.#handed ?? this.#delivery).properties.contentType;
  }

  /** As `properties.type`, without a copy of them all. */
  get type(): string | undefined {
    return (this.#handed ?? this.#delivery).properties.type;
  }

  get deliveryInfo(): DeliveryInfo {
    const { exchange, routingKey, queue, redelivered } = this.#delivery;
    const { consumerTag } = this.#source;
    return { exchange, routingKey, queue, consumerTag, redelivered };
  }

  get deliveryCount(): number | undefined {
    return this.#delivery.deliveryCount;
  }

  get attempt(): number {
    if (this.#attempt !== undefined) return this.#attempt;
    return attemptOf(this.receivedHeaders); // a number needs no copy of them all
  }

  get deaths(): readonly Death[] {
    return deathsOf(this.headers);
  }

  /** Whether it is acked by being handed over. */
  get autoAcked(): boolean {
    return this.#source.noAck;
  }

  /** Whether its queue has one active consumer at a time: a message that is written again loses its place. */
  get isOrdered(): boolean {
    const { declared, ordered = false } = this.#source;
    return ordered ||
      declared !== undefined && hasSingleActiveConsumer(declared);
  }

  /** As of its delivery. */
  get isOfStream(): boolean {
    return this.#delivery.isOfStream === true;
  }

  /** Its handler is to be called for it again, here. */
  callAgain(attempt: number): void {
    this.#attempt = attempt;
  }

  /** Whether it may have been delivered before. */
  get redelivered(): boolean {
    return this.#delivery.redelivered;
  }

  /** As of its delivery. */
  get keepsPlace(): boolean {
    return this.#delivery.keepsPlace === true;
  }

  /** What an observer of its connection keeps with it: nobody else looks. */
  get kept(): unknown {
    return this.#kept;
  }

  set kept(value: unknown) {
    this.#kept = value;
  }

  /** Whether it was put back into its queue, and comes again. */
  get wentBack(): boolean {
    return this.#wentBack;
  }

  /** As of its delivery. */
  get countsAttempts(): boolean {
    return this.#delivery.countsAttempts === true;
  }

  /** As of its delivery. */
  get countsFailures(): boolean {
    return this.#delivery.countsFailures === true;
  }

  /** As of its delivery. */
  get retryDelay(): number | undefined {
    return this.#delivery.retryDelay;
  }

  /** The waits of its queue before it is tried again, where they are known. */
  get delayedRetry(): DelayedRetry | undefined {
    const { declared } = this.#source;
    return declared instanceof Queue ? declared.delayedRetry : undefined;
  }

  get settled(): boolean {
    return this.#settled !== false;
  }

  /** Whether it is settled as done. */
  get isAcked(): boolean {
    return this.#settled === ACKED;
  }

  /** Calls back when it is settled, or cannot be any more; perhaps sooner: look then. */
  watchSettled(callback: () => void): void {
    if (this.#settled || !this.#source.alive) callback();
    else this.#source.watchSettled?.(callback);
  }

  /** Whether nobody has settled it, and it may be. */
  get isOpen(): boolean {
    return !this.#settled && this.#source.alive;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      const controller = new AbortController();
      this.#controller = controller;
      if (this.#source.alive) this.#watch(controller);
      else controller.abort(this.#source.error ?? this.#lost("use"));
    }
    return this.#controller.signal;
  }

  ack(options?: AckOptions): Promise<void> {
    const { channel } = this.#source;
    const call = this.#source.limits(options, ACK); // which may refuse: before it counts as settled
    const refused = this.#settle(ACKED);
    if (refused !== undefined) return Promise.reject(refused);
    const tag = this.#delivery.deliveryTag;
    const hooks = this.#reading.uses?.hooks;
    const settling = hooks?.settle !== undefined
      ? this.#ackThrough(hooks, call, options?.multiple ?? false)
      : options?.multiple
      ? channel.ack(tag, { ...call, multiple: true })
      : channel.ack(tag, call);
    return this.#follow(settling);
  }

  /** Apart, for a function that makes functions costs more even where it makes none. */
  #ackThrough(
    { observer, settle }: Hooks,
    call: Call,
    multiple: boolean,
  ): Promise<void> {
    if (settle !== undefined && observer === undefined) {
      const what: Settling = { ...SETTLED, action: "ack", multiple };
      return this.#through(
        settle,
        what,
        call,
        (channel) => this.#ackBy(channel, call, multiple),
      );
    }
    const watch = observer?.settle("ack", this);
    const acking = this.#ackBy(this.#source.channel, call, multiple);
    return watch === undefined ? acking : watched(acking, watch);
  }

  #ackBy(channel: Channel, call: Call, multiple: boolean): Promise<void> {
    const { deliveryTag } = this.#delivery;
    return channel.ack(deliveryTag, multiple ? { ...call, multiple } : call);
  }

  /** Settles as the middlewares pass it on, in the time that the call has. What they throw once the broker has answered undoes nothing. */
  async #through<R>(
    hook: SettleHook,
    what: Omit<Settlement, "message">,
    call: Call,
    settle: (channel: Channel) => Promise<R>,
  ): Promise<R> {
    let sent: Promise<R> | undefined;
    let refused: Error | undefined;
    let onPassed: (() => void) | undefined;
    const next = (): Promise<void> => {
      if (refused !== undefined) return Promise.reject(refused);
      onPassed?.();
      sent ??= settle(this.#source.channel);
      const told = sent.then(() => {});
      told.catch(() => {});
      return told;
    };
    const passing = hook({ ...what, message: this }, next);
    if (sent === undefined) {
      const { promise, resolve } = Promise.withResolvers<void>();
      onPassed = resolve;
      this.#source.hold?.(promise);
      passing.then(resolve, resolve);
    }
    const late = () => notPassedOn(what.action, this.#delivery.queue);
    try {
      await (this.#source.wait?.(passing, call, late) ?? passing);
      if (sent !== undefined) return await sent;
      refused = new MessagingError(
        `Cannot ${what.action} a message of queue "${this.#delivery.queue}": a middleware has not passed it on`,
        { code: "not-passed-on" },
      );
    } catch (error) {
      refused = asError(error);
    }
    if (sent === undefined) {
      onPassed?.(); // its channel waits for it no longer
      throw refused;
    }
    const result = await sent;
    this.#reading.uses?.failed("settle", refused, this);
    return result;
  }

  /** As `ack`, for `run`: with the channel's own promise, and none beside it. The caller passes the error that it rejects with to `settlingFailed`. */
  ackOnly(): Promise<void> {
    const refused = this.#settle(ACKED);
    if (refused !== undefined) return Promise.reject(refused);
    const source = this.#source;
    const call = source.limits(undefined);
    const hooks = this.#reading.uses?.hooks;
    const settling = hooks?.settle === undefined
      ? source.channel.ack(this.#delivery.deliveryTag, call)
      : this.#ackThrough(hooks, call, false);
    source.onSettled(this.#delivery, settling);
    return settling;
  }

  /** A settlement has failed: it may be tried again, or somebody else has the message. */
  settlingFailed(error: unknown): void {
    if (error instanceof SettlementError) this.#controller?.abort(error);
    else this.#keep();
  }

  reject(options?: OperationOptions): Promise<void> {
    return this.#reject("reject", false, options);
  }

  requeue(options?: RequeueOptions): Promise<void> {
    if (options?.delay === undefined) {
      return this.#reject("requeue", true, options, REQUEUE);
    }
    return this.#requeueIn(options.delay, options);
  }

  async #requeueIn(delay: number, options: RequeueOptions): Promise<void> {
    checkDelay("delay", delay);
    if (delay === 0) {
      return await this.#reject("requeue", true, options, REQUEUE);
    }
    if (this.isOfStream) {
      throw new UnsupportedError(
        `Cannot requeue a message of stream "${this.#delivery.queue}" with a delay: all who read the stream would read it again`,
      );
    }
    const limits = this.#source.limits(options, REQUEUE);
    await this.#putBack({ ...SETTLED, action: "requeue", delay }, limits);
  }

  /**
   * Settles: back to its queue, to be delivered again later, or with other headers. Until
   * the broker has taken it the message counts as unsettled, and where that fails it is.
   */
  async requeueLater(
    delay: number,
    headers: FieldTable,
    attempt?: number,
    error?: Error,
  ): Promise<void> {
    const what: Settling = {
      ...SETTLED,
      // One that is written again to be counted is tried for the first time.
      action: attempt === undefined ? "requeue" : "retry",
      delay,
      attempt,
      error,
    };
    await this.#putBack(what, this.#source.limits(undefined), headers);
  }

  /** Settles: it failed, and the broker counts that, and waits as its queue says. */
  async failedHere(attempt: number, error: Error): Promise<void> {
    const delay = this.retryDelay ?? 0;
    const limits = this.#source.limits(undefined);
    this.#wentBack = true;
    await this.#replace(
      "requeue",
      { ...SETTLED, action: "retry", delay, attempt, error },
      limits,
      (channel) =>
        channel.reject(this.#delivery.deliveryTag, {
          ...limits,
          requeue: true,
          failed: true,
        }),
    );
  }

  async #putBack(
    what: Settling,
    limits: Call,
    headers?: FieldTable,
  ): Promise<void> {
    const { delay } = what;
    this.#wentBack = true;
    await this.#replace(
      "requeue",
      what,
      limits,
      (channel) =>
        channel.reject(this.#delivery.deliveryTag, {
          ...limits,
          requeue: true,
          ...(headers === undefined ? {} : { headers }),
          ...(delay > 0 ? { delay: Math.ceil(delay) } : {}),
        }),
    );
  }

  /**
   * Settles: it has failed for good, and goes to where it is found, with headers that say
   * why. As of `requeueLater` it counts as unsettled until then.
   */
  park(headers: FieldTable, error: Error): Promise<Parked> {
    const { declared } = this.#source;
    const limits = this.#source.limits(undefined);
    return this.#replace(
      "park",
      { ...SETTLED, action: "park", error },
      limits,
      (channel) =>
        channel.park(this.#delivery.deliveryTag, {
          ...limits,
          headers,
          declared,
        }),
    );
  }

  async #replace<R>(
    action: string,
    what: Settling,
    call: Call,
    settle: (channel: Channel) => Promise<R>,
  ): Promise<R> {
    const refused = this.#settle(action);
    if (refused !== undefined) throw refused;
    let result: R;
    try {
      const hook = this.#reading.uses?.hooks?.settle;
      result = hook === undefined
        ? await settle(this.#source.channel)
        : await this.#through(hook, what, call, settle);
    } catch (error) {
      if (!(error instanceof SettlementError)) {
        this.#settled = false;
        throw error;
      }
      this.#source.onSettled(this.#delivery, undefined);
      throw error;
    }
    this.#source.onSettled(this.#delivery, undefined);
    return result;
  }

  /**
   * Has it pass the middlewares, once. Where they cannot read it, `refusal` says so; other
   * errors are thrown, and they see it again with the next call.
   *
   * @param via The way by which it is handed over.
   * @param began Since when its user has waited for it, on the clock.
   * @returns A promise to wait for; `undefined` if there is nothing to wait for.
   */
  receive(via: ReceivedVia, began?: number): Promise<void> | undefined {
    const hook = this.#reading.uses?.hooks?.receive;
    if (hook === undefined || this.#hasPassed) return undefined;
    if (this.#delivery.malformed !== undefined) return undefined;
    return this.#receive(hook, new Incoming(this, via, began));
  }

  #receive(
    hook: NonNullable<Hooks["receive"]>,
    incoming: Incoming,
  ): Promise<void> | undefined {
    let handed: IncomingMessage | Promise<IncomingMessage>;
    try {
      handed = hook(incoming);
    } catch (error) {
      return this.#refuse(error);
    }
    if (handed === incoming) {
      this.#hasPassed = true;
      return undefined;
    }
    return Promise.resolve(handed).then(
      (handed) => this.#handOver(incoming, handed),
      (error) => this.#refuse(error),
    );
  }

  #handOver(
    incoming: Incoming,
    handed: IncomingMessage,
  ): Promise<void> | undefined {
    this.#hasPassed = true;
    if (handed === incoming) return undefined;
    const { headers, body } = handed;
    const properties = { ...handed.properties, headers };
    this.#properties = properties;
    this.#body = body;
    this.#decoded = undefined; // it may have been looked at before
    const { malformed: _1, received: _2, ...delivery } = this.#delivery;
    this.#handed = { ...delivery, properties, body };
    return prepareToRead(this.#reading, this.#handed)?.then(() => {});
  }

  #refuse(error: unknown): undefined {
    if (!(error instanceof DecodeError)) throw error;
    this.#hasPassed = true;
    this.#refusal = error;
    this.#decoded = { error };
  }

  /** Why the middlewares cannot hand it over, for good. */
  get refusal(): Error | undefined {
    return this.#refusal;
  }

  /**
   * Reads its payload, for `payload` and `invalid`.
   *
   * @returns A promise where its schema has yet to answer; it never rejects.
   */
  read(): Promise<void> | undefined {
    this.#decoded ??= this.#decode();
    return this.#checking;
  }

  /** Its payload is this from now on; or it is refused, and is not tried again. */
  decide(decoded: Decoded<T>): void {
    this.#decoded = decoded;
  }

  /** Why its payload cannot be read, or is not what its schema takes, once it was read; else `undefined`. */
  get invalid(): Error | undefined {
    return this.#decoded?.error;
  }

  /** No handler is called for it, for its payload is wrong. */
  refuse(error: Error): void {
    this.#decoded = { error, refused: true };
  }

  /** How many handlers were called for it, here and elsewhere: each `attempt` is one, unless its payload was refused before. */
  get calls(): number {
    const decoded = this.#decoded;
    const isRefused = decoded?.error !== undefined && decoded.refused;
    return this.attempt - (isRefused ? 1 : 0);
  }

  /** Whether this is the error that reading its payload throws. */
  isUnreadable(error: unknown): boolean {
    return error !== undefined && this.#decoded?.error === error;
  }

  #reject(
    action: string,
    requeue: boolean,
    options: OperationOptions | undefined,
    known?: KnownOptions,
  ): Promise<void> {
    const limits = this.#source.limits(options, known);
    const refused = this.#settle(action);
    if (refused !== undefined) return Promise.reject(refused);
    this.#wentBack = requeue;
    const hook = this.#reading.uses?.hooks?.settle;
    const call = { ...limits, requeue };
    const settling = hook === undefined
      ? this.#source.channel.reject(this.#delivery.deliveryTag, call)
      : this.#rejectThrough(hook, call);
    return this.#follow(settling);
  }

  #rejectThrough(hook: SettleHook, call: Call & RejectOptions): Promise<void> {
    const action = call.requeue ? "requeue" : "reject";
    const { deliveryTag } = this.#delivery;
    return this.#through(
      hook,
      { ...SETTLED, action },
      call,
      (channel) => channel.reject(deliveryTag, call),
    );
  }

  /** A settlement that failed may be tried again; it may also be how it turns out that somebody else has it. */
  #follow(settling: Promise<void>): Promise<void> {
    // The caller gets the promise behind that: if nobody awaits it, its rejection must be
    // noticed.
    const followed = settling.then(undefined, (error: unknown) => {
      this.settlingFailed(error);
      throw error;
    });
    this.#source.onSettled(this.#delivery, settling);
    return followed;
  }

  #keep(): void {
    if (!this.#source.alive) return;
    this.#settled = false;
    this.#source.onKept();
    if (this.#controller !== undefined) this.#watch(this.#controller);
  }

  #watch(controller: AbortController): void {
    this.#source.onLost(this.#delivery, (reason) => controller.abort(reason));
  }

  /** Marks it as settled, or says why it cannot be. */
  #settle(action: string): SettlementError | undefined {
    if (this.#settled) {
      const why = this.#source.noAck
        ? "its consumer has acked it when it was handed over, with autoAck"
        : "it was settled before";
      return new SettlementError(
        `Cannot ${action} a message of queue "${this.#delivery.queue}": ${why}`,
        { code: "message-settled" },
      );
    }
    if (!this.#source.alive) return this.#lost(action);
    this.#settled = action;
    return undefined;
  }

  #lost(action: string): SettlementError {
    return new SettlementError(
      `Cannot ${action} a message of queue "${this.#delivery.queue}": its consumer or its connection has ended, and it is delivered again`,
      { code: "lease-lost" },
    );
  }

  #decode(): Decoded<T> {
    try {
      const delivery = this.#handed ?? this.#delivery;
      const payload = readPayload(this.#reading, delivery, this);
      if (!(payload instanceof Promise)) return { payload, error: undefined };
      this.#checking = this.#check(payload);
      return { error: notYet() };
    } catch (error) {
      return { error: unreadable(error) };
    }
  }

  async #check(checked: Promise<T>): Promise<void> {
    try {
      this.#decoded = { payload: await checked, error: undefined };
    } catch (error) {
      this.#decoded = { error: unreadable(error) };
    }
    this.#checking = undefined;
  }
}
