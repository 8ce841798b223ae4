import type { Delivery, Publishing } from "../../model/message.ts";
import type { Channel, PublishOutcome } from "../../transports/transport.ts";
import { noExchange } from "../connection/session_errors.ts";
import type { Link } from "../connection/topology_channel.ts";
import type { Call } from "../operation_options.ts";
import type { Lane, Pending } from "./pending.ts";

/** Nothing is acked by it: the broker hands over all that comes. */
const PREFETCH = 65_535;

/**
 * A channel that requests go out by, and their answers come back by without a queue:
 * RabbitMQ's direct reply-to. With the channel all answers are lost that have not come.
 */
export class DirectLane implements Lane {
  readonly waiting: Set<Pending> = new Set();
  isLost = false;
  readonly #link: Link;
  readonly #channel: Channel;
  readonly #replyTo: string;
  /** The exchanges that are there: publishing to a missing one would end the channel. */
  readonly #known = new Set([""]);

  private constructor(link: Link, channel: Channel, replyTo: string) {
    this.#link = link;
    this.#channel = channel;
    this.#replyTo = replyTo;
  }

  /**
   * Opens one.
   *
   * @param link The connection.
   * @param replyTo The name that answers are asked for by.
   * @param call The limits.
   * @param deliver Called for each answer. Must not throw.
   * @param onLost Called when no more come.
   * @returns The lane.
   * @throws {ChannelError} If the broker has no such thing.
   */
  static async open(
    link: Link,
    replyTo: string,
    call: Call,
    deliver: (delivery: Delivery) => void,
    onLost: (lane: DirectLane) => void,
  ): Promise<DirectLane> {
    const channel = await link.connection.openChannel({
      ...call,
      use: "publish",
    });
    try {
      const lane = new DirectLane(link, channel, replyTo);
      const subscription = await channel.consume(replyTo, deliver, {
        ...call,
        noAck: true,
        prefetch: PREFETCH,
      });
      subscription.ended.then(() => {
        lane.isLost = true;
        onLost(lane);
      });
      return lane;
    } catch (error) {
      await channel[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Publishes a request whose answer is to come by it. */
  async publish(message: Publishing, call: Call): Promise<PublishOutcome> {
    const { exchange } = message;
    if (!this.#known.has(exchange)) {
      const { topology } = this.#link;
      await topology.run(
        call,
        (channel) => channel.checkExchange(exchange, call),
      )
        .catch((error) => {
          throw noExchange(exchange, error);
        });
      this.#known.add(exchange);
    }
    const properties = { ...message.properties, replyTo: this.#replyTo };
    return await this.#channel.publish({ ...message, properties }, call);
  }

  /** Ends it. */
  async close(): Promise<void> {
    await this.#channel[Symbol.asyncDispose]();
  }
}
