import type { MessageProperties, Publishing } from "../../model/message.ts";
import type { FieldTable } from "../../model/field_table.ts";
import { copyOfProperties } from "../../model/copies.ts";
import type { Slab } from "../../model/slab.ts";

/**
 * A message as the broker keeps it: a copy of what was published, as if it had been read
 * from a socket. It is in all queues that it went to, and nobody writes to it.
 */
export class Kept {
  readonly exchange: string;
  readonly routingKey: string;
  readonly mandatory: boolean;
  readonly delay: number;
  readonly properties: MessageProperties;
  /** How many bytes its body has. */
  readonly size: number;
  readonly #buffer: ArrayBuffer;
  readonly #offset: number;

  /** Copies a message, its body to a slab that nobody else has. */
  constructor(message: Publishing, slab: Slab) {
    const { properties, body, delay } = message;
    this.exchange = message.exchange;
    this.routingKey = message.routingKey;
    this.mandatory = message.mandatory;
    this.delay = delay;
    this.properties = message.ownsProperties &&
        properties.headers === undefined && properties.timestamp === undefined
      ? properties
      : copyOfProperties(properties);
    this.size = body.length;
    // A message with a long delay must not keep a page from being freed that it shares with
    // short-lived ones.
    this.#offset = slab.add(body, delay > 0);
    this.#buffer = slab.buffer;
  }

  /** The same message with other headers. */
  withHeaders(headers: FieldTable, slab: Slab): Kept {
    const { publishing } = this;
    const properties = { ...publishing.properties, headers };
    return new Kept({ ...publishing, properties }, slab);
  }

  /** The message, to be read only. */
  get publishing(): Publishing {
    const { exchange, routingKey, mandatory, delay, properties } = this;
    const body = new Uint8Array(this.#buffer, this.#offset, this.size);
    return { exchange, routingKey, mandatory, delay, properties, body };
  }
}

/** A message in a queue. */
export interface Item {
  readonly message: Kept;
  /** Its place among all messages of the broker: what comes back goes to where it was. */
  readonly sequence: number;
  /** The moment its time to live ends, on the clock. */
  readonly expiresAt: number;
  /** The moment it may be delivered, on the clock. */
  readonly dueAt: number;
  /** How often it was delivered. */
  deliveryCount: number;
  /** Whether it was out, and waits for another attempt: its key waits with it. */
  readonly keepsKey?: true;
}
