import type { CodecRegistry } from "../codec/mod.ts";
import { SettlementError } from "../model/errors.ts";
import type { Connection } from "./connection.ts";
import { Exchange } from "./exchange.ts";
import { Getter } from "./getter.ts";
import type { Message } from "./message.ts";
import type { OperationOptions } from "./operation_options.ts";
import type { Producer, PublishOptions } from "./producer.ts";
import { Queue } from "./queue.ts";
import type { Session } from "./session.ts";

/** Options of `connection.simpleQueue` and `connection.simpleBuffer`. */
export interface SimpleQueueOptions {
  /** The content types to read. @default {JSON, plain text and bytes} */
  readonly accept?: readonly string[] | undefined;
  /** How payloads are written. */
  readonly serializer?: string | undefined;
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
  readonly #connection: Connection;
  readonly #queue: Queue;
  readonly #producer: Producer<T>;
  readonly #getter: Getter<T>;

  /** Made by `connection.simpleQueue`. */
  constructor(
    connection: Connection,
    session: Session,
    codecs: CodecRegistry,
    name: string | Queue,
    options: SimpleQueueOptions,
  ) {
    const { accept, serializer, buffer = false } = options;
    this.#connection = connection;
    this.#queue = name instanceof Queue ? name : simple(name, buffer);
    const [bound] = this.#queue.bindings;
    this.#producer = connection.producer<T>({
      exchange: bound?.exchange ?? "",
      routingKey: bound?.routingKey ?? this.#queue.name,
      declare: [this.#queue],
      serializer,
    });
    this.#getter = new Getter<T>(session, codecs, accept, buffer);
  }

  /** Publishes a payload to it. */
  async put(payload: T, options?: PublishOptions): Promise<void> {
    await this.#producer.publish(payload, options);
  }

  /** Takes the message whose turn it is, or `undefined` if there is none now. */
  async get(options?: OperationOptions): Promise<Message<T> | undefined> {
    return await this.#getter.get(await this.#name(options), options);
  }

  /** Counts the ready messages. */
  async size(options?: OperationOptions): Promise<number> {
    const [status] = await this.#connection.declare(this.#queue, options);
    return status?.messageCount ?? 0;
  }

  /** Removes the ready messages; returns how many. */
  async clear(options?: OperationOptions): Promise<number> {
    return await this.#getter.purge(await this.#name(options), options);
  }

  /** Waits for what is in flight, and gives back what is unsettled. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#producer[Symbol.asyncDispose]();
    await this.#getter[Symbol.asyncDispose]();
  }

  async #name(options: OperationOptions | undefined): Promise<string> {
    const [status] = await this.#connection.declare(this.#queue, options);
    if (status !== undefined) return status.name;
    throw new SettlementError("Cannot get: the queue has no name", {
      code: "message-settled",
    });
  }
}

function simple(name: string, buffer: boolean): Queue {
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
