import { type Message, ReceivedMessage } from "./message.ts";
import { Slab } from "../../model/slab.ts";
import { type Decoding, prepareToRead, type Reading } from "./reading.ts";
import type { Call, OperationOptions } from "../operation_options.ts";
import { validator } from "../entities/schema.ts";
import { Lane, QueueSource } from "./lane.ts";
import type { Session } from "../connection/session.ts";

/** Takes messages one by one, on a channel of its own. */
export class Getter<T> implements AsyncDisposable {
  readonly #session: Session;
  readonly #reading: Reading<T>;
  readonly #noAck: boolean;
  #lane: Promise<Lane> | undefined;

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
  async get(
    queue: string,
    options?: OperationOptions,
  ): Promise<Message<T> | undefined> {
    const call = this.#session.call(options);
    const lane = await this.#open(call);
    const source = new QueueSource(lane, queue, this.#noAck, undefined);
    const delivery = await lane.channel.get(queue, {
      ...call,
      noAck: this.#noAck,
      onLost: (tags) => source.lose(tags),
    });
    if (delivery === undefined) return undefined;
    if (!this.#noAck) lane.taken();
    await prepareToRead(this.#reading, delivery);
    return new ReceivedMessage<T>(delivery, source, this.#reading);
  }

  /** Removes the ready messages of a queue; returns how many. */
  async purge(queue: string, options?: OperationOptions): Promise<number> {
    const call = this.#session.call(options);
    const lane = await this.#open(call);
    return await lane.channel.purgeQueue(queue, call);
  }

  /** Ends it with its channel: what is unsettled goes back. */
  async [Symbol.asyncDispose](): Promise<void> {
    const lane = await this.#lane?.catch(() => undefined);
    await lane?.channel[Symbol.asyncDispose]();
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

/** It ends with its channel, and not before. */
const NEVER = new AbortController().signal;
