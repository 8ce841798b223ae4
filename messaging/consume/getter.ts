import { Awaiter } from "./awaiter.ts";
import { type Message, ReceivedMessage } from "./message.ts";
import { ChannelError, ClosedError } from "../../model/errors.ts";
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
import type { Call } from "../operation_options.ts";
import type { Queue } from "../entities/queue.ts";
import { validator } from "../entities/schema.ts";
import { ConsumedQueue, Lane } from "./lane.ts";
import type { Session } from "../connection/session.ts";

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
    this.#requireOpen(queue);
    try {
      return await this.#get(queue, call);
    } catch (error) {
      // The channel has ended, by another call perhaps: once more, on a new one.
      if (!isUnsent(error)) throw error;
      return await this.#get(queue, call);
    }
  }

  async #get(queue: string, call: Call): Promise<Message<T> | undefined> {
    const { uses } = this.#reading;
    const began = uses?.hooks === undefined
      ? undefined
      : this.#session.clock.now();
    const lane = await this.#open(call);
    const source = new ConsumedQueue(lane, queue, this.#noAck, undefined);
    const delivery = await lane.channel.get(queue, {
      ...call,
      noAck: this.#noAck,
      onLost: (tags) => source.lose(tags),
    });
    if (delivery === undefined) return undefined;
    if (!this.#noAck) lane.taken();
    await prepareToRead(this.#reading, delivery);
    const message = new ReceivedMessage<T>(delivery, source, this.#reading);
    await this.#receive(message, call, "get", began);
    return message;
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

  /** Takes a message, and waits for one if the queue is empty. */
  async next(
    queue: Queue,
    name: string,
    call: Call,
    began: number,
  ): Promise<Message<T>> {
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
    return await awaiter.message(call, began);
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
    return new Lane(this.#session, channel, NEVER, false, Infinity);
  }
}

function isUnsent(error: unknown): boolean {
  return error instanceof ChannelError && error.retryable &&
    error.outcome === "not-sent";
}

/** It ends with its channel, and not before. */
const NEVER = new AbortController().signal;
