import { Awaiter } from "./awaiter.ts";
import { type Message, ReceivedMessage } from "./message.ts";
import { ChannelError, ClosedError, TimeoutError } from "../../model/errors.ts";
import { asError } from "../../model/error_text.ts";
import { Slab } from "../../model/slab.ts";
import { type Decoding, prepareToRead, type Reading } from "./reading.ts";
import {
  peekAt,
  PeekedDelivery,
  type PeekedMessage,
} from "../inspect/peeking.ts";
import { notHandedOver } from "../middleware/late.ts";
import type { ReceivedVia } from "../middleware/hooks.ts";
import type { Call, OperationOptions } from "../operation_options.ts";
import type { Queue } from "../entities/queue.ts";
import { validator } from "../entities/schema.ts";
import { ConsumedQueue, Lane } from "./lane.ts";
import type { Session } from "../connection/session.ts";
import type {
  Channel,
  Delivery,
  DeliveryTag,
  GetOptions,
} from "../../transports/transport.ts";

/** Takes messages one by one, on a channel of its own. */
export class Getter<T> implements AsyncDisposable {
  readonly #session: Session;
  readonly #reading: Reading<T>;
  readonly #noAck: boolean;
  #lane: Promise<Lane> | undefined;
  /** Calls that wait for a message, and those whose message is not settled. */
  #awaiters: Awaiter<T>[] = [];
  #closed = false;

  /** Makes one that opens its channel with the first call. */
  constructor(
    session: Session,
    decoding: Decoding,
    accept: readonly string[] | undefined,
    noAck: boolean,
  ) {
    this.#session = session;
    this.#noAck = noAck;
    this.#reading = {
      ...decoding,
      accept: decoding.codecs.acceptSet(accept),
      check: validator<T>(undefined),
      slab: new Slab(),
    };
  }

  /** Takes a message, or `undefined` if the queue is empty. */
  async get(queue: string, call: Call): Promise<Message<T> | undefined> {
    const [message] = await this.told(queue, () => this.some(queue, 1, call));
    return message;
  }

  /** Takes messages by `pull`, and tells the middlewares where that has ended without one. */
  async told<R extends Message<T> | readonly Message<T>[]>(
    queue: string,
    pull: () => Promise<R>,
  ): Promise<R> {
    const tell = this.#reading.uses?.hooks?.receivedNothing;
    if (tell === undefined) return await pull();
    const began = this.#session.clock.now();
    try {
      const found = await pull();
      if ("length" in found && found.length === 0) {
        tell({ queue, began, error: undefined });
      }
      return found;
    } catch (thrown) {
      const error = asError(thrown);
      tell({ queue, began, error });
      throw error;
    }
  }

  /** Takes messages that are ready; fewer than `max` where the broker hands out no more at once. */
  async some(
    queue: string,
    max: number,
    call: Call,
  ): Promise<readonly Message<T>[]> {
    this.#requireOpen(queue);
    try {
      return await this.#take(queue, max, call);
    } catch (error) {
      // The channel has ended, by another call perhaps: once more, on a new one.
      if (!isUnsent(error)) throw error;
      return await this.#take(queue, max, call);
    }
  }

  async #take(
    queue: string,
    max: number,
    call: Call,
  ): Promise<readonly Message<T>[]> {
    const { uses } = this.#reading;
    const began = uses?.hooks === undefined
      ? undefined
      : this.#session.clock.now();
    const lane = await this.#open(call);
    const source = new ConsumedQueue(lane, queue, this.#noAck, undefined);
    const options = {
      ...call,
      noAck: this.#noAck,
      onLost: (tags: readonly DeliveryTag[]) => source.lose(tags),
    };
    const deliveries = await deliveriesOf(lane.channel, queue, max, options);
    if (!this.#noAck) { for (const _ of deliveries) lane.taken(); }
    const messages: Message<T>[] = [];
    for (const delivery of deliveries) {
      await prepareToRead(this.#reading, delivery);
      const message = new ReceivedMessage<T>(delivery, source, this.#reading);
      await this.#receive(message, call, "get", began);
      messages.push(message);
    }
    return messages;
  }

  /** Looks at the messages whose turn comes first, and leaves them. */
  async peek(
    queue: string,
    max: number,
    call: Call,
  ): Promise<readonly PeekedMessage<T>[]> {
    this.#requireOpen(queue);
    const { connection } = await this.#session.link(call);
    const { found, taken } = await peekAt(connection, queue, max, call);
    const messages = found.map((each) =>
      new PeekedDelivery<T>(each, taken, this.#reading)
    );
    for (const each of messages) {
      await prepareToRead(this.#reading, each.delivery);
      await this.#receive(each, call, "peek");
    }
    return messages;
  }

  /** Takes a message, and waits for one if the queue is empty; for {@linkcode told}. */
  async next(
    queue: Queue,
    name: string,
    call: Call,
    began: number,
  ): Promise<Message<T>> {
    const late = (cause: Error | undefined) =>
      noneCame(name, call.deadline - began, cause);
    const take = () => this.some(name, 1, call);
    const [found] = await this.#session.retry(call, take);
    return found ??
      await this.#awaiter(queue, name).message(call, began, late);
  }

  /**
   * Takes the messages that are there, and waits for the first if there is none.
   *
   * @param queue The queue's name.
   * @param max The maximum number of messages.
   * @param wait How long the first is waited for, ms.
   * @param options The limits of each call to the broker.
   * @returns The messages. If it rejects, what was taken has gone back.
   */
  receive(
    queue: string,
    max: number,
    wait: number,
    options: OperationOptions,
  ): Promise<readonly Message<T>[]> {
    const pull = () => this.#receiveMany(queue, max, wait, options);
    return this.told(queue, pull);
  }

  async #receiveMany(
    queue: string,
    max: number,
    wait: number,
    options: OperationOptions,
  ): Promise<readonly Message<T>[]> {
    const taken: Message<T>[] = [];
    const limits = () => this.#session.call(options);
    try {
      const call = limits();
      const some = () => this.some(queue, max, call);
      taken.push(...await this.#session.retry(call, some));
      if (taken.length === 0) {
        const first = await this.#first(queue, wait, options.signal);
        if (first === undefined) return taken;
        taken.push(first);
      }
      while (taken.length < max) {
        const more = await this.some(queue, max - taken.length, limits());
        if (more.length === 0) break;
        taken.push(...more);
      }
      return taken;
    } catch (error) {
      // In one turn: a transport puts back together what comes together, as it stood.
      await Promise.all(
        taken.map((each) =>
          each.requeue({ timeout: GIVE_BACK }).catch(() => {})
        ),
      );
      throw error;
    }
  }

  async #first(
    queue: string,
    wait: number,
    signal: AbortSignal | undefined,
  ): Promise<Message<T> | undefined> {
    if (wait === 0) return undefined;
    const began = this.#session.clock.now();
    const awaiter = this.#awaiter(queue, queue);
    const none = new Error("none came");
    try {
      return await awaiter.message(
        { signal, deadline: began + wait },
        began,
        (cause) => cause === undefined ? none : notConsumed(queue, wait, cause),
      );
    } catch (error) {
      if (error !== none) throw error;
      return undefined;
    } finally {
      await awaiter.stopped;
    }
  }

  #awaiter(queue: Queue | string, name: string): Awaiter<T> {
    this.#requireOpen(name);
    const awaiter = new Awaiter<T>(
      this.#session,
      this.#reading,
      queue,
      name,
      this.#noAck,
    );
    this.#awaiters = this.#awaiters.filter((each) => !each.isGone);
    this.#awaiters.push(awaiter);
    return awaiter;
  }

  /** Removes the ready messages of a queue; returns how many. */
  async purge(queue: string, call: Call): Promise<number> {
    this.#requireOpen(queue);
    const lane = await this.#open(call);
    return await lane.channel.purgeQueue(queue, call);
  }

  /** Ends it with its channel: unsettled messages go back. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await Promise.all(this.#awaiters.splice(0).map((each) => each.close()));
    const lane = await this.#lane?.catch(() => undefined);
    lane?.disown();
    await lane?.channel[Symbol.asyncDispose]();
  }

  #requireOpen(queue: string): void {
    if (!this.#closed) return;
    throw new ClosedError(`Cannot use queue "${queue}": it was closed here`);
  }

  /** Has a message pass the middlewares; reading its payload throws what they throw, or that they have not answered. */
  async #receive(
    message: ReceivedMessage<T>,
    call: Call,
    via: ReceivedVia,
    began?: number,
  ): Promise<void> {
    try {
      const receiving = message.receive(via, began);
      if (receiving === undefined) return;
      const late = () => notHandedOver("a message");
      await this.#session.limits.wait(receiving, call, late);
    } catch (error) {
      message.decide({ error: asError(error) });
    }
  }

  #open(call: Call): Promise<Lane> {
    if (this.#lane !== undefined) return this.#lane;
    const opening = this.#openOn(call);
    this.#lane = opening;
    const forget = () => {
      if (this.#lane === opening) this.#lane = undefined;
    };
    opening.then((lane) => lane.channel.closed.then(forget), forget);
    return opening;
  }

  async #openOn(call: Call): Promise<Lane> {
    const { connection } = await this.#session.link(call);
    const channel = await connection.openChannel(call);
    return new Lane(this.#session, channel, undefined, false, Infinity);
  }
}

/** How long messages that go back after a failure are waited for, ms. */
const GIVE_BACK = 1000;

function noneCame(
  queue: string,
  timeout: number,
  cause: Error | undefined,
): TimeoutError {
  return new TimeoutError(
    `Cannot get a message of queue "${queue}": none came within ${
      Math.round(timeout)
    } ms; getNoWait() does not wait, and timeout: Infinity waits without end`,
    cause === undefined ? {} : { cause },
  );
}

function notConsumed(queue: string, wait: number, cause: Error): TimeoutError {
  return new TimeoutError(
    `Cannot receive from queue "${queue}": it could not be consumed from within ${
      Math.round(wait)
    } ms`,
    { cause },
  );
}

async function deliveriesOf(
  channel: Channel,
  queue: string,
  max: number,
  options: GetOptions,
): Promise<readonly Delivery[]> {
  if (max > 1 && channel.getMany !== undefined) {
    return await channel.getMany(queue, max, options);
  }
  const delivery = await channel.get(queue, options);
  return delivery === undefined ? [] : [delivery];
}

function isUnsent(error: unknown): boolean {
  return error instanceof ChannelError && error.retryable &&
    error.outcome === "not-sent";
}
