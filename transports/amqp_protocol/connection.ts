import { Limits } from "../../async/limits.ts";
import type { CallOptions } from "../../model/call_options.ts";
import { ClosedError } from "../../model/errors.ts";
import type { BrokerUrl } from "../../url/broker_url.ts";
import { formatUrl } from "../../url/format.ts";
import type {
  Capability,
  Channel,
  ChannelUse,
  CloseReason,
  ConnectOptions,
  OpenChannelOptions,
  ServerInfo,
  TransportConnection,
} from "../transport.ts";
import { connectionClosed, notAnswered } from "../connection_errors.ts";
import type { Peer } from "../peer.ts";
import { DIRECT_REPLY_TO } from "./direct_reply.ts";
import { Copies } from "./copies.ts";
import { Delays } from "./delays.ts";
import { OrderedQueues } from "./ordered_queues.ts";
import { Parking } from "./parking.ts";
import { Removals } from "./removals.ts";
import { Returns } from "./returns.ts";
import { ManagementApi } from "./management_client.ts";
import type { DialOptions } from "./options.ts";
import type { Dial } from "./port.ts";
import { Server } from "./server.ts";
import { Streams } from "./streams.ts";
import { Socket, type SocketHost } from "./socket.ts";

/**
 * A connection to an AMQP 0-9-1 broker: one TCP connection, or two. A broker that runs
 * out of memory or disk stops reading from connections that publish, acks and all; so
 * what consumes goes over another one than what publishes, which is opened when there is
 * the first need for both.
 */
export class AmqpConnection implements TransportConnection {
  readonly inspection: ManagementApi | undefined;
  readonly closed: Promise<CloseReason>;
  readonly directReplyTo: string = DIRECT_REPLY_TO;
  readonly delayStep = 1000;
  readonly #settleClosed: (reason: CloseReason) => void;
  readonly #options: ConnectOptions;
  readonly #limits: Limits;
  readonly #host: SocketHost;
  readonly #sockets: Socket[] = [];
  /** Known when it is open. */
  #server: Server = new Server({});
  /** The socket for publishing and the one for consuming; the first to be opened serves the first use. */
  readonly #users: {
    publish: Socket | undefined;
    consume: Socket | undefined;
  } = { publish: undefined, consume: undefined };
  #second: Promise<Socket> | undefined;
  #endError: Error | undefined;
  #closing: Promise<void> | undefined;

  private constructor(
    client: Dial,
    dial: DialOptions,
    url: BrokerUrl,
    options: ConnectOptions,
  ) {
    const { promise, resolve } = Promise.withResolvers<CloseReason>();
    this.closed = promise;
    this.#settleClosed = resolve;
    this.#options = options;
    const { clock, operationTimeout, heartbeat, onEvent } = options;
    const limits = this.#limits = new Limits(clock);
    const declare = (call: CallOptions) =>
      this.openChannel({ ...call, use: "declare" });
    const copies = new Copies({
      username: dial.username,
      openChannel: () =>
        this.openChannel({
          deadline: clock.now() + operationTimeout,
          use: "publish",
        }),
    });
    const server = () => this.#server;
    const delays = new Delays({
      clock,
      limits,
      operationTimeout,
      server,
      openChannel: declare,
    });
    this.#host = {
      broker: formatUrl(url),
      dial,
      client,
      clock,
      limits,
      context: {
        clock,
        operationTimeout,
        heartbeat,
        limits,
        server,
        delays,
        copies,
        ordered: new OrderedQueues({
          clock,
          operationTimeout,
          openChannel: declare,
        }),
        returns: new Returns({ clock, limits, delays, copies, server }),
        streams: new Streams({
          clock,
          operationTimeout,
          server,
          openChannel: declare,
        }),
        parking: new Parking({
          clock,
          operationTimeout,
          copies,
          openChannel: declare,
        }),
        removals: new Removals({ openChannel: declare, server }),
      },
      ended: () =>
        this.#endError ??
          (this.#closing === undefined ? undefined : closedError()),
      password: async (call) =>
        url.password ?? await options.password?.(call) ??
          (url.username === undefined ? "guest" : ""),
      lost: (error) => this.#lose(error),
      blocked: (reason) => onEvent?.({ type: "blocked", reason }),
      unblocked: () => onEvent?.({ type: "unblocked" }),
    };
    const { management } = dial;
    this.inspection = management && new ManagementApi({
      ...management,
      limits,
      clock,
      operationTimeout,
      maxResponseSize: dial.maxResponseSize,
      virtualHost: dial.virtualHost,
      login: async (call) => ({
        username: management.username ?? dial.username,
        password: management.username === undefined
          ? await this.#host.password(call)
          : management.password ?? "",
      }),
    });
  }

  /**
   * Connects once.
   *
   * @param client Dials with the client.
   * @param dial The options to dial with, as read from the URL and the options.
   * @param url The broker's URL, its defaults filled in.
   * @param options Limits, TLS, heartbeat.
   * @returns The open connection.
   * @throws {AuthenticationError} If the broker refuses the user.
   * @throws {NotFoundError} If it has no such virtual host.
   * @throws {ConnectionError} If it cannot be reached.
   * @throws {TimeoutError} If it does not answer by the deadline.
   */
  static async open(
    client: Dial,
    dial: DialOptions,
    url: BrokerUrl,
    options: ConnectOptions,
  ): Promise<AmqpConnection> {
    const connection = new AmqpConnection(client, dial, url, options);
    const { clock, signal, operationTimeout } = options;
    const { broker, limits } = connection.#host;
    const deadline = options.deadline ?? clock.now() + operationTimeout;
    limits.check({ signal, deadline }, () => `connect to "${broker}"`);
    try {
      const first = await Socket.open(connection.#host, { signal, deadline });
      connection.#sockets.push(first);
      connection.#server = first.server;
      if (connection.#endError !== undefined) first.end(connection.#endError);
      return connection;
    } catch (error) {
      limits.end(() => error);
      throw error;
    }
  }

  async openChannel(options: OpenChannelOptions = {}): Promise<Channel> {
    this.#requireOpen();
    this.#limits.check(options, () => "open a channel");
    const { use = "consume" } = options;
    const socket = this.#socketFor(use) ?? await this.#limits.wait(
      this.#second ??= this.#openSecond(use),
      options,
      () => notAnswered("open a channel", "not-sent"),
    );
    this.#requireOpen();
    return await socket.openChannel(
      () => use === "declare" && this.#socketFor(use) !== socket,
      options,
    );
  }

  get capabilities(): ReadonlySet<Capability> {
    const { capabilities } = this.#server;
    return this.inspection === undefined
      ? capabilities
      : new Set<Capability>([...capabilities, "inspect"]);
  }

  /**
   * By what it said when we connected. AMQP tells no time: the management API does, in whole
   * seconds, and its server (cowboy_clock) looks at the clock once a second.
   */
  async serverInfo(options?: CallOptions): Promise<ServerInfo> {
    const { product, version } = this.#server;
    const time = await this.inspection?.time(options);
    return { product, version, time, timeStep: 2000 };
  }

  peer(): Peer | undefined {
    return this.#sockets[0]?.peer;
  }

  native(): unknown {
    return this.#sockets[0]?.native;
  }

  destroy(): void {
    this.#end(closedError(), { type: "closed" });
    this.#destroyAll();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#closing ??= this.#close();
  }

  /** The socket for a use; `undefined` if it is yet to be opened. */
  #socketFor(use: ChannelUse): Socket | undefined {
    const [first] = this.#sockets;
    const users = this.#users;
    if (use === "declare") {
      if (users.consume !== undefined) return users.consume;
      // A blocked broker does not read from a publishing socket, so queues to consume from
      // are declared on another.
      return first?.blocked === undefined ? first : undefined;
    }
    const other = users[use === "publish" ? "consume" : "publish"];
    if (other === first) return users[use];
    return users[use] ??= first;
  }

  /** Shared by all callers that wait for it: by the connection's limits. */
  async #openSecond(use: ChannelUse): Promise<Socket> {
    const { clock, operationTimeout } = this.#options;
    let socket: Socket | undefined;
    try {
      socket = await Socket.open(this.#host, {
        deadline: clock.now() + operationTimeout / 3,
      });
    } catch {
      // The broker lets nobody have a second one, or not now: all go over the first.
      this.#requireOpen();
      socket = this.#sockets[0];
      if (socket === undefined) throw closedError();
    }
    if (!this.#sockets.includes(socket)) this.#sockets.push(socket);
    this.#users[use === "publish" ? "publish" : "consume"] = socket;
    const ended = this.#host.ended();
    if (ended === undefined) return socket;
    socket.end(ended);
    socket.destroy();
    throw ended;
  }

  async #close(): Promise<void> {
    if (this.#endError !== undefined) return;
    const { clock, operationTimeout } = this.#options;
    const call: CallOptions = { deadline: clock.now() + operationTimeout };
    const late = () => new ClosedError("late");
    try {
      const closing = Promise.all([
        ...this.#sockets.map((each) => each.close(closedError())),
        this.#second?.catch(() => {}),
      ]);
      await this.#limits.wait(closing, call, late);
    } catch {
      this.#destroyAll();
    } finally {
      this.#end(closedError(), { type: "closed" });
    }
  }

  #lose(error: Error): void {
    if (this.#closing !== undefined || this.#endError !== undefined) return;
    this.#end(error, { type: "lost", error });
    this.#destroyAll();
  }

  #destroyAll(): void {
    for (const each of this.#sockets) each.destroy();
  }

  #end(error: Error, reason: CloseReason): void {
    if (this.#endError !== undefined) return;
    this.#endError = error;
    for (const each of this.#sockets) each.end(error);
    this.#limits.end(() => error);
    this.#settleClosed(reason);
  }

  #requireOpen(): void {
    const ended = this.#host.ended();
    if (ended === undefined) return;
    if (!(ended instanceof ClosedError)) throw ended;
    throw connectionClosed("open a channel", { outcome: "not-sent" });
  }
}

function closedError(): ClosedError {
  return new ClosedError("Cannot use the connection: it is closed", {
    outcome: "unknown",
  });
}
