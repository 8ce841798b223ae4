import type { QueueStatus } from "../model/queue.ts";
import { Exchange } from "./exchange.ts";
import type { Getter } from "./getter.ts";
import type { Message } from "./message.ts";
import { limitsOf, type OperationOptions } from "./operation_options.ts";
import type { Producer, PublishOptions } from "./producer.ts";
import { Queue } from "./queue.ts";
import type { Session } from "./session.ts";

/** Options of `connection.simpleQueue` and `connection.simpleBuffer`. */
export interface SimpleQueueOptions {
  /** The content types to read. @default {JSON, plain text and bytes} */
  readonly accept?: readonly string[] | undefined;
  /** How payloads are written. */
  readonly serializer?: string | undefined;
  /** What bodies are compressed with. */
  readonly compression?: string | undefined;
  /** Whether it is transient, and takes messages as settled. @default {false} */
  readonly buffer?: boolean | undefined;
}

/**
 * A queue as a pair of `put` and `get`, for when exchanges are too much: a direct
 * exchange and a queue of the same name, as Kombu's SimpleQueue has them.
 *
 * @typeParam T What its payloads are.
 *
 * @example Put and get
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createConnection } from "@dashi/mq";
 *
 * await using connection = createConnection("memory://simple");
 * const queue = connection.simpleQueue<string>("names");
 * await queue.put("Ada");
 * const message = await queue.get();
 * assertEquals(message?.payload, "Ada");
 * await message?.ack();
 * ```
 */
export class SimpleQueue<T = unknown> implements AsyncDisposable {
  readonly #session: Session;
  readonly #queue: Queue;
  readonly #producer: Producer<T>;
  readonly #getter: Getter<T>;

  /** Made by `connection.simpleQueue`. */
  constructor(
    session: Session,
    queue: Queue,
    producer: Producer<T>,
    getter: Getter<T>,
  ) {
    this.#session = session;
    this.#queue = queue;
    this.#producer = producer;
    this.#getter = getter;
  }

  /** Publishes a payload to it. */
  async put(payload: T, options?: PublishOptions): Promise<void> {
    await this.#producer.publish(payload, options);
  }

  /** Takes the message whose turn it is, or `undefined` if there is none now. */
  async get(options?: OperationOptions): Promise<Message<T> | undefined> {
    const { name } = await this.#declare(options);
    return await this.#getter.get(name, options);
  }

  /** Counts the ready messages. */
  async size(options?: OperationOptions): Promise<number> {
    return (await this.#declare(options)).messageCount;
  }

  /** Removes the ready messages; returns how many. */
  async clear(options?: OperationOptions): Promise<number> {
    const { name } = await this.#declare(options);
    return await this.#getter.purge(name, options);
  }

  /** Waits for what is in flight, and gives back what is unsettled. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#producer[Symbol.asyncDispose]();
    await this.#getter[Symbol.asyncDispose]();
  }

  async #declare(options: OperationOptions | undefined): Promise<QueueStatus> {
    const { clock, endpoint } = this.#session;
    const call = limitsOf(options, clock, endpoint.operationTimeout);
    const [status] = await this.#session.declare([this.#queue], call);
    if (status !== undefined) return status;
    throw new TypeError("Cannot use a simple queue: it was made of no queue");
  }
}

/**
 * Makes the queue of a simple queue, and its exchange.
 *
 * @param name The name of both.
 * @param buffer Whether both are transient, and the connection's own.
 * @returns The queue, bound to its exchange by its name.
 */
export function simpleQueueOf(name: string, buffer: boolean): Queue {
  const exchange = new Exchange(name, {
    durable: !buffer,
    autoDelete: buffer,
  });
  return new Queue(name, {
    exchange,
    routingKey: name,
    durable: !buffer,
    exclusive: buffer,
    autoDelete: buffer,
  });
}
