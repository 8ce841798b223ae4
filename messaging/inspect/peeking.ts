import { SettlementError } from "../../model/errors.ts";
import { deliveryTag } from "../../model/message.ts";
import type {
  Delivery,
  Peeked,
  TransportConnection,
} from "../../transports/transport.ts";
import { type Message, ReceivedMessage } from "../consume/message.ts";
import type { Reading } from "../consume/reading.ts";
import type { Source } from "../consume/source.ts";
import { type KnownOptions, optionsOf } from "../known_options.ts";
import type { Call, OperationOptions } from "../operation_options.ts";

/** Options of `peek` of a queue's handle. */
export interface PeekOptions extends OperationOptions {
  /** The maximum number of messages, from 1 to 1000. @default {10} */
  readonly max?: number | undefined;
}

/** The options of `peek`. */
export const PEEK: KnownOptions = optionsOf<PeekOptions>("peek", {
  max: true,
  signal: true,
  timeout: true,
}, { limit: '"max"', count: '"max"' });

/** So many messages are peeked at, and no more. */
export const MAX_PEEKED = 1000;

/**
 * A message that was looked at, and is still in its queue: somebody may have taken it by
 * now. `ack`, `reject` and `requeue` reject with a `SettlementError`.
 *
 * @typeParam T The type of `payload`.
 */
export interface PeekedMessage<T> extends Message<T> {
  /**
   * Whether the broker cannot show a message without handing it out: then it was taken for
   * a moment and given back, and counts as delivered once more.
   */
  readonly taken: boolean;
}

/** What was found in a queue. */
export interface Peek {
  /** The messages whose turn comes first, in order. */
  readonly found: readonly Peeked[];
  /** As of {@linkcode PeekedMessage.taken}. */
  readonly taken: boolean;
}

/**
 * Looks at ready messages of a queue.
 *
 * @param connection The connection.
 * @param queue The queue's name.
 * @param max The maximum number of messages.
 * @param call The limits of the call.
 * @returns The messages.
 * @throws {NotFoundError} If there is no such queue, and the broker knows.
 */
export async function peekAt(
  connection: TransportConnection,
  queue: string,
  max: number,
  call: Call,
): Promise<Peek> {
  const found = await connection.inspection?.peek?.(queue, max, call);
  return found === undefined
    ? {
      found: await takeAndGiveBack(connection, queue, max, call),
      taken: true,
    }
    : { found, taken: false };
}

/**
 * All are held until the last is taken, so that none is taken twice. The channel gives them
 * back: what is rejected goes to the end of a quorum queue of RabbitMQ's.
 */
async function takeAndGiveBack(
  connection: TransportConnection,
  queue: string,
  max: number,
  call: Call,
): Promise<readonly Delivery[]> {
  const channel = await connection.openChannel(call);
  const taken: Delivery[] = [];
  try {
    while (taken.length < max) {
      const delivery = await channel.get(queue, call);
      if (delivery === undefined) break;
      taken.push(delivery);
    }
    return taken;
  } finally {
    await channel[Symbol.asyncDispose]();
  }
}

/** A message that nobody holds. */
export class PeekedDelivery<T> extends ReceivedMessage<T>
  implements PeekedMessage<T> {
  readonly taken: boolean;
  /** As it was found; its tag is nobody's. */
  readonly delivery: Delivery;

  /** Makes one of what was found. */
  constructor(peeked: Peeked, taken: boolean, reading: Reading<T>) {
    const delivery = { ...copyOf(peeked), deliveryTag: deliveryTag(0) };
    super(delivery, NOWHERE, reading);
    this.delivery = delivery;
    this.taken = taken;
  }

  override ack(): Promise<void> {
    return this.#refuse("ack");
  }

  override reject(): Promise<void> {
    return this.#refuse("reject");
  }

  override requeue(): Promise<void> {
    return this.#refuse("requeue");
  }

  #refuse(action: string): Promise<never> {
    return Promise.reject(
      new SettlementError(
        `Cannot ${action} a message of queue "${this.delivery.queue}": it was only looked at, by peek(), and is still in its queue; take it by get()`,
        { code: "message-settled" },
      ),
    );
  }
}

/** The parts that a message is read by: the delivery's own may be getters. */
function copyOf(peeked: Peeked): Peeked {
  return {
    queue: peeked.queue,
    exchange: peeked.exchange,
    routingKey: peeked.routingKey,
    redelivered: peeked.redelivered,
    deliveryCount: peeked.deliveryCount,
    properties: peeked.properties,
    body: peeked.body,
    malformed: peeked.malformed,
  };
}

/** Where a message is that nobody holds: nothing is settled there, and nothing lost. */
const NOWHERE: Source = {
  get channel(): never {
    throw new Error("a message that was peeked at has no channel");
  },
  alive: true,
  consumerTag: undefined,
  noAck: false,
  onSettled() {},
  onKept() {},
  onLost() {},
  limits: () => ({ signal: undefined, deadline: Infinity }),
};
