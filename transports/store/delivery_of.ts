import { copyOfProperties } from "../../model/copies.ts";
import type {
  Delivery,
  DeliveryTag,
  MessageProperties,
} from "../../model/message.ts";
import { isMalformed, unread } from "./quarantine.ts";
import type { Slab } from "../../model/slab.ts";
import type { Reservation } from "./store.ts";

/**
 * Makes a delivery of a reservation.
 *
 * @param reservation The reservation.
 * @param tag Names it on its channel.
 * @param slab The memory to copy its body to, if the store goes on using it.
 * @returns The delivery.
 */
export function deliveryOf(
  reservation: Reservation,
  tag: DeliveryTag,
  slab: Slab,
): Delivery {
  if (reservation.sharesMessage) {
    return new CopiedDelivery(reservation, tag, slab);
  }
  const { message, queue, redelivered, deliveryCount } = reservation;
  if (isMalformed(message)) {
    return {
      deliveryTag: tag,
      queue,
      redelivered,
      deliveryCount,
      ...unread(queue, message),
    };
  }
  const { exchange, routingKey, properties, body } = message;
  return {
    deliveryTag: tag,
    queue,
    exchange,
    routingKey,
    redelivered,
    deliveryCount,
    timeLeft: reservation.timeLeft,
    keepsPlace: reservation.keepsPlace,
    countsAttempts: countsAttempts(reservation),
    properties,
    body,
  };
}

function countsAttempts({ keepsPlace, takesHeaders }: Reservation): boolean {
  return keepsPlace === true && takesHeaders !== true;
}

/** A delivery of a message that the store goes on using: it is copied when somebody looks. */
class CopiedDelivery implements Delivery {
  readonly deliveryTag: DeliveryTag;
  readonly #reservation: Reservation;
  readonly #slab: Slab;
  #properties: MessageProperties | undefined;
  #body: Uint8Array | undefined;

  constructor(reservation: Reservation, tag: DeliveryTag, slab: Slab) {
    this.deliveryTag = tag;
    this.#reservation = reservation;
    this.#slab = slab;
  }

  get queue(): string {
    return this.#reservation.queue;
  }

  get exchange(): string {
    const { message } = this.#reservation;
    return isMalformed(message) ? "" : message.exchange;
  }

  get routingKey(): string {
    const { message, queue } = this.#reservation;
    return isMalformed(message) ? queue : message.routingKey;
  }

  get redelivered(): boolean {
    return this.#reservation.redelivered;
  }

  get deliveryCount(): number | undefined {
    return this.#reservation.deliveryCount;
  }

  get timeLeft(): number | undefined {
    return this.#reservation.timeLeft;
  }

  get keepsPlace(): boolean | undefined {
    return this.#reservation.keepsPlace;
  }

  get countsAttempts(): boolean {
    return countsAttempts(this.#reservation);
  }

  get malformed(): Error | undefined {
    const { message } = this.#reservation;
    return isMalformed(message) ? message.error : undefined;
  }

  get received(): MessageProperties {
    const { properties } = this.#reservation;
    if (properties !== undefined) return properties;
    const { message } = this.#reservation;
    return isMalformed(message) ? {} : message.properties;
  }

  lacksHeader(name: string): boolean {
    return this.received.headers?.[name] === undefined;
  }

  get properties(): MessageProperties {
    return this.#properties ??= this.#copyOfProperties();
  }

  #copyOfProperties(): MessageProperties {
    return copyOfProperties(this.received);
  }

  get body(): Uint8Array {
    return this.#body ??= this.#slab.copy(this.#reservation.message.body);
  }
}
