import { type CodecRegistry, createCodecRegistry } from "../../codec/mod.ts";
import { SYSTEM_CLOCK } from "../../async/clock.ts";
import { ClosedError } from "../../model/errors.ts";
import type { QueueStatus } from "../../model/queue.ts";
import type {
  Capability,
  Channel,
  NativeClient,
} from "../../transports/transport.ts";
import {
  AS_URI,
  type AsUriOptions,
  CLOSE,
  type CloseOptions,
  type ConnectionInfo,
  infoOf,
} from "./connection_info.ts";
import type { ConnectionHealth } from "./connection_health.ts";
import { checkOptions, type ConnectionOptions } from "./connection_options.ts";
import type { ConnectionEvent, ConnectionState } from "./connection_state.ts";
import type { Consumer } from "../consume/consumer.ts";
import type { ConsumerOptions } from "../consume/consumer_options.ts";
import { checkEntities, type Entity, isList } from "../entities/entities.ts";
import { type Endpoint, formatEndpoint, readEndpoints } from "./endpoint.ts";
import { watch } from "./events.ts";
import type { Exchange, ExchangeBinding } from "../entities/exchange.ts";
import { Failover } from "./failover.ts";
import { checkKnown } from "../known_options.ts";
import {
  checkDuration,
  checkLimits,
  limitsOf,
  type OperationOptions,
} from "../operation_options.ts";
import { Inspector } from "../inspect/inspector.ts";
import type { PublishOrigin } from "../middleware/hooks.ts";
import type { MiddlewareInput } from "../middleware/middleware.ts";
import { nativeOf } from "./native.ts";
import { OwnChannel } from "./own_channel.ts";
import { ConnectionPool, type Home, type PoolOptions } from "./pool.ts";
import type { Producer } from "../publish/producer.ts";
import {
  type ProducerOptions,
  PUBLISH,
  type Published,
  type SendOnceOptions,
  type SendOptions,
  type TypedTarget,
} from "../publish/producer_options.ts";
import { Quarantine } from "./quarantine.ts";
import { Queue, queueName } from "../entities/queue.ts";
import type { QueueHandle } from "./queue_handle.ts";
import type { Redriven, RedriveOptions } from "./redrive.ts";
import type { PayloadSchema } from "../entities/schema.ts";
import type { RequestOptions } from "../reply/request_options.ts";
import type {
  ScheduleInfo,
  ScheduleOptions,
  ScheduleTableOptions,
  UnscheduleOptions,
} from "../schedule/schedule_options.ts";
import type { When } from "../schedule/when.ts";
import { Session } from "./session.ts";
import {
  checkEntity,
  deleteEntity,
  type DeleteEntityOptions,
  purgeQueue,
  queueStatus,
  unbindEntity,
} from "./tables.ts";
import type { UrlInput } from "./url_input.ts";
import { Users } from "./users.ts";
import type {
  SimpleQueue,
  SimpleQueueOptions,
} from "../consume/simple_queue.ts";
import { inspectBy } from "../inspect_by.ts";

/** How long what is held may take to go back when its handlers have used up their time, ms. */
const CLOSING = 1000;

/** What of a connection other rooms of the library use. */
export let insideOf: (connection: Connection) => {
  readonly session: Session;
  readonly codecs: CodecRegistry;
  /** Makes a producer for what the library publishes for a user. */
  producer(options: ProducerOptions, origin: PublishOrigin): Producer;
};

/**
 * A connection to a broker. It connects with the first operation that needs it, and
 * again when it was lost. Make one with `createConnection`.
 *
 * @example Opened by its first use
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createConnection, Queue } from "@dashi/mq";
 *
 * await using connection = createConnection("memory://shop");
 * assertEquals(connection.connected, false);
 * await connection.send(new Queue("orders"), { id: 1 });
 * assertEquals(connection.connected, true);
 * ```
 */
export class Connection implements AsyncDisposable {
  static {
    insideOf = (each) => ({
      session: each.#session,
      codecs: each.#options.codecs ?? createCodecRegistry(),
      producer: (options, origin) => {
        each.#requireOpen("make a producer");
        return each.#users.producer(options, origin);
      },
    });
    inspectBy(
      this.prototype,
      (each) => `Connection { ${each.asUri()} ${each.state.type} }`,
    );
  }

  readonly #input: UrlInput;
  readonly #options: ConnectionOptions;
  readonly #endpoints: readonly Endpoint[];
  readonly #home: Home<Connection> | undefined;
  readonly #session: Session;
  readonly #users: Users;
  /** How many of its middlewares it has from the connection that it is like. */
  readonly #inherited: number;
  #closing: Promise<void> | undefined;

  /** Made by `createConnection`, `clone` and pools. */
  constructor(
    input: UrlInput,
    options: ConnectionOptions,
    home?: Home<Connection>,
    middlewares: readonly MiddlewareInput[] = [],
  ) {
    checkOptions(options);
    this.#input = input;
    this.#options = options;
    this.#home = home;
    this.#endpoints = readEndpoints(input, options);
    const standIn = this.#endpoints[0]?.standIn;
    const { clock = SYSTEM_CLOCK, random = Math.random } = standIn ?? {};
    this.#session = new Session({
      failover: new Failover(
        this.#endpoints,
        options.failoverStrategy ?? "round-robin",
        Math.random,
      ),
      reconnect: options.reconnect ?? {},
      clock,
      random,
      name: options.name,
      onUnhandled: options.onUnhandled,
    });
    this.#users = new Users(this.#session, options);
    this.#inherited = middlewares.length;
    for (const each of middlewares) this.#session.uses.add(each, this);
    standIn?.made(this, middlewares.length > 0);
  }

  /** Whether it is connected now. */
  get connected(): boolean {
    return this.#session.open !== undefined;
  }

  /** The state of the connection. */
  get state(): ConnectionState {
    return this.#session.state;
  }

  /** The capabilities of the broker; empty until it has been connected once. */
  get capabilities(): ReadonlySet<Capability> {
    return this.#session.capabilities;
  }

  /**
   * Connects, if it is not connected.
   *
   * @throws {AuthenticationError} If the broker does not know the credentials.
   * @throws {ConnectionError} If no broker could be reached within `connectTimeout`, which begins when the client is imported.
   * @throws {TimeoutError} If a `timeout` that was given is over.
   */
  async connect(options?: OperationOptions): Promise<void> {
    await this.#session.link(
      limitsOf(options, this.#session.clock, Infinity),
      options?.timeout === undefined,
    );
  }

  /**
   * Opens a channel of your own, for verbs that have no call here: AMQP's verbs themselves.
   * It ends with the connection that it was opened on, and is not opened again. A queue or
   * exchange that is deleted by it does not come back with the next connection; one that is
   * declared by it is not declared again.
   */
  async channel(options?: OperationOptions): Promise<Channel> {
    const call = this.#session.call(options);
    const { connection } = await this.#session.link(call);
    const channel = await connection.openChannel(call);
    return new OwnChannel(channel, this.#session.declarations);
  }

  /**
   * Hands out the client underneath, for features that have no call here: ioredis, amqplib's
   * connection, `MongoClient`, `SQSClient`. Each transport's entry point says what its
   * client may be used for, and what it must not touch. It connects first; a lost
   * connection has another client afterwards, so ask for it where you need it.
   *
   * @example The client of a Redis connection
   * ```ts ignore needs Redis
   * import { createConnection } from "@dashi/mq";
   * import { nativeClient } from "@dashi/mq/redis";
   *
   * await using connection = createConnection("redis://localhost");
   * const redis = await connection.native(nativeClient);
   * await redis.incr("visits");
   * ```
   *
   * @typeParam T The client.
   * @throws {UnsupportedError} If the connection has another client, or none.
   */
  native<T>(wanted: NativeClient<T>, options?: OperationOptions): Promise<T> {
    return nativeOf(this.#session, wanted, options);
  }

  /**
   * Has messages pass a middleware from the next call on, of producers, consumers and
   * requests that are there too. Of several the one that was used first is the outermost.
   * A pooled connection that is given back keeps those of its pool alone.
   *
   * @param middleware The middleware, or a function that makes one for each connection that uses it: this one, and those of its pools and its clones.
   * @returns The connection.
   * @throws {OptionError} If it has no hook, or something else.
   */
  use(middleware: MiddlewareInput): this {
    this.#requireOpen("use a middleware");
    this.#session.uses.add(middleware, this);
    return this;
  }

  /**
   * Declares a queue with its bindings, and again on every new connection.
   *
   * @returns Its status.
   * @throws {PreconditionFailedError} If the broker has one otherwise.
   */
  declare(queue: Queue, options?: OperationOptions): Promise<QueueStatus>;
  /** Declares an exchange with its bindings, and again on every new connection. */
  declare(exchange: Exchange, options?: OperationOptions): Promise<void>;
  /**
   * Declares exchanges and queues with their bindings, and again on every new
   * connection: many at once, the exchanges before the queues. Without a `timeout` each of
   * them has the connection's `operationTimeout`; a `timeout` is for all together.
   *
   * @returns The status of each queue among them, in order.
   * @throws The error of the first that failed: no further one is begun then, and those that were begun may be there.
   */
  declare(
    entities: readonly Entity[],
    options?: OperationOptions,
  ): Promise<readonly QueueStatus[]>;
  async declare(
    given: Entity | readonly Entity[],
    options?: OperationOptions,
  ): Promise<QueueStatus | readonly QueueStatus[] | void> {
    const call = this.#session.call(options);
    const entities = isList(given) ? given : [given];
    checkEntities(entities, "connection.declare");
    const statuses = await this.#session.declare(
      entities,
      () => options?.timeout === undefined ? this.#session.call(options) : call,
    );
    return isList(given) ? statuses : statuses[0];
  }

  /**
   * Deletes a queue, given itself or by its name, or an exchange. It does not come back
   * with the next connection. An entity that is not there is deleted already.
   *
   * @returns How many ready messages went with it.
   * @throws {PreconditionFailedError} If it is used, with `ifUnused`, or has messages, with `ifEmpty`.
   */
  async delete(
    entity: Queue | Exchange | string,
    options?: DeleteEntityOptions,
  ): Promise<number> {
    return await deleteEntity(this.#session, entity, options);
  }

  /**
   * Removes the ready messages of a queue.
   *
   * @returns How many.
   * @throws {NotFoundError} If there is no such queue, and the broker knows.
   */
  async purge(
    queue: Queue | string,
    options?: OperationOptions,
  ): Promise<number> {
    return await purgeQueue(this.#session, queue, options);
  }

  /**
   * Looks whether a queue, given itself or by its name, or an exchange is there, and
   * declares nothing: AMQP's passive declare.
   *
   * @throws {NotFoundError} If it is not, and the broker knows.
   */
  async check(
    entity: Queue | Exchange | string,
    options?: OperationOptions,
  ): Promise<void> {
    await checkEntity(this.#session, entity, options);
  }

  /**
   * Counts the ready messages and the consumers of a queue.
   *
   * @throws {NotFoundError} If there is no such queue, and the broker knows.
   */
  async queueStatus(
    queue: Queue | string,
    options?: OperationOptions,
  ): Promise<QueueStatus> {
    return await queueStatus(this.#session, queue, options);
  }

  /**
   * Removes a binding of a queue, given itself or by its name, or of an exchange. It does
   * not come back with the next connection; one that is not there is removed already.
   *
   * @param entity The entity that messages no longer go to.
   * @param from The exchange and the key, as {@linkcode binding} makes them.
   * @param options How long it may take.
   */
  async unbind(
    entity: Queue | Exchange | string,
    from: ExchangeBinding,
    options?: OperationOptions,
  ): Promise<void> {
    await unbindEntity(this.#session, entity, from, options);
  }

  /** Makes a producer, of the type of its queue or exchange. Nothing is sent or declared yet. */
  producer<T>(options: ProducerOptions<T> & TypedTarget<T>): Producer<T>;
  /** Makes a producer of a type that is named, or of any. */
  producer<T = unknown>(options?: ProducerOptions): Producer<T>;
  producer<T>(options: ProducerOptions = {}): Producer<T> {
    this.#requireOpen("make a producer");
    return this.#users.producer<T>(options);
  }

  /**
   * Makes a consumer, of its schema's type. It starts with the first `for await` or `run`.
   * A `Queue` is declared then; by its name alone it must be there.
   */
  consumer<T>(
    queues: Queue | string | readonly (Queue | string)[],
    options: ConsumerOptions<T> & { schema: PayloadSchema<T> },
  ): Consumer<T>;
  /** Makes a consumer, of its queue's type. */
  consumer<T>(queue: Queue<T>, options?: ConsumerOptions<T>): Consumer<T>;
  /** Makes a consumer of a type that is named, or of `unknown`. */
  consumer<T = unknown>(
    queues: Queue | string | readonly (Queue | string)[],
    options?: ConsumerOptions<T>,
  ): Consumer<T>;
  consumer<T>(
    queues: Queue | string | readonly (Queue | string)[],
    options: ConsumerOptions<T> = {},
  ): Consumer<T> {
    this.#requireOpen("make a consumer");
    const list = Array.isArray(queues) ? queues : [queues];
    return this.#users.consumer(list, options);
  }

  /** Makes a queue to put to and get from, durable, with an exchange of the same name. */
  simpleQueue<T = unknown>(
    name: string | Queue,
    options: SimpleQueueOptions = {},
  ): SimpleQueue<T> {
    this.#requireOpen("make a simple queue");
    return this.#users.simpleQueue<T>(name, options);
  }

  /**
   * Makes a queue to put to and get from that goes with this connection: transient, and
   * without acks. On brokers without exclusive queues, as SQS, it stays, and others who
   * name it share it, as in Kombu.
   */
  simpleBuffer<T = unknown>(
    name: string | Queue,
    options: SimpleQueueOptions = {},
  ): SimpleQueue<T> {
    return this.simpleQueue<T>(name, { ...options, buffer: true });
  }

  /**
   * Publishes one message to a queue. A `Queue` is declared first; by its name alone it
   * must be there.
   *
   * @throws As of {@linkcode Producer.publish}.
   */
  send<T = unknown>(
    queue: Queue<T> | string,
    payload: T,
    options: SendOnceOptions,
  ): Promise<Published>;
  /** The same without `dedupe`: nothing more is to be told. */
  send<T = unknown>(
    queue: Queue<T> | string,
    payload: T,
    options?: SendOptions,
  ): Promise<void>;
  async send<T = unknown>(
    queue: Queue<T> | string,
    payload: T,
    options: SendOptions = {},
  ): Promise<void | Published> {
    this.#requireOpen("send");
    const { sender } = this.#users;
    if (options === null) checkKnown(options, PUBLISH); // which refuses it
    const { signal, timeout } = options;
    const name = queue instanceof Queue && queue.name === ""
      ? (await this.declare(queue, { signal, timeout })).name
      : queueName(queue);
    return await sender.publish(payload, {
      ...options,
      exchange: "",
      routingKey: name,
      ...(queue instanceof Queue ? { declare: [queue] } : {}),
    });
  }

  /**
   * Publishes a request, and waits for its answer, from a consumer that serves there with
   * {@linkcode Consumer.serve}. The request expires in its queue with its deadline; an
   * answer that comes later is dropped and counted in `health()`. Over a lost connection it
   * is published again, under the same message id: the handler may be called twice.
   *
   * @typeParam A The type of the answer.
   * @throws {RemoteError} If the handler has thrown: with the name, message and code of that.
   * @throws {UnroutableError} If nobody has such a queue, where the broker knows.
   * @throws {TimeoutError} If there is no answer in time; `outcome` says whether the request may have been handled.
   * @throws {DecodeError} If the answer cannot be read, or its schema refuses it.
   * @throws {ClosedError} If the connection is closed meanwhile.
   */
  async request<A = unknown>(
    payload: unknown,
    options: RequestOptions<A>,
  ): Promise<A> {
    this.#requireOpen("request");
    return await this.#users.requester.request<A>(payload, options);
  }

  /**
   * Publishes a message with each tick of a clock. The schedule is stored at the broker, and
   * one of the processes that take part in its table publishes the ticks; if that is killed,
   * another goes on. Each tick is published at least once: a kill between two steps publishes
   * it again, under the same message id, which is made of the schedule's name and the tick:
   * `nightly@2026-11-29T02:00:00.000Z`. A broker without `persistence` forgets schedules with
   * a restart.
   *
   * Another definition under the same name changes the schedule; an equal one changes nothing.
   *
   * @typeParam T The type of the payload.
   * @param name Its name in its table.
   * @param when A cron expression, in a time zone, or an interval in milliseconds.
   * @param options The payload, the queue or exchange that it goes to, and its properties.
   * @returns The schedule that holds, when a process has it: another than this one, if that has a higher version, or it was removed.
   * @throws {OptionError} If the expression, the time zone, or an option is bad.
   * @throws {RangeError} If the priority or the expiration is out of range.
   * @throws {EncodeError} If the payload cannot be written.
   * @throws {TimeoutError} If no process has taken it in time.
   * @throws {ClosedError} If the connection is closed.
   *
   * @example Every night
   * ```ts
   * import { assertEquals } from "@std/assert";
   * import { createConnection, Queue } from "@dashi/mq";
   *
   * await using connection = createConnection("memory://nights");
   * const nightly = await connection.schedule(
   *   "nightly",
   *   { cron: "0 2 * * *", timezone: "Europe/Berlin" },
   *   { queue: new Queue("reports"), payload: { kind: "all" } },
   * );
   * assertEquals(nightly.next?.getUTCMinutes(), 0);
   * assertEquals(await connection.unschedule("nightly"), true);
   * ```
   */
  async schedule<T = unknown>(
    name: string,
    when: When,
    options: ScheduleOptions<T>,
  ): Promise<ScheduleInfo> {
    this.#requireOpen("schedule");
    return await this.#users.scheduler.schedule(name, when, options);
  }

  /**
   * Lists the schedules of a table, by their names: those of all processes.
   *
   * @param options The table.
   * @returns The schedules, in the order of their names.
   * @throws {OptionError} If an option is bad.
   * @throws {TimeoutError} If the process that holds them has not answered in time.
   * @throws {ClosedError} If the connection is closed.
   */
  async schedules(
    options?: ScheduleTableOptions,
  ): Promise<readonly ScheduleInfo[]> {
    this.#requireOpen("list schedules");
    return await this.#users.scheduler.list(options);
  }

  /**
   * Removes a schedule, for all processes. A process that gives the same version again does
   * not bring it back; a higher `version` does.
   *
   * @param name Its name in its table.
   * @param options The table, and the version up to which it is removed.
   * @returns Whether there was one.
   * @throws {OptionError} If an option is bad.
   * @throws {TimeoutError} If the process that holds it has not answered in time.
   * @throws {ClosedError} If the connection is closed.
   */
  async unschedule(
    name: string,
    options?: UnscheduleOptions,
  ): Promise<boolean> {
    this.#requireOpen("unschedule");
    return await this.#users.scheduler.unschedule(name, options);
  }

  /** A queue, or one by its name: to take single messages, to count, to empty, to delete. Nothing is declared. */
  queue<T = unknown>(queue: Queue<T> | string): QueueHandle<T> {
    this.#requireOpen("look at a queue");
    return this.#users.queue(queue);
  }

  /**
   * Puts the dead letters of a queue back to where they came from: each is published, and
   * only then acked, up to 100 at once. If the process is killed meanwhile, those may be in
   * both queues. They begin anew, without the headers that tell of their deaths and
   * attempts. A message that names no queue as its origin stays.
   *
   * @throws {NotFoundError} If there is no such queue, and the broker knows.
   * @throws {UnroutableError} If the queue `to` is not there.
   * @throws {EncodeError | RangeError | TypeError | PublishError} If one cannot be written again, or is too large there: it stays, and the others are put back.
   * @throws What `filter` throws: what was taken goes back then.
   * @throws The reason of `signal`, when what has begun is done, and the others are back.
   *
   * @example Those of one customer, ten in a second at most
   * ```ts
   * import { assertEquals } from "@std/assert";
   * import { createConnection, Queue } from "@dashi/mq";
   *
   * await using connection = createConnection("memory://redrive");
   * await connection.declare([new Queue("orders"), new Queue("orders.failed")]);
   * for (const customer of ["ann", "bob"]) {
   *   await connection.send("orders.failed", {}, { headers: { customer } });
   * }
   * const { moved } = await connection.redrive("orders.failed", {
   *   to: "orders",
   *   filter: ({ headers }) => headers.customer === "ann",
   *   rateLimit: { limit: 10, interval: 1000 },
   * });
   * assertEquals(moved, 1);
   * ```
   */
  async redrive(
    from: Queue | string,
    options: RedriveOptions = {},
  ): Promise<Redriven> {
    this.#requireOpen("redrive");
    return await this.#users.redrive(from, options);
  }

  /** The messages of a queue that could not be read, or not be written again: to list them, and to put them back. */
  quarantine(queue: Queue | string): Quarantine {
    return new Quarantine(this.#session, queueName(queue));
  }

  /** Looks into the broker: at its queues, exchanges and bindings. Nothing is changed. */
  inspect(): Inspector {
    this.#requireOpen("inspect");
    return new Inspector(this.#session);
  }

  /** Makes a pool of connections like this one, with the middlewares that it uses now. */
  pool(options: PoolOptions = {}): ConnectionPool<Connection> {
    const { given } = this.#session.uses;
    return new ConnectionPool(
      (home) => new Connection(this.#input, this.#options, home, given),
      options,
      this.#session.clock,
    );
  }

  /** Makes another connection like this one, not connected, with some options changed, and the middlewares that this one uses now. */
  clone(options: Partial<ConnectionOptions> = {}): Connection {
    return new Connection(
      this.#input,
      { ...this.#options, ...options },
      undefined,
      this.#session.uses.given,
    );
  }

  /**
   * Says how it is, with its consumers, and what keeps its process from ending, by what the
   * process knows: nothing is asked of the broker. A probe of Kubernetes answers by `live`,
   * `ready` and `reason`.
   */
  health(): ConnectionHealth {
    return this.#users.health(this.#closing !== undefined);
  }

  /** Tells what happens to it from now on; the loop ends when it is closed. */
  events(options: OperationOptions = {}): AsyncIterable<ConnectionEvent> {
    return watch(this.#session, options);
  }

  /** Its URL, complete, for people: the password is masked unless asked for. */
  asUri(options: AsUriOptions = {}): string {
    checkKnown(options, AS_URI);
    return formatEndpoint(this.#session.endpoint, options);
  }

  /** The address of the connection, with all defaults filled in; no password. */
  info(): ConnectionInfo {
    return infoOf(
      this.#session.endpoint,
      this.#endpoints,
      this.#options.name,
      this.#session.open?.connection.peer?.(),
    );
  }

  /** The URL of a queue, where the broker's queues have such, as those of SQS, as far as it is known by now; nothing is asked. */
  queueUrl(queue: string): string | undefined {
    return this.#session.open?.connection.queueUrl?.(queue);
  }

  /** As `asUri`. */
  toString(): string {
    return this.asUri();
  }
  /** As `asUri`. */
  toJSON(): string {
    return this.asUri();
  }

  /**
   * Closes it for good, in order: consumers take no more, give back what nobody has begun
   * with, and wait for their handlers; producers wait for what they have in flight; what
   * is still unsettled goes back. Closing again does nothing. It always returns, within
   * `drainTimeout`, or, where handlers have used up all of that, a second later if the broker
   * does not answer (5 % of it if that is more, and no more than it). Without one it does not
   * wait for messages that a broker which is `blocked` takes none of: they reject, their
   * outcome unknown. A handler of `run` does not
   * wait for itself: a call before its first `await` resolves at once, and the connection is
   * closed when the handlers have ended.
   */
  close(options: CloseOptions = {}): Promise<void> {
    checkKnown(options, CLOSE);
    const { drainTimeout } = options;
    if (drainTimeout !== undefined) checkDuration("drainTimeout", drainTimeout);
    this.#home?.strikeOff(this);
    const closing = this.#closing ??= this.#close(drainTimeout);
    return this.#session.handling === undefined ? closing : Promise.resolve();
  }

  /** Gives it back to its pool, without the producers and consumers that were made on it; one that belongs to none is closed. */
  async release(options?: OperationOptions): Promise<void> {
    checkLimits(options);
    if (this.#home === undefined || this.#closing !== undefined) {
      return await this.close({ drainTimeout: options?.timeout });
    }
    await this.#users.end(
      options?.timeout ?? this.#session.endpoint.operationTimeout,
    );
    this.#session.uses.keep(this.#inherited);
    await this.#home.takeBack(this);
  }

  /** Gives it back to its pool; one that belongs to none is closed. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }

  async #close(drainTimeout: number | undefined): Promise<void> {
    if (this.#session.handling !== undefined) await undefined;
    const { clock, endpoint } = this.#session;
    const time = drainTimeout ?? endpoint.operationTimeout;
    const deadline = clock.now() + time;
    await this.#users.end(time, drainTimeout === undefined);
    // If users have used up all of it, some more is left to give back what they hold.
    const more = Math.max(time / 20, Math.min(time, CLOSING));
    await this.#session.close(Math.max(deadline, clock.now() + more));
  }

  #requireOpen(action: string): void {
    if (this.#closing === undefined) return;
    throw new ClosedError(`Cannot ${action}: the connection is closed`, {
      outcome: "not-sent",
    });
  }
}
