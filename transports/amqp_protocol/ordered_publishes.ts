import type { CallOptions } from "../../model/call_options.ts";
import { NotFoundError, UnsupportedError } from "../../model/errors.ts";
import type { Publishing } from "../../model/message.ts";
import type { PublishOutcome } from "../transport.ts";
import type { ChannelContext } from "./context.ts";
import type { Publish } from "./delays.ts";
import { inAnySlot, type OrderedQueue } from "./ordered_layout.ts";
import type { Publishes } from "./publishes.ts";

/** Publishes to ordered queues what is published to the default exchange by their names. */
export class OrderedPublishes {
  readonly #context: ChannelContext;
  readonly #publishes: Publishes;
  readonly #publish: Publish;

  /** Makes one for a channel; `publish` is the channel's own. */
  constructor(
    context: ChannelContext,
    publishes: Publishes,
    publish: Publish,
  ) {
    this.#context = context;
    this.#publishes = publishes;
    this.#publish = publish;
  }

  /** Publishes a message that is, or may be, for an ordered queue. */
  async publish(
    message: Publishing,
    options: CallOptions | undefined,
  ): Promise<PublishOutcome> {
    const { ordered, delays } = this.#context;
    const { routingKey, delay } = message;
    // No step later than one that is known: it would be overtaken.
    const queue = ordered.get(routingKey) ?? await ordered.find(routingKey);
    if (queue === undefined) {
      return delay > 0
        ? await delays.publish(message, this.#publish, options)
        : await this.#publishes.publish(message, options);
    }
    const instead = toOrdered(message, queue);
    try {
      return delay > 0
        ? await delays.publish(
          { ...instead, exchange: "" },
          this.#publish,
          options,
          {
            kind: "exchange",
            name: queue.exchange,
          },
        )
        : await this.#publishes.publish(instead, options);
    } catch (error) {
      // Somebody has deleted it.
      if (error instanceof NotFoundError) ordered.forget(routingKey);
      throw error;
    }
  }

  /** No queue has taken a message: it may be for an ordered one, of which nobody here has heard. */
  async elsewhere(
    message: Publishing,
    returned: PublishOutcome,
  ): Promise<PublishOutcome> {
    const { ordered, clock, operationTimeout } = this.#context;
    const queue = await ordered.findAgain(message.routingKey)
      .catch(() => undefined);
    if (queue === undefined) return returned;
    const deadline = clock.now() + operationTimeout;
    return await this.publish(message, { deadline });
  }
}

function toOrdered(
  message: Publishing,
  { name, exchange }: OrderedQueue,
): Publishing {
  const { headers } = message.properties;
  if (headers?.CC !== undefined || headers?.BCC !== undefined) {
    throw new UnsupportedError(
      `Cannot publish to queue "${name}" with CC or BCC: it is ordered, and an exchange finds its partition; publish once for each queue`,
    );
  }
  return inAnySlot({ ...message, exchange });
}
