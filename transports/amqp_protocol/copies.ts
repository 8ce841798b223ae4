import { Line } from "../../async/line.ts";
import type { CallOptions } from "../../model/call_options.ts";
import { DELIVERY_COUNTS } from "../../model/delivery_counts.ts";
import { ChannelError, ConnectionError } from "../../model/errors.ts";
import type { Publishing } from "../../model/message.ts";
import type { Channel, PublishOutcome } from "../transport.ts";
import type { Publish } from "./delays.ts";

/** The services that copies use of their connection. */
export interface CopiesHost {
  /** As whom it is logged in: RabbitMQ lets nobody publish as another. */
  readonly username: string;
  openChannel(): Promise<Channel>;
}

/**
 * Publishes copies of deliveries, on channels of their own: what the broker refuses
 * ends the channel, and that of the consumer has its neighbours' messages. Copies that
 * were in flight on one that has ended go one by one, so that only the culprit fails,
 * with what the broker says of it.
 */
export class Copies {
  readonly #host: CopiesHost;
  readonly #line = new Line();
  #together: Promise<Channel> | undefined;
  #alone: Promise<Channel> | undefined;

  /** Makes one that opens its channel with the first copy. */
  constructor(host: CopiesHost) {
    this.#host = host;
  }

  /** Publishes one. */
  readonly publish: Publish = async (message, options) => {
    const copy = this.#republishable(message);
    try {
      this.#together ??= this.#open(() => this.#together = undefined);
      const channel = await this.#together;
      return await channel.publish(copy, options);
    } catch (error) {
      if (!isOpen(error)) throw error;
      return await this.#line.enter(() => this.#publishAlone(copy, options));
    }
  };

  async #publishAlone(
    copy: Publishing,
    options?: CallOptions,
  ): Promise<PublishOutcome> {
    this.#alone ??= this.#open(() => this.#alone = undefined);
    const channel = await this.#alone;
    try {
      return await channel.publish(copy, options);
    } catch (error) {
      if (!isOpen(error)) throw error;
      // Nothing else was on it.
      const reason = await channel.closed;
      throw reason.type === "lost" ? reason.error : error;
    }
  }

  #open(forget: () => void): Promise<Channel> {
    const opening = this.#host.openChannel();
    opening.then((channel) => channel.closed).then(forget, forget);
    return opening;
  }

  #republishable(message: Publishing): Publishing {
    const { userId, headers = {}, ...properties } = message.properties;
    const kept = Object.entries(headers)
      .filter(([name]) => !DELIVERY_COUNTS.has(name));
    return {
      ...message,
      properties: {
        ...properties,
        headers: Object.fromEntries(kept),
        ...(userId === this.#host.username ? { userId } : {}),
      },
    };
  }
}

/** Whether it may be another's fault. */
function isOpen(error: unknown): boolean {
  return error instanceof ChannelError && error.code === "channel-closed" &&
    !(error.cause instanceof ConnectionError);
}
