import { ConnectionError } from "../../model/errors.ts";
import type { Delivery } from "../../model/message.ts";
import type { Channel } from "../../transports/transport.ts";
import { type Message, ReceivedMessage } from "./message.ts";
import { Slab } from "../../model/slab.ts";
import { type Decoding, prepareToRead, type Reading } from "./reading.ts";
import type { Call, OperationOptions } from "../operation_options.ts";
import { validator } from "../entities/schema.ts";
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
    const delivery = await lane.channel.get(queue, {
      ...call,
      noAck: this.#noAck,
      onLost: (tags) => lane.lose(tags),
    });
    if (delivery === undefined) return undefined;
    await prepareToRead(this.#reading, delivery);
    return new ReceivedMessage<T>(delivery, {
      channel: lane.channel,
      get alive() {
        return lane.alive;
      },
      consumerTag: undefined,
      noAck: this.#noAck,
      onSettled: () => lane.watching.delete(delivery),
      onKept: () => {},
      onLost: (_, callback) => lane.watching.set(delivery, callback),
      limits: (given, known) => this.#session.call(given, known),
    }, this.#reading);
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
    return new Lane(await connection.openChannel(call));
  }
}

class Lane {
  readonly channel: Channel;
  readonly watching = new Map<Delivery, (reason: Error) => void>();
  alive = true;

  constructor(channel: Channel) {
    this.channel = channel;
    channel.closed.then((reason) => {
      this.alive = false;
      const error = reason.type === "lost"
        ? reason.error
        : lost("its channel was closed");
      for (const callback of this.watching.values()) callback(error);
    });
  }

  lose(tags: readonly number[]): void {
    for (const [delivery, callback] of this.watching) {
      if (!tags.includes(delivery.deliveryTag)) continue;
      this.watching.delete(delivery);
      callback(lost("its lease was lost"));
    }
  }
}

function lost(why: string): ConnectionError {
  return new ConnectionError(`A message is no longer ours: ${why}`, {
    code: "connection-lost",
  });
}
