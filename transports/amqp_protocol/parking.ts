import type { Clock } from "../../async/clock.ts";
import type { BindingDestination } from "../../model/binding.ts";
import type { CallOptions } from "../../model/call_options.ts";
import {
  AccessRefusedError,
  DecodeError,
  NotFoundError,
  PublishError,
} from "../../model/errors.ts";
import type {
  DeliveryTag,
  MessageProperties,
  Publishing,
} from "../../model/message.ts";
import { isUnwritable } from "../../model/unwritable.ts";
import { plainQueue, type QueueDeclaration } from "../../model/queue.ts";
import {
  deadLetter,
  destinationOf,
  parked,
  withHeaders,
} from "../../virtual/dead_letter.ts";
import { failedQueue } from "../../virtual/failed_queue.ts";
import { queueTraits } from "../../virtual/queue_arguments.ts";
import type { Channel, Parked, ParkOptions } from "../transport.ts";
import type { Copies } from "./copies.ts";
import type { Deliveries } from "./deliveries.ts";
import { type AmqpDelivery, OFFSET } from "./delivery.ts";

/** The services that parking uses of its connection. */
export interface ParkingHost {
  readonly clock: Clock;
  readonly operationTimeout: number;
  readonly copies: Copies;
  openChannel(options: CallOptions): Promise<Channel>;
}

/** How often the queue for failed messages is declared that somebody deletes meanwhile. */
const FEW_TRIES = 3;

/** The header that says where in its stream a parked message was. */
const FAILED_AT = "x-error-offset";

/** Not the copy but the message itself is to be dead-lettered, by the broker. */
const ORIGINAL_NEEDED = new Error("the broker can do more with the original");

/**
 * Parks messages that failed for good. The broker dead-letters a rejected message as it is,
 * and drops it where that leads nowhere: so a copy is published that says why it failed,
 * and the original is acked when the broker has confirmed that.
 */
export class Parking {
  readonly #host: ParkingHost;
  /** Queues that are being declared. */
  readonly #declaring = new Map<string, Promise<void>>();

  /** Makes one that does nothing yet. */
  constructor(host: ParkingHost) {
    this.#host = host;
  }

  /** Parks one of a channel's deliveries. */
  async park(
    tag: DeliveryTag,
    deliveries: Deliveries,
    options: ParkOptions,
  ): Promise<Parked> {
    let to: BindingDestination | undefined;
    try {
      await deliveries.replace(tag, async (delivery) => {
        to = await this.#copy(delivery, options);
      });
    } catch (error) {
      if (error !== ORIGINAL_NEEDED) throw error;
      await deliveries.reject(tag, { requeue: false });
    }
    return to === undefined ? { type: "rejected" } : { type: "parked", to };
  }

  /** Publishes a copy, and says where; throws if the broker can do more with the original. */
  async #copy(
    delivery: AmqpDelivery,
    options: ParkOptions,
  ): Promise<BindingDestination> {
    const { headers: added, declared, ...call } = options;
    const { clock } = this.#host;
    const { queue, malformed } = delivery;
    if (malformed !== undefined) {
      if (deadLetters(declared)) throw ORIGINAL_NEEDED;
      throw new DecodeError(
        `Cannot park a message of queue "${queue}" in another: it cannot be read, and so not be written again; give its queue dead letters where it is declared`,
        { cause: malformed },
      );
    }
    const message = publishingOf(delivery);
    const failed = withHeaders(message, added);
    const now = clock.wall();
    const [copy, plain] = [failed, message].map((each) =>
      declared && deadLetter(declared, each, "rejected", now)
    );
    if (copy !== undefined && plain !== undefined) {
      try {
        if (await this.#publish(copy, plain, call)) return destinationOf(copy);
      } catch (error) {
        if (isOriginals(error)) throw ORIGINAL_NEEDED;
        // Its exchange is gone, or its queue is full, and refuses more.
        const isNowhere = error instanceof NotFoundError ||
          error instanceof PublishError && error.code === "publish-refused";
        if (!isNowhere) throw error;
      }
    }
    const name = failedQueue(queue, declared);
    await this.#putInto(name, queue, failed, message, call);
    return { kind: "queue", name };
  }

  async #putInto(
    name: string,
    queue: string,
    failed: Publishing,
    message: Publishing,
    call: CallOptions,
  ): Promise<void> {
    const now = this.#host.clock.wall();
    const copy = parked(queue, failed, name, now);
    const plain = parked(queue, message, name, now);
    for (let i = 0; i < FEW_TRIES; i++) {
      if (await this.#publish(copy, plain, call)) return;
      // Not before: it may be there, by somebody who has other rights, or other ideas of it.
      await this.#declare(name);
    }
    throw new PublishError(
      `Cannot park a message of queue "${queue}": queue "${name}" takes no message`,
      { code: "publish-refused", retryable: true },
    );
  }

  /** Says whether a queue took it: as it is, or `plain` where what was added has no room. */
  async #publish(
    copy: Publishing,
    plain: Publishing,
    call: CallOptions,
  ): Promise<boolean> {
    const { copies } = this.#host;
    const publish = async (message: Publishing) => {
      const outcome = await copies.publish(
        { ...message, mandatory: true },
        call,
      );
      return outcome.type === "accepted";
    };
    try {
      return await publish(copy);
    } catch (error) {
      if (!isUnwritable(error)) throw error;
      return await publish(plain);
    }
  }

  /** Shared by all callers that wait for it: by the connection's limits. */
  async #declare(name: string): Promise<void> {
    let declaring = this.#declaring.get(name);
    if (declaring === undefined) {
      declaring = this.#declareNow(name).finally(() => {
        this.#declaring.delete(name);
      });
      this.#declaring.set(name, declaring);
    }
    await declaring;
  }

  async #declareNow(name: string): Promise<void> {
    const { clock, operationTimeout } = this.#host;
    const call = { deadline: clock.now() + operationTimeout };
    const channel = await this.#host.openChannel(call);
    try {
      await channel.declareQueue(plainQueue(name), call);
    } finally {
      await channel[Symbol.asyncDispose]();
    }
  }
}

function deadLetters(declared: QueueDeclaration | undefined): boolean {
  return declared !== undefined &&
    queueTraits(declared.arguments).deadLetterExchange !== undefined;
}

function publishingOf(
  { exchange, routingKey, properties, body }: AmqpDelivery,
): Publishing {
  return {
    exchange,
    routingKey,
    mandatory: true,
    delay: 0,
    properties: outOfStream(properties),
    body,
    republished: true,
  };
}

/** In a queue a message is none of a stream, whose retries and requeues are others. */
function outOfStream(properties: MessageProperties): MessageProperties {
  const { [OFFSET]: offset, ...headers } = properties.headers ?? {};
  return offset === undefined
    ? properties
    : { ...properties, headers: { ...headers, [FAILED_AT]: offset } };
}

/** Whether the broker may do with the original what it does not let us do with a copy. */
function isOriginals(error: unknown): boolean {
  return error instanceof AccessRefusedError || isUnwritable(error);
}
