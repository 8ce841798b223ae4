import { eachAtOnce, type Failure } from "../../async/each.ts";
import type { Mailbox } from "../../async/mailbox.ts";
import {
  AccessRefusedError,
  ChannelError,
  MessagingError,
  NotFoundError,
  TimeoutError,
} from "../../model/errors.ts";
import { FlapBackoff } from "../connection/flap_backoff.ts";
import { ConsumedQueue, Lane, type ReceivedDelivery } from "./lane.ts";
import {
  consumeFailed,
  type ConsumeSettings,
  declared,
  heldForNow,
  isFinal,
  isFull,
  lookAt,
  QueueUse,
  tagFor,
  takeBack,
} from "./consumed_queues.ts";
import type { Link } from "../connection/topology_channel.ts";
import type { Call } from "../operation_options.ts";
import { hasSingleActiveConsumer, Queue } from "../entities/queue.ts";
import { isRetryable, sleep } from "../connection/retry.ts";
import type { Session } from "../connection/session.ts";
import { mayPass, Refusals, withMeant } from "../connection/session_errors.ts";

/** So many queues begin to be consumed from at once. */
const MAX_AT_ONCE = 64;

/**
 * Consumes from some queues on one channel, and again on another when that is
 * lost. Deliveries go to one mailbox; those that were in it when the channel was lost are
 * taken out, for the broker delivers them again. A queue that cannot be consumed from any
 * more, among others, is tried again apart from them: they go on.
 */
export class RecoveringConsumer {
  readonly #session: Session;
  readonly #settings: ConsumeSettings;
  readonly #mailbox: Mailbox<ReceivedDelivery>;
  readonly #stopping = new AbortController();
  readonly #refusals: Refusals;
  /** The queues that it consumes from itself. */
  #queues: readonly (Queue | string)[];
  /** One for each of the others. */
  readonly #apart: RecoveringConsumer[] = [];
  #lane: Lane | undefined;
  /** Former channels whose messages are not all settled. */
  readonly #before = new Set<Lane>();
  #running: Promise<void> | undefined;
  #opening: Promise<Lane> | undefined;
  /** The channel that was opened last, on which it may not consume from all yet. */
  #began: Lane | undefined;
  #lastError: Error | undefined;
  /** Checks of the broker's capabilities, made on each connection. */
  readonly #checks = new Set<(link: Link) => void>();
  /** Whether it has consumed: an error that was final before may be transient now. */
  #worked: boolean;
  readonly #use: QueueUse;
  /** How many more messages somebody would begin with, beside those that are on their way to them. */
  readonly #demand: { wanted: number };
  readonly #parent: RecoveringConsumer | undefined;

  /** Makes one that does nothing yet. */
  constructor(
    session: Session,
    settings: ConsumeSettings,
    mailbox: Mailbox<ReceivedDelivery>,
    parent?: RecoveringConsumer,
  ) {
    this.#session = session;
    this.#settings = settings;
    this.#mailbox = mailbox;
    this.#queues = settings.queues;
    this.#use = new QueueUse(session, settings.queues);
    this.#parent = parent;
    this.#worked = parent !== undefined;
    this.#demand = parent === undefined ? { wanted: 0 } : parent.#demand;
    this.#refusals = new Refusals(session.reconnectPolicy);
  }

  /** Asks for a broker that passes a check: the present one, and later ones. */
  require(check: (link: Link) => void): void {
    this.#checks.add(check);
    const link = this.#session.open;
    if (link !== undefined) check(link);
  }

  /** The last error. */
  get lastError(): Error | undefined {
    return this.#lastError;
  }

  /** The subscriptions of the present channels. */
  get sources(): readonly ConsumedQueue[] {
    const own = this.#lane?.alive ? this.#lane.sources.values() : [];
    return [...own, ...this.#apart.flatMap((each) => each.sources)];
  }

  /** Whether some of its queues are not consumed from now. */
  get isPartial(): boolean {
    return this.#apart.some((each) => each.sources.length === 0);
  }

  /** When the broker was last heard of by it, on the clock; kept over a loss, and `undefined` before it has consumed. */
  get heardAt(): number | undefined {
    let latest = this.#lane?.heardAt;
    for (const { heardAt } of this.#apart) {
      if (heardAt !== undefined) latest = Math.max(latest ?? heardAt, heardAt);
    }
    return latest;
  }

  /** Since when, on the clock, all that it may fetch is with the user, unsettled. */
  get fullSince(): number | undefined {
    return this.#lane?.fullSince;
  }

  /** How many messages are with the user, unsettled. */
  get unsettled(): number {
    let count = 0;
    for (const lane of this.#lanes()) count += lane.unsettled;
    for (const each of this.#apart) count += each.unsettled;
    return count;
  }

  /** The present channel, and those before it with messages that are unsettled. */
  #lanes(): ReadonlySet<Lane> {
    const lane = this.#lane;
    return lane === undefined ? this.#before : new Set(this.#before).add(lane);
  }

  /** So many more messages are wanted. */
  want(count: number): void {
    this.#demand.wanted += count;
    if (this.#demand.wanted > 0) this.#wake();
  }

  #wake(): void {
    const lane = this.#lane;
    if (lane?.fetchesOnDemand) lane.wake();
    for (const each of this.#apart) each.#wake();
  }

  /** Starts to consume; called again, it does nothing. */
  start(): void {
    if (this.#running !== undefined) return;
    this.#use.begin();
    this.#running = this.#run();
  }

  /** Stops consuming and gives back `left`, which nobody took. Messages in the user's hands stay to be settled. */
  async stop(left: readonly ReceivedDelivery[], call: Call): Promise<void> {
    this.#stopping.abort();
    try {
      await Promise.all([
        this.#stopOwn(left, call),
        ...this.#apart.map((each) => each.stop(left, call)),
      ]);
    } finally {
      this.#use.end();
    }
  }

  /**
   * Cancels its consumers, and gives back messages that nobody has taken; then it consumes
   * again, by another channel, as soon as the flow is open and as that says.
   */
  async renew(call: Call): Promise<void> {
    await Promise.all([
      this.#inTime(this.#renew(call), call),
      ...this.#apart.map((each) => each.renew(call)),
    ]);
  }

  async #renew(call: Call): Promise<void> {
    const began = this.#began;
    if (began !== undefined && !this.#settings.flow.isOpen) {
      // It may come before the call that asked for it has returned.
      const fetched = takeBack(this.#mailbox, began);
      this.#demand.wanted += fetched.length;
      began.early.push(...fetched);
    }
    await this.#opening?.catch(() => {});
    const lane = this.#lane;
    if (lane === undefined || !lane.alive) return;
    this.#before.add(lane);
    lane.channel.closed.then(() => this.#before.delete(lane));
    const left = takeBack(this.#mailbox, lane);
    this.#demand.wanted += left.length;
    await lane.cancel(left, call);
  }

  async #stopOwn(left: readonly ReceivedDelivery[], call: Call): Promise<void> {
    await this.#inTime(this.#stop(left, call), call);
  }

  async #inTime(cancelling: Promise<void>, call: Call): Promise<void> {
    let late: TimeoutError | undefined;
    try {
      await this.#session.limits.wait(
        cancelling,
        call,
        () =>
          late = new TimeoutError(
            "Cannot cancel a consumer in time: the broker has not answered",
            { outcome: "unknown" },
          ),
      );
    } catch (error) {
      // It owes an answer: with its channel all of the consumer goes.
      const lane = this.#lane;
      if (late !== undefined && lane !== undefined) {
        this.#session.track(lane.close());
      }
      throw error;
    }
  }

  async #stop(left: readonly ReceivedDelivery[], call: Call): Promise<void> {
    // A message may come before the call that asked for it has returned.
    await this.#opening?.catch(() => {});
    const lane = this.#lane;
    await lane?.cancel(left.filter(({ source }) => source.lane === lane), call);
    await this.#running;
    if (lane !== undefined && lane.unsettled === 0) await lane.close();
  }

  /** Ends its channels: unsettled messages go back. */
  async close(call: Call): Promise<void> {
    await Promise.all([
      this.#closeOwn(call),
      ...this.#apart.map((each) => each.close(call)),
    ]);
  }

  async #closeOwn(call: Call): Promise<void> {
    const lanes = [...this.#lanes()];
    // At once: the broker may take longer than the call has time.
    for (const lane of lanes) lane.disown();
    const closing = Promise.all(lanes.map((lane) => lane.close()));
    await this.#session.limits.wait(closing, call, () =>
      new TimeoutError(
        "Cannot close a consumer in time: the broker has not answered",
        { outcome: "unknown" },
      ));
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    const { reconnectPolicy: policy, clock, limits, random } = this.#session;
    const flapping = new FlapBackoff();
    while (!signal.aborted) {
      try {
        const lane = await this.#session.retry(
          { signal, deadline: Infinity },
          () => this.#reopen(signal),
          {
            retries: (error) => this.#goesOn(error),
            onWait: (_attempt, delay, error) => this.#tell(error, delay),
          },
        );
        flapping.begin(clock.now());
        await lane.lost;
        if (lane.cancelled && !signal.aborted) {
          // Its flow was changed: what is held by that name or place is free then.
          await lane.cancel([], this.#session.call()).catch(() => {});
          this.#demand.wanted += takeBack(this.#mailbox, lane).length;
          continue;
        }
        flapping.end(clock.now());
        // It is delivered again, and wanted all the same.
        this.#demand.wanted += takeBack(this.#mailbox, lane).length;
        if (signal.aborted) return;
        this.#worked ||= lane.heard || flapping.shortLived === 0 ||
          mayPass(lane.error);
        if (policy === false) throw lane.error;
        // A user that may not consume from the start may not on another channel either.
        const isFinal = this.#worked
          ? !this.#refusals.mayGoOn(lane.error)
          : lane.error instanceof AccessRefusedError;
        if (isFinal) throw lane.error;
        const delay = flapping.delay(policy, random());
        this.#tell(lane.error, delay);
        if (delay > 0) await sleep(delay, { signal }, clock, limits);
      } catch (error) {
        if (signal.aborted) return;
        this.#fail(error);
        return;
      }
    }
  }

  /** Whether an error may pass. An error that is final at the start need not be so after the consumer has worked. */
  #goesOn(error: unknown): boolean {
    return this.#worked ? this.#refusals.mayGoOn(error) : isRetryable(error);
  }

  #tell(error: unknown, delay: number): void {
    if (!(error instanceof Error)) return;
    this.#lastError = error;
    // A broker's refusal is the caller's to hear at the start; a mistake in a transport is nobody's.
    const isKnown = this.#worked || !(error instanceof MessagingError);
    if (!isFull(error) && (!isKnown || mayPass(error))) return;
    this.#session.emit(consumeFailed(this.#queues, delay, error));
  }

  /** Ends all of the consumer. */
  #fail(error: unknown): void {
    this.#mailbox.fail(error);
    const all = this.#parent ?? this;
    this.#session.track(all.stop([], this.#session.call()));
  }

  async #reopen(signal: AbortSignal): Promise<Lane> {
    await this.#settings.flow.opened(signal);
    signal.throwIfAborted();
    try {
      return await (this.#opening = this.#openWhatIsThere(signal));
    } catch (error) {
      const { exclusive } = this.#settings;
      throw this.#lane === undefined ? error : heldForNow(error, exclusive);
    }
  }

  async #openWhatIsThere(signal: AbortSignal): Promise<Lane> {
    const declared = this.#queues.filter((each) => each instanceof Queue);
    try {
      return await this.#open(signal);
    } catch (error) {
      if (!(error instanceof NotFoundError) || declared.length === 0) {
        throw error;
      }
      // It was declared, and has gone since: expired, or deleted by somebody.
      for (const each of declared) this.#session.declarations.doubtQueue(each);
      return await this.#open(signal);
    }
  }

  async #open(signal: AbortSignal): Promise<Lane> {
    const link = await this.#session.link({ signal, deadline: Infinity });
    for (const check of this.#checks) check(link);
    // Each queue has its own time: of thousands the last would have none left.
    const call = () => this.#session.call();
    const channel = await link.connection.openChannel(call());
    const lane = new Lane(
      this.#session,
      channel,
      signal,
      this.#queues.some((each) =>
        each instanceof Queue && hasSingleActiveConsumer(each)
      ),
      this.#queues.length * this.#settings.flow.prefetch,
    );
    this.#began = lane;
    let failure: Failure<Queue | string> | undefined;
    try {
      // If a call that fails does not end the channel, many begin at once.
      const width = link.connection.callsFailAlone ? MAX_AT_ONCE : 1;
      failure = await eachAtOnce(
        this.#queues,
        width,
        (queue) => this.#consume(lane, queue, call()),
      );
      if (failure !== undefined) throw failure.error;
      this.#lane = lane;
      if (lane.fetchesOnDemand) lane.wake();
      return lane;
    } catch (error) {
      this.#demand.wanted += takeBack(this.#mailbox, lane).length;
      await lane.close(); // its messages go back
      const last = failure?.item;
      if (last !== undefined && this.#part(last, error)) {
        return await this.#open(signal);
      }
      if (typeof last !== "string") throw error;
      const { queueNames } = this.#session.declarations;
      throw withMeant(error, last, queueNames);
    }
  }

  /** One queue of several cannot be consumed from any more: the others go on without it. */
  #part(queue: Queue | string, error: unknown): boolean {
    const isIts = error instanceof ChannelError && !error.retryable;
    if (!this.#worked || !isIts || this.#queues.length < 2) return false;
    if (this.#session.reconnectPolicy === false) return false;
    if (!this.#refusals.mayGoOn(error)) return false;
    this.#queues = this.#queues.filter((each) => each !== queue);
    const apart = new RecoveringConsumer(
      this.#session,
      {
        ...this.#settings,
        queues: [queue],
        consumerTag: tagFor(this.#session, this.#settings, queue),
      },
      this.#mailbox,
      this,
    );
    for (const check of this.#checks) apart.require(check);
    this.#apart.push(apart);
    apart.start();
    return true;
  }

  async #consume(lane: Lane, queue: Queue | string, call: Call): Promise<void> {
    const { noAck, positions, ...settings } = this.#settings;
    const name = await declared(this.#session, queue, call);
    const source = new ConsumedQueue(lane, queue, noAck, positions.of(name));
    const subscription = await lane.channel.consume(
      name,
      (delivery) => {
        lane.heard = true;
        // A delivery that was on its way when the consumer stopped is given back for
        // others.
        if (
          lane.cancelled || this.#mailbox.ended || this.#stopping.signal.aborted
        ) {
          lane.giveBack({ delivery, source });
          return;
        }
        if (!settings.flow.isOpen) {
          lane.early.push({ delivery, source });
          return;
        }
        this.#demand.wanted--;
        this.#mailbox.put({ delivery, source });
      },
      {
        ...call,
        prefetch: settings.flow.prefetch,
        wanted: () => this.#demand.wanted,
        // It is acked when it is handed over: what nobody has read is not lost.
        noAck: false,
        exclusive: settings.exclusive,
        consumerTag: tagFor(this.#session, this.#settings, queue),
        arguments: positions.argumentsFor(name),
        onLost: (tags) => source.lose(tags),
      },
    );
    source.subscription = subscription;
    if (subscription.ordered) lane.ordered = true;
    lane.fetchesOnDemand ||= subscription.wake !== undefined;
    lane.sources.set(name, source);
    // A message may be with the user before the callers that wait for this go on.
    if (lane.sources.size === this.#queues.length) this.#lane = lane;
    subscription.ended.then((reason) => {
      if (reason.type === "cancelled" || !lane.alive || lane.cancelled) return;
      if (reason.type === "ended-by-broker") {
        return this.#again(lane, queue, reason.error);
      }
      return lane.lose(reason.error);
    });
  }

  /** The broker ended one consumer: its queue was deleted, or has moved. */
  async #again(lane: Lane, queue: Queue | string, error: Error): Promise<void> {
    const { signal } = this.#stopping;
    const { declarations } = this.#session;
    this.#lastError = error;
    const wasFinal = isFinal(error);
    this.#worked ||= lane.heard || !wasFinal;
    try {
      if (wasFinal) throw error;
      // By its name alone it cannot be declared again; it may still be there.
      declarations.doubt();
      const call = this.#session.call();
      await lookAt(this.#session, queue, call);
      await this.#consume(lane, queue, call);
    } catch (cause) {
      if (signal.aborted || !lane.alive) return;
      if (isRetryable(cause)) return lane.lose(cause);
      if (this.#part(queue, cause)) return;
      const ended = wasFinal ? error : new ChannelError(error.message, {
        code: "consumer-cancelled",
        cause,
      });
      if (this.#worked && this.#refusals.mayGoOn(ended)) {
        return lane.lose(ended);
      }
      this.#fail(ended);
      await lane.close();
    }
  }
}
