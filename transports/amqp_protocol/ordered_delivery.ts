import { AmqpDelivery, type Holder } from "./delivery.ts";
import type { OrderedQueue } from "./ordered_layout.ts";
import type { RawMessage } from "./port.ts";

/** A delivery out of a partition, as of the queue that users know. */
export class PartitionDelivery extends AmqpDelivery {
  readonly #ordered: OrderedQueue;
  readonly #partition: string;

  /** Makes a delivery of a message. */
  constructor(
    ordered: OrderedQueue,
    partition: string,
    message: RawMessage,
    holder: Holder,
  ) {
    super(ordered.name, message, holder);
    this.#ordered = ordered;
    this.#partition = partition;
  }

  override get origin(): string {
    return this.#partition;
  }

  /** The exchange of the publish: the default one for a message to the queue by its name. */
  override get exchange(): string {
    const exchange = super.exchange;
    return exchange === this.#ordered.exchange ? "" : exchange;
  }

  /** The routing key of the publish: the queue's name for a message that came back to its partition. */
  override get routingKey(): string {
    const key = super.routingKey;
    return key === this.#partition && this.exchange === ""
      ? this.#ordered.name
      : key;
  }
}
