import type { Mailbox } from "../async/mailbox.ts";
import {
  AccessRefusedError,
  ChannelError,
  MessagingError,
  ResourceLockedError,
  TimeoutError,
  UnsupportedError,
} from "../model/errors.ts";
import type { FieldTable } from "../model/field_table.ts";
import { Brake } from "./brake.ts";
import { type Arrival, Lane, QueueSource } from "./lane.ts";
import type { Call } from "./operation_options.ts";
import { Queue } from "./queue.ts";
import { isRetryable, retry, sleep } from "./retry.ts";
import type { Link, Session } from "./session.ts";
import { mayPass } from "./session_errors.ts";

/** What consumers of queues are asked to be. */
export interface IntakeSettings {
  readonly queues: readonly (Queue | string)[];
  readonly prefetch: number;
  readonly noAck: boolean;
  readonly exclusive: boolean;
  readonly consumerTag: string | undefined;
  readonly arguments: FieldTable | undefined;
}

/**
 * Consumes from some queues on one channel, and again on another when that is
 * lost. What arrives goes to one mailbox; what was in it when the channel was lost
 * is taken out, for the broker delivers it again.
 */
export class Intake {
  readonly #session: Session;
  readonly #settings: IntakeSettings;
  readonly #mailbox: Mailbox<Arrival>;
  readonly #stopping = new AbortController();
  #lane: Lane | undefined;
  #running: Promise<void> | undefined;
  #opening: Promise<Lane> | undefined;
  #lastError: Error | undefined;
  #delays = false;
  /** How many more messages somebody would begin with, beside those that are on their way to them. */
  #wanted = 0;

  /** Makes one that does nothing yet. */
  constructor(
    session: Session,
    settings: IntakeSettings,
    mailbox: Mailbox<Arrival>,
  ) {
    this.#session = session;
    this.#settings = settings;
    this.#mailbox = mailbox;
  }

  /** Asks for a broker that can delay; one that can not ends it. */
  requireDelay(): void {
    this.#delays = true;
    const link = this.#session.open;
    if (link !== undefined) this.#check(link);
  }

  /** What went wrong last. */
  get lastError(): Error | undefined {
    return this.#lastError;
  }

  /** The subscriptions of the present channel. */
  get sources(): readonly QueueSource[] {
    return this.#lane?.alive ? [...this.#lane.sources.values()] : [];
  }

  /** How many messages are with the user, unsettled. */
  get unsettled(): number {
    return this.#lane?.unsettled ?? 0;
  }

  /** Somebody would begin with so many more messages than before. */
  want(count: number): void {
    this.#wanted += count;
    const lane = this.#lane;
    if (lane?.fetchesOnDemand) lane.wake();
  }

  /** Starts to consume; called again, it does nothing. */
  start(): void {
    this.#running ??= this.#run();
  }

  /** Stops consuming and gives back what nobody took. What the user has stays his to settle. */
  async stop(call: Call): Promise<void> {
    this.#stopping.abort();
    let late: TimeoutError | undefined;
    try {
      await this.#session.limits.wait(
        this.#stop(call),
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

  async #stop(call: Call): Promise<void> {
    // A message may come before the call that asked for it has returned.
    await this.#opening?.catch(() => {});
    const lane = this.#lane;
    const left = this.#mailbox.clear();
    await lane?.cancel(left, call);
    await this.#running;
    if (lane !== undefined && lane.unsettled === 0) await lane.close();
  }

  /** Ends its channel: what is unsettled goes back. */
  async close(call: Call): Promise<void> {
    const lane = this.#lane;
    if (lane === undefined) return;
    // At once: the broker may take longer than the call has time.
    lane.disown();
    await this.#session.limits.wait(lane.close(), call, () =>
      new TimeoutError(
        "Cannot close a consumer in time: the broker has not answered",
        { outcome: "unknown" },
      ));
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    const { retryPolicy: policy, clock, limits, random } = this.#session;
    const brake = new Brake();
    while (!signal.aborted) {
      try {
        const lane = await retry(() => this.#opening = this.#reopen(signal), {
          policy,
          call: { signal, deadline: Infinity },
          clock,
          limits,
          random,
          // What has consumed before goes on, however silent the broker is for a while.
          retries: (error) =>
            this.#lane === undefined ? isRetryable(error) : mayPass(error),
          onWait: (_attempt, _delay, error) => this.#lastError = error,
        });
        brake.begin(clock.now());
        await lane.lost;
        brake.end(clock.now());
        for (const { source } of this.#emptyMailbox()) source.drop();
        this.#lastError = lane.error;
        if (signal.aborted) return;
        // Who may not take messages may not on another channel either.
        const forbidden = lane.error instanceof AccessRefusedError;
        if (policy === false || forbidden) throw lane.error;
        const delay = brake.delay(policy, random());
        if (delay > 0) await sleep(delay, { signal }, clock, limits);
      } catch (error) {
        if (signal.aborted) return;
        this.#mailbox.fail(error);
        return;
      }
    }
  }

  async #reopen(signal: AbortSignal): Promise<Lane> {
    try {
      return await this.#open(signal);
    } catch (error) {
      const isHeld = error instanceof ResourceLockedError ||
        error instanceof AccessRefusedError && this.#settings.exclusive;
      if (this.#lane === undefined || !isHeld) throw error;
      // Our own connection of before holds its exclusive queues and consumers until
      // the broker has noticed that it is gone.
      throw new ChannelError(error.message, {
        code: "channel-closed",
        cause: error,
      });
    }
  }

  async #open(signal: AbortSignal): Promise<Lane> {
    const { clock } = this.#session;
    const link = await this.#session.link({ signal, deadline: Infinity });
    this.#check(link);
    const call = {
      signal: undefined,
      deadline: clock.now() + link.endpoint.operationTimeout,
    };
    const channel = await link.connection.openChannel(call);
    const lane = new Lane(this.#session, channel, signal);
    try {
      for (const queue of this.#settings.queues) {
        await this.#consume(lane, queue, call);
      }
      this.#lane = lane;
      // What was asked for meanwhile nobody has heard of.
      if (lane.fetchesOnDemand) lane.wake();
      return lane;
    } catch (error) {
      this.#emptyMailbox(); // what came by it goes back with it
      await lane.close();
      throw error;
    }
  }

  /** Throws away what nobody has begun with: it is wanted all the same. */
  #emptyMailbox(): Arrival[] {
    const left = this.#mailbox.clear();
    this.#wanted += left.length;
    return left;
  }

  #check({ connection }: Link): void {
    if (!this.#delays || connection.capabilities.has("delay")) return;
    throw new UnsupportedError(
      'Cannot wait between attempts: this broker lacks the capability "delay"; set retry: { backoff: 0 }',
    );
  }

  async #consume(lane: Lane, queue: Queue | string, call: Call): Promise<void> {
    const { settings, name } = {
      settings: this.#settings,
      name: await this.#declare(queue, call),
    };
    const source = new QueueSource(lane, name, settings.noAck);
    const subscription = await lane.channel.consume(
      name,
      (delivery) => {
        // What was on its way when the consumer stopped is not kept from others.
        if (this.#mailbox.ended || this.#stopping.signal.aborted) {
          lane.giveBack({ delivery, source });
          return;
        }
        this.#wanted--;
        this.#mailbox.put({ delivery, source });
      },
      {
        ...call,
        prefetch: settings.prefetch,
        wanted: () => this.#wanted,
        noAck: settings.noAck,
        exclusive: settings.exclusive,
        consumerTag: settings.consumerTag === undefined ||
            settings.queues.length === 1
          ? settings.consumerTag
          : `${settings.consumerTag}.${name}`,
        arguments: settings.arguments,
        onLost: (tags) => source.lose(tags),
      },
    );
    source.subscription = subscription;
    lane.fetchesOnDemand ||= subscription.wake !== undefined;
    lane.sources.set(name, source);
    subscription.ended.then((reason) => {
      if (reason.type === "cancelled" || !lane.alive) return;
      if (reason.type === "ended-by-broker") {
        return this.#again(lane, queue, reason.error);
      }
      return lane.lose(reason.error);
    });
  }

  /** The broker ended one consumer: its queue was deleted, or has moved. */
  async #again(lane: Lane, queue: Queue | string, error: Error): Promise<void> {
    const { signal } = this.#stopping;
    const { clock, declarations } = this.#session;
    this.#lastError = error;
    if (isFinal(error)) {
      this.#mailbox.fail(error);
      return await lane.close();
    }
    try {
      // By its name alone it can not be declared again; it may still be there.
      declarations.doubt();
      const deadline = clock.now() + this.#session.endpoint.operationTimeout;
      await this.#consume(lane, queue, { signal: undefined, deadline });
    } catch (cause) {
      if (signal.aborted || !lane.alive) return;
      if (isRetryable(cause)) return lane.lose(cause);
      this.#mailbox.fail(
        new ChannelError(error.message, {
          code: "consumer-cancelled",
          cause,
        }),
      );
      await lane.close();
    }
  }

  async #declare(queue: Queue | string, call: Call): Promise<string> {
    if (!(queue instanceof Queue)) return queue;
    const { declarations } = this.#session;
    if (!declarations.has(queue)) {
      const { topology } = await this.#session.link(call);
      await topology.run(
        call,
        (channel) => declarations.declare(queue, channel, call),
      );
    }
    return declarations.nameOf(queue) ?? queue.name;
  }
}

/** Whether to consume again would end the same way: the queue is there, and can not be read. */
function isFinal(error: Error): boolean {
  return error instanceof MessagingError && !error.retryable &&
    error.code !== "consumer-cancelled";
}
