import type { Session } from "../connection/session.ts";
import type { Entity } from "../entities/entities.ts";
import { Exchange } from "../entities/exchange.ts";
import { Queue } from "../entities/queue.ts";
import { declareFirst } from "./declare_first.ts";
import type { ProducerOptions, PublishOptions } from "./producer_options.ts";
import type { PublishCall } from "./publish_call.ts";
import {
  checkTransaction,
  notDeclared,
  refuseBeside,
} from "./transactional.ts";

/** A queue whose name the broker has not chosen yet. */
export const UNKNOWN: unique symbol = Symbol("unknown");

/** The exchanges and queues that a producer's messages need, and whether they are declared. */
export class Needs {
  readonly #session: Session;
  /** For each of its messages. */
  readonly #declare: readonly Entity[];

  /** Makes those of a producer. */
  constructor(
    session: Session,
    { exchange, queue, declare = [] }: ProducerOptions,
  ) {
    this.#session = session;
    const own = exchange instanceof Exchange ? exchange : queue;
    this.#declare = own === undefined || typeof own === "string"
      ? declare
      : [own, ...declare];
  }

  /** Whether nothing is to be declared for a message. */
  areMet({ exchange, declare, transaction }: PublishOptions): boolean {
    return transaction !== undefined ||
      (this.#areDeclared(this.#declare) &&
        (declare === undefined || this.#areDeclared(declare)) &&
        (!(exchange instanceof Exchange) ||
          this.#session.declarations.has(exchange)));
  }

  /** Declares what a message needs. */
  async declare(options: PublishOptions, call: PublishCall): Promise<void> {
    await declareFirst(this.#session, this.#entitiesOf(options), call);
  }

  /** The name of the queue for replies. */
  replyTo(
    replyTo: Queue | string | undefined,
  ): string | undefined | typeof UNKNOWN {
    if (!(replyTo instanceof Queue)) return replyTo;
    return this.#session.declarations.nameOf(replyTo) ?? UNKNOWN;
  }

  /** Nothing is done for a message beside its transaction, which may hold what that would wait for. */
  checkTransaction(options: PublishOptions): void {
    checkTransaction(options.transaction, this.#session);
    refuseBeside(options);
    // It is looked for there: what was declared before a loss may not be again, yet.
    const { declarations } = this.#session;
    const missing = this.#entitiesOf(options).find((each) =>
      !(declarations.knows(each) || declarations.needs(each)) ||
      (each === options.replyTo && this.replyTo(each) === UNKNOWN)
    );
    if (missing !== undefined) throw notDeclared(missing);
  }

  #entitiesOf({ exchange, declare, replyTo }: PublishOptions): Entity[] {
    const entities: Entity[] = [...this.#declare, ...declare ?? []];
    if (exchange instanceof Exchange) entities.push(exchange);
    if (replyTo instanceof Queue) entities.push(replyTo);
    return entities;
  }

  #areDeclared(entities: readonly Entity[]): boolean {
    const { declarations } = this.#session;
    for (const each of entities) if (!declarations.has(each)) return false;
    return true;
  }
}
