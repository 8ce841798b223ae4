import type { QueueStatus } from "../../model/queue.ts";
import type { Getter } from "../consume/getter.ts";
import type { Message } from "../consume/message.ts";
import { OptionError, UnsupportedError } from "../../model/errors.ts";
import { quote } from "../../model/foreign_text.ts";
import { checkKnown, type KnownOptions, optionsOf } from "../known_options.ts";
import {
  MAX_PEEKED,
  PEEK,
  type PeekedMessage,
  type PeekOptions,
} from "../inspect/peeking.ts";
import { keepsMessages } from "../entities/queue_types.ts";
import { onTopology } from "./on_topology.ts";
import {
  checkCount,
  checkDelay,
  type OperationOptions,
} from "../operation_options.ts";
import type { Session } from "./session.ts";
import { withMeant } from "./session_errors.ts";
import { deleteEntity, purgeQueue, queueStatus } from "./tables.ts";

/** Options of {@linkcode QueueHandle.reschedule}. */
export interface RescheduleOptions extends OperationOptions {
  /** Milliseconds from now until it may be delivered. */
  readonly delay: number;
}

const RESCHEDULE: KnownOptions = optionsOf<RescheduleOptions>("reschedule", {
  delay: true,
  signal: true,
  timeout: true,
});

/** Options of {@linkcode QueueHandle.receive}. */
export interface ReceiveOptions extends OperationOptions {
  /** The maximum number of messages, from 1 to 1000. @default {10} */
  readonly max?: number | undefined;
  /** How long the first message is waited for where there is none, ms; 0 does not wait. @default {0} */
  readonly wait?: number | undefined;
  /** Milliseconds that each call to the broker has, beside `wait`. @default {the connection's `operationTimeout`} */
  readonly timeout?: number | undefined;
}

const RECEIVE: KnownOptions = optionsOf<ReceiveOptions>("receive", {
  max: true,
  wait: true,
  signal: true,
  timeout: true,
}, { limit: '"max"', count: '"max"', size: '"max"' });

/** So many messages are received by one call, and no more. */
const MAX_RECEIVED = 1000;

/**
 * A queue that is there, by its name: to take single messages, to count, to empty and to
 * delete. It declares nothing.
 *
 * @typeParam T The type of its messages' `payload`.
 *
 * @example Look, and empty
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createConnection, Queue } from "@dashi/mq";
 *
 * await using connection = createConnection("memory://handle");
 * await connection.send(new Queue("jobs"), { id: 1 });
 *
 * const jobs = connection.queue("jobs");
 * assertEquals((await jobs.status()).messageCount, 1);
 * assertEquals(await jobs.purge(), 1);
 * ```
 */
export class QueueHandle<T = unknown> implements AsyncDisposable {
  readonly #session: Session;
  readonly #getter: Getter<T>;
  /** Its name. */
  readonly name: string;
  /** Whether it was made of a queue of the type `stream`, from which no messages are taken. */
  readonly isStream: boolean;

  /** Made by `connection.queue`. */
  constructor(
    session: Session,
    getter: Getter<T>,
    name: string,
    isStream = false,
  ) {
    this.#session = session;
    this.#getter = getter;
    this.name = name;
    this.isStream = isStream;
  }

  /**
   * Takes the message whose turn it is, or `undefined` if there is none now. It is the
   * caller's to settle.
   *
   * @throws {NotFoundError} If there is no such queue, and the broker knows.
   * @throws {UnsupportedError} If it is known to be a stream, whose messages stay.
   */
  async get(options?: OperationOptions): Promise<Message<T> | undefined> {
    this.#refuseStream("get from");
    return await this.#told(this.#getter.get(
      this.name,
      this.#session.call(options),
    ));
  }

  /**
   * Takes the messages that are ready, and waits for the first where there is none: to pull,
   * from a request or a scheduled call, where nothing can consume all the time. Each is the
   * caller's to settle; those that are not go back when this handle, the connection or the
   * process ends. When it returns, it consumes from nothing, and has fetched no more than it
   * returned.
   *
   * @param options How many (10 where nothing is said), how long to wait for the first (0 ms), and how long its calls may take.
   * @returns The messages, in the order in which they were delivered; none where none came in time.
   * @throws {NotFoundError} If there is no such queue, and the broker knows.
   * @throws {TimeoutError} If the broker does not answer, or could not be consumed from while it waited.
   * @throws {RangeError} If `max` is no whole number from 1 to 1000, or `wait` no number of milliseconds.
   * @throws {OptionError} If an option is unknown.
   *
   * @example Take what is there
   * ```ts
   * import { assertEquals } from "@std/assert";
   * import { createConnection, Queue } from "@dashi/mq";
   *
   * await using connection = createConnection("memory://receive");
   * const producer = connection.producer({ queue: new Queue("jobs") });
   * await producer.publishAll([{ id: 1 }, { id: 2 }, { id: 3 }]);
   *
   * const jobs = connection.queue<{ id: number }>("jobs");
   * const messages = await jobs.receive({ max: 2, wait: 1000 });
   * assertEquals(messages.map(({ payload }) => payload.id), [1, 2]);
   * for (const message of messages) await message.ack();
   * ```
   */
  async receive(
    options: ReceiveOptions = {},
  ): Promise<readonly Message<T>[]> {
    checkKnown(options, RECEIVE);
    this.#refuseStream("receive from");
    const { max = 10, wait = 0, ...call } = options;
    checkCount("max", max, MAX_RECEIVED);
    checkDelay("wait", wait);
    return await this.#told(this.#getter.receive(this.name, max, wait, call));
  }

  /**
   * Looks at the ready messages whose turn comes first, and leaves them in the queue. Where
   * the broker cannot show a message without handing it out (RabbitMQ, SQS, beanstalkd), each
   * is taken for a moment and given back: `taken` of the message says so, and it counts as
   * delivered once more.
   *
   * @param options How many, 10 where nothing is said, and how long it may take.
   * @returns The messages, in the order in which they would be delivered; fewer, or none, where there are no more.
   * @throws {NotFoundError} If there is no such queue, and the broker knows.
   * @throws {RangeError} If `max` is no whole number from 1 to 1000.
   * @throws {OptionError} If an option is unknown.
   *
   * @example Look at what comes next
   * ```ts
   * import { assertEquals } from "@std/assert";
   * import { createConnection, Queue } from "@dashi/mq";
   *
   * await using connection = createConnection("memory://peek");
   * await connection.send(new Queue("jobs"), { id: 1 });
   *
   * const jobs = connection.queue<{ id: number }>("jobs");
   * const [next] = await jobs.peek({ max: 1 });
   * assertEquals(next?.payload.id, 1);
   * assertEquals(next?.taken, false);
   * assertEquals((await jobs.status()).messageCount, 1);
   * ```
   */
  async peek(
    options: PeekOptions = {},
  ): Promise<readonly PeekedMessage<T>[]> {
    checkKnown(options, PEEK);
    this.#refuseStream("peek at");
    const { max = 10, ...call } = options;
    checkCount("max", max, MAX_PEEKED);
    return await this.#told(
      this.#getter.peek(this.name, max, this.#session.call(call)),
    );
  }

  /**
   * Removes the ready messages; returns how many.
   *
   * @throws {NotFoundError} If there is no such queue, and the broker knows.
   */
  async purge(options?: OperationOptions): Promise<number> {
    this.#refuseStream("purge");
    return await purgeQueue(this.#session, this.name, options);
  }

  /**
   * Counts its ready messages and its consumers.
   *
   * @throws {NotFoundError} If there is no such queue, and the broker knows.
   */
  async status(options?: OperationOptions): Promise<QueueStatus> {
    return await queueStatus(this.#session, this.name, options);
  }

  /**
   * Cancels a message that is delayed in it: one that was published, or waits for its next
   * attempt, with a delay. It takes as long as there are delayed messages to look through.
   *
   * @param messageId The message's id.
   * @param options How long it may take.
   * @returns Whether there was one: one that is due, or was delivered, is not delayed any more.
   * @throws {UnsupportedError} If the broker lacks the capability `cancel-delayed`.
   * @throws {NotFoundError} If there is no such queue, and the broker knows.
   *
   * @example Remind nobody who has paid
   * ```ts
   * import { assertEquals } from "@std/assert";
   * import { createConnection, Queue } from "@dashi/mq";
   *
   * await using connection = createConnection("memory://reminders");
   * const reminders = new Queue("reminders");
   * await connection.send(reminders, { order: 7 }, {
   *   messageId: "order-7",
   *   delay: 24 * 3_600_000,
   * });
   * const queue = connection.queue("reminders");
   * assertEquals(await queue.reschedule("order-7", { delay: 60_000 }), true);
   * assertEquals(await queue.cancelDelayed("order-7"), true);
   * assertEquals(await queue.cancelDelayed("order-7"), false);
   * ```
   */
  async cancelDelayed(
    messageId: string,
    options?: OperationOptions,
  ): Promise<boolean> {
    return await this.#changeDelayed("cancel", messageId, undefined, options);
  }

  /**
   * Moves a message that is delayed in it to another time. Its `expiration` counts from
   * then, as before.
   *
   * @param messageId The message's id.
   * @param options When: `delay`, milliseconds from now; and how long it may take.
   * @returns As of {@linkcode QueueHandle.cancelDelayed}.
   * @throws As of {@linkcode QueueHandle.cancelDelayed}.
   * @throws {RangeError} If the delay is none.
   */
  async reschedule(
    messageId: string,
    options: RescheduleOptions,
  ): Promise<boolean> {
    checkKnown(options, RESCHEDULE);
    const { delay, ...call } = options ?? {};
    checkDelay("delay", delay);
    return await this.#changeDelayed("move", messageId, delay, call);
  }

  #refuseStream(action: string): void {
    if (this.isStream) throw keepsMessages(`${action} queue "${this.name}"`);
  }

  async #changeDelayed(
    action: string,
    messageId: string,
    delay: number | undefined,
    options: OperationOptions | undefined,
  ): Promise<boolean> {
    if (typeof messageId !== "string" || messageId === "") {
      throw new OptionError(
        `Cannot ${action} a message with the id ${
          quote(messageId)
        }: it must be the "messageId" that it was published with`,
      );
    }
    return await this.#told(
      onTopology(this.#session, options, async (channel, call) => {
        const isThere = this.#session.capabilities.has("cancel-delayed");
        if (channel.changeDelayed !== undefined && isThere) {
          return await channel.changeDelayed(this.name, messageId, delay, call);
        }
        throw new UnsupportedError(
          `Cannot ${action} a delayed message of queue "${this.name}": this broker lacks the capability "cancel-delayed"`,
        );
      }),
    );
  }

  /** Deletes it with its messages; returns how many were ready. One that is not there is none. */
  async delete(options?: OperationOptions): Promise<number> {
    return await deleteEntity(this.#session, this.name, options);
  }

  /** Gives back the unsettled messages that were taken from it. */
  async close(): Promise<void> {
    await this.#getter[Symbol.asyncDispose]();
  }

  /** Closes it. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** If the queue is not there, adds the name of another to the error that may have been meant. */
  async #told<R>(call: Promise<R>): Promise<R> {
    try {
      return await call;
    } catch (error) {
      const { declarations } = this.#session;
      throw withMeant(error, this.name, declarations.queueNames);
    }
  }
}
