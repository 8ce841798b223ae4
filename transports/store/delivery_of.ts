import { copyOfBody, copyOfProperties } from "../../model/copies.ts";
import type {
  Delivery,
  DeliveryTag,
  MessageProperties,
  Publishing,
} from "../../model/message.ts";
import { isMalformed } from "./quarantine.ts";
import type { Reservation } from "./store.ts";

/**
 * Makes a delivery of a reservation.
 *
 * @param reservation The reservation.
 * @param tag Names it on its channel.
 * @returns The delivery.
 */
export function deliveryOf(
  reservation: Reservation,
  tag: DeliveryTag,
): Delivery {
  const { message, queue, redelivered, deliveryCount } = reservation;
  if (isMalformed(message)) {
    return {
      deliveryTag: tag,
      queue,
      exchange: "",
      routingKey: queue,
      redelivered,
      deliveryCount,
      properties: {},
      body: message.body,
      malformed: message.error,
    };
  }
  if (reservation.sharesMessage) {
    return new CopiedDelivery(reservation, message, tag);
  }
  const { exchange, routingKey, properties, body } = message;
  return {
    deliveryTag: tag,
    queue,
    exchange,
    routingKey,
    redelivered,
    deliveryCount,
    keepsPlace: reservation.keepsPlace,
    properties,
    body,
  };
}

/** A delivery of a message that the store goes on using: it is copied when somebody looks. */
class CopiedDelivery implements Delivery {
  readonly deliveryTag: DeliveryTag;
  readonly queue: string;
  readonly redelivered: boolean;
  readonly deliveryCount: number | undefined;
  readonly keepsPlace: boolean | undefined;
  readonly #message: Publishing;
  #properties: MessageProperties | undefined;
  #body: Uint8Array | undefined;

  constructor(
    { queue, redelivered, deliveryCount, keepsPlace }: Reservation,
    message: Publishing,
    tag: DeliveryTag,
  ) {
    this.deliveryTag = tag;
    this.queue = queue;
    this.redelivered = redelivered;
    this.deliveryCount = deliveryCount;
    this.keepsPlace = keepsPlace;
    this.#message = message;
  }

  get exchange(): string {
    return this.#message.exchange;
  }

  get routingKey(): string {
    return this.#message.routingKey;
  }

  get received(): MessageProperties {
    return this.#message.properties;
  }

  get properties(): MessageProperties {
    return this.#properties ??= copyOfProperties(this.#message.properties);
  }

  get body(): Uint8Array {
    return this.#body ??= copyOfBody(this.#message.body);
  }
}
