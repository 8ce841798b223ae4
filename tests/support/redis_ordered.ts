/** An ordered queue on Redis, for tests of what lies where. */

import { type Connection, type Message, Queue } from "@dashi/mq";
import { encodeBase64 } from "../../codec/mod.ts";
import { connectTo, type Raw } from "./redis.ts";

/** An ordered queue. */
export const ORDERS: Queue = new Queue("orders", { ordered: true });

/** Publishes texts that begin with their key; `-` is none. */
export async function publish(
  connection: Connection,
  texts: readonly string[],
  options: { readonly expiration?: number; readonly delay?: number } = {},
): Promise<void> {
  const producer = connection.producer<string>({ declare: [ORDERS] });
  for (const text of texts) {
    const key = text.slice(0, 1);
    await producer.publish(text, {
      routingKey: ORDERS.name,
      ...(key === "-" ? {} : { key }),
      ...options,
    });
  }
}

/** A consumer whose messages are asked for one by one. */
export class Hand implements AsyncDisposable {
  readonly #connection: Connection;
  readonly #messages: AsyncIterator<Message<string>>;
  readonly #taken: Message<string>[] = [];

  /** Consumes on a connection of its own. */
  constructor(url: string, prefetch = 50) {
    this.#connection = connectTo(url);
    this.#messages = this.#connection.consumer<string>(ORDERS, { prefetch })
      [Symbol.asyncIterator]();
  }

  /** The next message. */
  async next(): Promise<Message<string>> {
    const { value } = await this.#messages.next();
    this.#taken.push(value);
    return value;
  }

  /** So many messages. */
  async take(count: number): Promise<readonly Message<string>[]> {
    const taken: Message<string>[] = [];
    while (taken.length < count) taken.push(await this.next());
    return taken;
  }

  /** Takes and acks. */
  async finish(count: number): Promise<readonly string[]> {
    const done: string[] = [];
    for (; count > 0; count--) {
      const message = await this.next();
      done.push(message.payload);
      await message.ack();
    }
    return done;
  }

  /** Gives back what is left. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const each of this.#taken) {
      if (!each.settled) await each.requeue().catch(() => {});
    }
    await this.#connection.close();
  }
}

/** Their payloads. */
export function payloads(
  messages: readonly Message<string>[],
): readonly string[] {
  return messages.map(({ payload }) => payload);
}

/** A hash among the parts of the queue. */
export async function hash(
  raw: Raw,
  part: string,
): Promise<Record<string, string>> {
  const flat = await raw.texts("HGETALL", `dashi.ordered.${part}.orders`);
  const pairs: [string, string][] = [];
  for (let i = 0; i < flat.length; i += 2) {
    pairs.push([flat[i] ?? "", flat[i + 1] ?? ""]);
  }
  return Object.fromEntries(pairs);
}

/** The keys that somebody holds a message of. */
export async function busy(raw: Raw): Promise<readonly string[]> {
  const keys = await raw.texts("HKEYS", "dashi.ordered.busy.orders");
  return keys.filter((key) => key !== "").toSorted();
}

/** The keys in the ring, the next to be served first. */
export async function ring(raw: Raw): Promise<readonly string[]> {
  const keys = await raw.texts("LRANGE", "dashi.ordered.ring.orders", 0, -1);
  return keys.reverse();
}

/** How many messages are ready. */
export async function ready(connection: Connection): Promise<number> {
  return (await connection.queueStatus(ORDERS)).messageCount;
}

/** As Kombu publishes it to a queue by its name. */
export function envelope(
  text: string,
  headers: Record<string, unknown> = {},
): string {
  const inner = JSON.stringify(headers).replaceAll('":', '": ')
    .replaceAll(',"', ', "');
  return `{"body": "${
    encodeBase64(new TextEncoder().encode(JSON.stringify(text)))
  }", "content-encoding": "utf-8", "content-type": "application/json", "headers": ${inner}, "properties": {"delivery_mode": 2, "delivery_info": {"exchange": "", "routing_key": "orders"}, "priority": 0, "body_encoding": "base64", "delivery_tag": "${crypto.randomUUID()}"}}`;
}
