import type { CallOptions } from "../../model/call_options.ts";
import { ChannelError, UnsupportedError } from "../../model/errors.ts";
import type { Delivery } from "../../model/message.ts";
import type { ConsumeOptions } from "../transport.ts";
import type { Call } from "./calls.ts";
import type { Deliveries } from "./deliveries.ts";
import { GOT } from "./delivery.ts";
import { PartitionDelivery } from "./ordered_delivery.ts";
import { type OrderedQueue, sharesOf } from "./ordered_layout.ts";
import type { AmqpClientChannel, RawMessage } from "./port.ts";
import type { AmqpSubscription } from "./subscription.ts";

/** The highest priority that a consumer draws, so that no two have the same. */
const MAX_PRIORITY = 1_000_000;

/** The services that consuming from an ordered queue uses of its channel. */
export interface PartitionsHost {
  readonly client: AmqpClientChannel;
  readonly deliveries: Deliveries;
  readonly call: Call;
}

/**
 * Consumes from all partitions of an ordered queue, as one consumer. Each partition has one
 * active consumer, the first that came, and when that goes the one of the highest priority:
 * partitions are begun with in an order of chance, and priorities are drawn, so that
 * processes that start together share them, and inherit from one that dies alike.
 *
 * @param queue The queue.
 * @param subscription The consumer; it ends when a partition is lost.
 * @param deliver Called for each message.
 * @param options The options of the consumer.
 * @param host The channel.
 * @throws {UnsupportedError} If it is to be the only consumer.
 */
export async function consumePartitions(
  queue: OrderedQueue,
  subscription: AmqpSubscription,
  deliver: (delivery: Delivery) => void,
  options: ConsumeOptions,
  { client, deliveries, call }: PartitionsHost,
): Promise<void> {
  const { name, partitions } = queue;
  const { noAck = false, exclusive = false } = options;
  if (exclusive) {
    throw new UnsupportedError(
      `Cannot consume from queue "${name}" exclusively: it is ordered, and each of its partitions has one active consumer by itself; leave "exclusive" out`,
    );
  }
  const shares = sharesOf(subscription.prefetch, partitions.length);
  for (const at of inAnyOrder(partitions.length)) {
    const [partition, prefetch] = [partitions[at] ?? name, shares[at] ?? 1];
    const holder = { prefetch };
    const onMessage = (message: RawMessage | undefined) => {
      if (message === undefined) return lose(subscription, partition);
      const delivery = new PartitionDelivery(queue, partition, message, holder);
      deliveries.add(delivery, noAck);
      if (subscription.running) deliver(delivery);
      // Given back at once it would come again at once.
      else if (!noAck) subscription.late.push(delivery.deliveryTag);
    };
    await call(
      `consume from queue "${name}"`,
      options,
      () =>
        client.consume(partition, onMessage, {
          consumerTag: subscription.tags[at] ?? "",
          prefetch,
          noAck,
          exclusive: false,
          arguments: {
            "x-priority": Math.ceil(Math.random() * MAX_PRIORITY),
            ...options.arguments,
          },
        }),
    );
  }
}

/** Another consumer has its messages now: what was delivered before must not go back behind them. */
function lose(subscription: AmqpSubscription, partition: string): void {
  subscription.end({
    type: "lost",
    error: new ChannelError(
      `Consumer of queue "${subscription.queue}" ended: the broker cancelled it on "${partition}", for that was deleted or has moved`,
      { code: "channel-closed" },
    ),
  });
}

/** Takes single messages out of ordered queues, by turns out of their partitions. */
export class PartitionsGetter {
  readonly #host: PartitionsHost;
  /** The partition that is looked into first, of each queue. */
  readonly #next = new Map<string, number>();

  /** Makes one for a channel. */
  constructor(host: PartitionsHost) {
    this.#host = host;
  }

  /**
   * Takes a message, of partitions of which none is unsettled here: the next may be of the
   * same key.
   */
  async get(
    queue: OrderedQueue,
    noAck: boolean,
    options: CallOptions | undefined,
  ): Promise<Delivery | undefined> {
    const { name, partitions } = queue;
    const { client, deliveries, call } = this.#host;
    const busy = new Set<string>();
    for (const each of deliveries.held()) busy.add(each.origin);
    const first = this.#next.get(name) ?? 0;
    for (let i = 0; i < partitions.length; i++) {
      const at = (first + i) % partitions.length;
      const partition = partitions[at];
      if (partition === undefined || busy.has(partition)) continue;
      let wanted = true;
      try {
        const delivery = await call(
          `get from queue "${name}"`,
          options,
          async () => {
            const message = await client.get(partition, noAck);
            if (message === undefined) return undefined;
            const got = new PartitionDelivery(queue, partition, message, GOT);
            // Nobody waits for it any more: the call was aborted.
            if (!wanted && !noAck) deliveries.giveBack(got);
            else deliveries.add(got, noAck);
            return got;
          },
        );
        if (delivery === undefined) continue;
        this.#next.set(name, (at + 1) % partitions.length);
        return delivery;
      } finally {
        wanted = false;
      }
    }
    return undefined;
  }
}

function inAnyOrder(count: number): readonly number[] {
  return Array.from({ length: count }, (_, at) => ({
    at,
    place: Math.random(),
  })).sort((a, b) => a.place - b.place).map(({ at }) => at);
}
