import type { Binding } from "../../model/binding.ts";
import { NotFoundError } from "../../model/errors.ts";
import type { ExchangeDeclaration } from "../../model/exchange.ts";
import type { QueueStatus } from "../../model/queue.ts";
import type { QueueInfo } from "../../transports/transport.ts";
import { onTopology } from "../connection/on_topology.ts";
import type { Session } from "../connection/session.ts";
import { withMeant } from "../connection/session_errors.ts";
import { queueNameIn } from "../connection/tables.ts";
import type { Queue } from "../entities/queue.ts";
import type { OperationOptions } from "../operation_options.ts";

/** What a broker's server tells of itself; each is `undefined` where it does not tell it. */
export interface BrokerInfo {
  /** The name of its program, as `RabbitMQ` or `valkey`. */
  readonly product: string | undefined;
  /** Its version. */
  readonly version: string | undefined;
  /** Milliseconds that its clock is ahead of this machine's; behind it where it is negative. */
  readonly clockAhead: number | undefined;
  /** How far off `clockAhead` may be, ms: half the time of the answer, and half a second where the server tells whole seconds; a second on RabbitMQ, which looks at its clock once a second. */
  readonly clockError: number | undefined;
}

/**
 * Looks into a broker. With the capability `inspect` it tells of all queues of the broker;
 * without it, as of RabbitMQ where no `managementUrl` is given, of those that this
 * connection has declared: then their ready messages and their consumers are counted, and
 * nothing else is known. Exchanges and bindings are those of all processes with the
 * capabilities `inspect` and `shared-topology`, else those that this connection has declared.
 *
 * @example What is where
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createConnection, Queue } from "@dashi/mq";
 *
 * await using connection = createConnection("memory://inspect");
 * await connection.send(new Queue("jobs"), { id: 1 });
 * await connection.send(new Queue("jobs"), { id: 2 }, { delay: 60_000 });
 *
 * for await (const { name, ready, delayed } of connection.inspect().queues()) {
 *   assertEquals([name, ready, delayed], ["jobs", 1, 1]);
 * }
 * ```
 */
export class Inspector {
  readonly #session: Session;

  /** Made by `connection.inspect`. */
  constructor(session: Session) {
    this.#session = session;
  }

  /**
   * Asks the broker's server what it is, and what time it has.
   *
   * @param options How long it may take.
   * @returns What it tells: RabbitMQ and beanstalkd tell no time, SQLite neither, for its clock is this machine's, SQS no version, and a broker in this process nothing.
   *
   * @example A broker in this process
   * ```ts
   * import { assertEquals } from "@std/assert";
   * import { createConnection } from "@dashi/mq";
   *
   * await using connection = createConnection("memory://server");
   * const { version } = await connection.inspect().server();
   * assertEquals(version, undefined);
   * ```
   */
  async server(options?: OperationOptions): Promise<BrokerInfo> {
    const { clock } = this.#session;
    const call = this.#session.call(options);
    const { connection } = await this.#session.link(call);
    const before = clock.wall();
    const told = await connection.serverInfo?.(call);
    const after = clock.wall();
    const { product, version, time, timeStep = 1 } = told ?? {};
    const half = (timeStep - 1) / 2;
    return {
      product,
      version,
      clockAhead: time === undefined
        ? undefined
        : Math.round(time + half - (before + after) / 2),
      clockError: time === undefined
        ? undefined
        : Math.ceil((after - before) / 2 + half),
    };
  }

  /**
   * Lists the queues, page by page as they are asked for, in no order. It connects with the
   * first. If the connection is lost in the middle it rejects: begin again.
   *
   * @param options `signal` for all of it, and `timeout` for each page, ms.
   * @returns Each queue once.
   * @throws {OptionError} If an option is unknown.
   */
  queues(options?: OperationOptions): AsyncIterable<QueueInfo> {
    this.#session.call(options); // which refuses what is wrong, at once
    return this.#queues(options);
  }

  async *#queues(options?: OperationOptions): AsyncIterable<QueueInfo> {
    const limits = () => this.#session.call(options);
    const { connection: { inspection } } = await this.#session.link(limits());
    if (inspection !== undefined) {
      for await (const page of inspection.queues(limits)) yield* page;
      return;
    }
    for (const name of this.#session.declarations.queueNames) {
      const info = await this.#check(name, options).catch(ifThere);
      if (info !== undefined) yield info;
    }
  }

  /**
   * Looks at one queue.
   *
   * @param queue The queue, or its name.
   * @param options How long it may take.
   * @returns How it was declared, and how much is in it.
   * @throws {NotFoundError} If there is no such queue, and the broker knows.
   */
  async queue(
    queue: Queue | string,
    options?: OperationOptions,
  ): Promise<QueueInfo> {
    const call = this.#session.call(options);
    const name = queueNameIn(this.#session, queue, "inspect().queue");
    const { connection: { inspection } } = await this.#session.link(call);
    try {
      if (inspection === undefined) return await this.#check(name, options);
      return await inspection.queue(name, call).catch((error) => {
        if (!(error instanceof NotFoundError)) throw error;
        // An ordered queue is several on RabbitMQ, whose channels know it as one.
        return this.#check(name, options);
      });
    } catch (error) {
      throw withMeant(error, name, this.#session.declarations.queueNames);
    }
  }

  /**
   * Lists the exchanges: their types, and how they were declared. The predeclared `amq.…`
   * are among them where the broker tells of them. Of one that only another program has
   * declared, Kombu on Redis or MongoDB, the type is guessed by its bindings.
   *
   * @param options How long it may take.
   * @returns Each exchange once, in no order.
   */
  async exchanges(
    options?: OperationOptions,
  ): Promise<readonly ExchangeDeclaration[]> {
    const call = this.#session.call(options);
    const { connection: { inspection } } = await this.#session.link(call);
    if (inspection !== undefined) return await inspection.exchanges(call);
    const known = new Map(
      this.#session.declarations.exchanges.map((each) => [each.name, each]),
    );
    const found: ExchangeDeclaration[] = [];
    for (const each of known.values()) {
      const isThere = await onTopology(
        this.#session,
        options,
        (channel, limits) => channel.checkExchange(each.name, limits),
      ).then(() => true, ifThere);
      if (isThere !== true) continue;
      const { name, type, durable, autoDelete, internal } = each;
      const { arguments: table } = each;
      found.push({
        name,
        type,
        durable,
        autoDelete,
        internal,
        arguments: table,
      });
    }
    return found;
  }

  /**
   * Lists the bindings of queues and of exchanges to exchanges. Those of each queue to the
   * default exchange, which nobody has made, are not among them.
   *
   * @param options How long it may take.
   * @returns Each binding once, in no order.
   */
  async bindings(options?: OperationOptions): Promise<readonly Binding[]> {
    const call = this.#session.call(options);
    const { connection: { inspection } } = await this.#session.link(call);
    return inspection === undefined
      ? this.#session.declarations.bindings
      : await inspection.bindings(call);
  }

  /** What a passive declare tells. */
  async #check(name: string, options?: OperationOptions): Promise<QueueInfo> {
    const { messageCount, consumerCount }: QueueStatus = await onTopology(
      this.#session,
      options,
      (channel, call) => channel.checkQueue(name, call),
    );
    const known = this.#session.declarations.queueOf(name);
    return {
      name,
      declaration: known && {
        name,
        durable: known.durable,
        exclusive: known.exclusive,
        autoDelete: known.autoDelete,
        arguments: known.arguments,
      },
      ready: messageCount,
      delayed: undefined,
      unacked: undefined,
      consumers: consumerCount,
      oldestAge: undefined,
      bytes: undefined,
    };
  }
}

/** Passes over what is not there any more. */
function ifThere(error: unknown): undefined {
  if (!(error instanceof NotFoundError)) throw error;
}
