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

  /** What was published to the queue by its name came by the default exchange. */
  override get exchange(): string {
    const exchange = super.exchange;
    return exchange === this.#ordered.exchange ? "" : exchange;
  }

  /** What came back to its partition has the queue's name as its key. */
  override get routingKey(): string {
    const key = super.routingKey;
    return key === this.#partition && this.exchange === ""
      ? this.#ordered.name
      : key;
  }
}
