import type { QueueStatus } from "../../model/queue.ts";
import type { Getter } from "../consume/getter.ts";
import type { Message } from "../consume/message.ts";
import type { OperationOptions } from "../operation_options.ts";
import type { Session } from "./session.ts";
import { withMeant } from "./session_errors.ts";
import { deleteEntity, purgeQueue, queueStatus } from "./tables.ts";

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

  /** Made by `connection.queue`. */
  constructor(session: Session, getter: Getter<T>, name: string) {
    this.#session = session;
    this.#getter = getter;
    this.name = name;
  }

  /**
   * Takes the message whose turn it is, or `undefined` if there is none now. It is the
   * caller's to settle.
   *
   * @throws {NotFoundError} If there is no such queue, and the broker knows.
   */
  async get(options?: OperationOptions): Promise<Message<T> | undefined> {
    return await this.#told(this.#getter.get(
      this.name,
      this.#session.call(options),
    ));
  }

  /**
   * Removes the ready messages; returns how many.
   *
   * @throws {NotFoundError} If there is no such queue, and the broker knows.
   */
  async purge(options?: OperationOptions): Promise<number> {
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
