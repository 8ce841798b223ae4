import type { QueueStatus } from "../../model/queue.ts";
import { Exchange } from "../entities/exchange.ts";
import { Getter } from "./getter.ts";
import { checkKnown, type KnownOptions, optionsOf } from "../known_options.ts";
import type { Message } from "./message.ts";
import type { Call, OperationOptions } from "../operation_options.ts";
import type { Producer } from "../publish/producer.ts";
import type {
  ProducerOptions,
  PublishOptions,
} from "../publish/producer_options.ts";
import type { Decoding } from "./reading.ts";
import { Queue } from "../entities/queue.ts";
import type { Session } from "../connection/session.ts";

/** Options of `connection.simpleQueue` and `connection.simpleBuffer`. */
export interface SimpleQueueOptions {
  /** The content types to read. @default {JSON, plain text and bytes} */
  readonly accept?: readonly string[] | undefined;
  /** How payloads are written. */
  readonly serializer?: string | undefined;
  /** The compression of bodies. */
  readonly compression?: string | undefined;
  /** Whether it is transient, and takes messages as settled. @default {false} */
  readonly buffer?: boolean | undefined;
}

const SIMPLE_QUEUE: KnownOptions = optionsOf<SimpleQueueOptions>(
  "connection.simpleQueue",
  {
    accept: "array",
    serializer: "string",
    compression: "string",
    buffer: "boolean",
  },
);

/**
 * A queue as a pair of `put` and `get`, for when exchanges are too much: a direct
 * exchange and a queue of the same name, as Kombu's SimpleQueue has them.
 *
 * @typeParam T The type of its payloads.
 *
 * @example Put and get
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createConnection } from "@dashi/mq";
 *
 * await using connection = createConnection("memory://simple");
 * const queue = connection.simpleQueue<string>("names");
 * await queue.put("Ada");
 * const message = await queue.get({ timeout: 5000 }); // waits for one
 * assertEquals(message.payload, "Ada");
 * await message.ack();
 * ```
 */
export class SimpleQueue<T = unknown> implements AsyncDisposable {
  readonly #session: Session;
  readonly #settings: SimpleQueueSettings<T>;
  readonly #getter: Getter<T>;
  #parts: Parts<T> | undefined;

  /** Made by `connection.simpleQueue`. */
  constructor(
    session: Session,
    settings: SimpleQueueSettings<T>,
    getter: Getter<T>,
  ) {
    this.#session = session;
    this.#settings = settings;
    this.#getter = getter;
  }

  /** Publishes a payload to it. */
  async put(payload: T, options?: PublishOptions): Promise<void> {
    const { timeout, signal } = options ?? {};
    const { producer } = await this.#open(
      this.#session.call({ timeout, signal }),
    );
    await producer.publish(payload, options);
  }

  /**
   * Takes the message whose turn it is, and waits for it where there is none: as long as
   * `timeout` says, and without it as long as any call may take, 30 s unless the
   * connection's `operationTimeout` says otherwise. `timeout: Infinity` waits without end.
   *
   * @throws {TimeoutError} If none came in time.
   * @throws {ClosedError} If it was closed meanwhile.
   */
  async get(options?: OperationOptions): Promise<Message<T>> {
    const began = this.#session.clock.now();
    const call = this.#session.call(options);
    return await this.#getter.told(this.#name, async () => {
      const { queue } = await this.#open(call);
      const { name } = await this.#declare(call);
      return await this.#getter.next(queue, name, call, began);
    });
  }

  /** Takes the message whose turn it is, or `undefined` if there is none now. */
  async getNoWait(options?: OperationOptions): Promise<Message<T> | undefined> {
    const call = this.#session.call(options);
    const [message] = await this.#getter.told(this.#name, async () => {
      const { name } = await this.#declare(call);
      return await this.#getter.some(name, 1, call);
    });
    return message;
  }

  /** Counts the ready messages. */
  async size(options?: OperationOptions): Promise<number> {
    return (await this.#declare(this.#session.call(options))).messageCount;
  }

  /** Removes the ready messages; returns how many. */
  async clear(options?: OperationOptions): Promise<number> {
    const call = this.#session.call(options);
    const { name } = await this.#declare(call);
    return await this.#getter.purge(name, call);
  }

  /** Closes it. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Waits for publishes in flight, and gives back unsettled messages. */
  async close(): Promise<void> {
    await this.#parts?.producer.close();
    await this.#getter[Symbol.asyncDispose]();
  }

  /** As it was given: the broker's own name of it is known when it has been declared. */
  get #name(): string {
    const { name } = this.#settings;
    return typeof name === "string" ? name : name.name;
  }

  async #declare(call: Call): Promise<QueueStatus> {
    const { queue } = await this.#open(call);
    const [status] = await this.#session.declare([queue], () => call);
    if (status !== undefined) return status;
    throw new TypeError("Cannot use a simple queue: it was made of no queue");
  }

  /** A buffer is the connection's own where the broker has such queues: SQS has none. */
  async #open(call: Call): Promise<Parts<T>> {
    if (this.#parts !== undefined) return this.#parts;
    const { name, buffer, producerFor } = this.#settings;
    let queue = name;
    if (typeof queue === "string") {
      const exclusive = buffer && await this.#mayBeExclusive(call);
      queue = simpleQueueOf(queue, buffer, exclusive);
    }
    return this.#parts ??= { queue, producer: producerFor(queue) };
  }

  async #mayBeExclusive(call: Call): Promise<boolean> {
    const { connection } = await this.#session.link(call);
    return connection.capabilities.has("exclusive");
  }
}

interface Parts<T> {
  readonly queue: Queue;
  readonly producer: Producer<T>;
}

/** The settings of a simple queue, made when the capabilities of its broker are known. */
export interface SimpleQueueSettings<T> {
  readonly name: string | Queue;
  /** Whether it is transient, and the connection's own. */
  readonly buffer: boolean;
  producerFor(queue: Queue): Producer<T>;
}

/**
 * Makes the queue of a simple queue, and its exchange.
 *
 * @param name The name of both.
 * @param buffer Whether both are transient, and go when nobody uses them.
 * @param exclusive Whether the queue is the connection's own.
 * @returns The queue, bound to its exchange by its name.
 */
function simpleQueueOf(
  name: string,
  buffer: boolean,
  exclusive: boolean,
): Queue {
  const exchange = new Exchange(name, {
    durable: !buffer,
    autoDelete: buffer,
  });
  return new Queue(name, {
    exchange,
    routingKey: name,
    durable: !buffer,
    exclusive,
    autoDelete: buffer,
  });
}

/**
 * Makes a simple queue.
 *
 * @typeParam T The type of its payloads.
 * @param session The session.
 * @param decoding How bodies are read.
 * @param makeProducer Makes a producer of the connection.
 * @param name Its name, or the queue that it is to be.
 * @param options How it is otherwise.
 * @returns The simple queue.
 */
export function makeSimpleQueue<T>(
  session: Session,
  decoding: Decoding,
  makeProducer: (options: ProducerOptions) => Producer<T>,
  name: string | Queue,
  options: SimpleQueueOptions,
): SimpleQueue<T> {
  checkKnown(options, SIMPLE_QUEUE);
  const { accept, serializer, compression, buffer = false } = options;
  const producerFor = (queue: Queue) => {
    const [bound] = queue.bindings;
    return makeProducer({
      exchange: bound?.exchange ?? "",
      routingKey: bound?.routingKey ?? queue.name,
      declare: [queue],
      serializer,
      compression,
    });
  };
  const getter = new Getter<T>(session, decoding, accept, buffer);
  return new SimpleQueue<T>(session, { name, buffer, producerFor }, getter);
}
