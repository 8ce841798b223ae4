import { Limits } from "../../async/limits.ts";
import type { CallOptions } from "../../model/call_options.ts";
import {
  ClosedError,
  ConnectionError,
  TimeoutError,
  TransportError,
} from "../../model/errors.ts";
import type { BrokerUrl } from "../../url/broker_url.ts";
import { formatUrl } from "../../url/format.ts";
import type {
  Capability,
  Channel,
  CloseReason,
  ConnectOptions,
  TransportConnection,
} from "../transport.ts";
import { AmqpChannel } from "./channel.ts";
import { CheckedChannel } from "./checked.ts";
import type { ChannelContext } from "./context.ts";
import { Copies } from "./copies.ts";
import { Delays } from "./delays.ts";
import { channelError, dialError, lostError } from "./errors.ts";
import { describe, type Failure } from "./failure.ts";
import type { DialOptions } from "./options.ts";
import type { AmqpClient, Dial } from "./port.ts";

const CAPABILITIES: ReadonlySet<Capability> = new Set<Capability>([
  "dead-letter",
  "delay",
  "exchange-to-exchange",
  "exclusive",
  "known-queues",
  "length-limit",
  "message-ttl",
  "persistence",
  "priority",
  "queue-ttl",
  "queued-fanout",
  "shared-topology",
]);

/** A connection to an AMQP 0-9-1 broker. */
export class AmqpConnection implements TransportConnection {
  readonly capabilities: ReadonlySet<Capability> = CAPABILITIES;
  readonly closed: Promise<CloseReason>;
  readonly #settleClosed: (reason: CloseReason) => void;
  readonly #broker: string;
  readonly #options: ConnectOptions;
  readonly #limits: Limits;
  readonly #channels = new Set<AmqpChannel>();
  readonly #context: ChannelContext;
  #client: AmqpClient | undefined;
  #lastHeard: number;
  #stopWatch: (() => void) | undefined;
  #endError: Error | undefined;
  #closing: Promise<void> | undefined;

  private constructor(
    broker: string,
    userid: string,
    options: ConnectOptions,
  ) {
    const { promise, resolve } = Promise.withResolvers<CloseReason>();
    this.closed = promise;
    this.#settleClosed = resolve;
    this.#broker = broker;
    this.#options = options;
    const { clock, operationTimeout, heartbeat } = options;
    this.#limits = new Limits(clock);
    this.#lastHeard = clock.now();
    this.#context = {
      clock,
      operationTimeout,
      heartbeat,
      limits: this.#limits,
      delays: new Delays({
        clock,
        limits: this.#limits,
        operationTimeout,
        openChannel: (call) => this.openChannel(call),
      }),
      copies: new Copies({
        userid,
        openChannel: () =>
          this.openChannel({ deadline: clock.now() + operationTimeout }),
      }),
      lastHeard: () => this.#lastHeard,
    };
  }

  /**
   * Connects once.
   *
   * @param client Dials with the client.
   * @param dial What to dial with, as read from the URL and the options.
   * @param url The broker's URL, its defaults filled in.
   * @param options Limits, TLS, heartbeat.
   * @returns The open connection.
   * @throws {AuthenticationError} If the broker refuses the user.
   * @throws {NotFoundError} If it has no such virtual host.
   * @throws {ConnectionError} If it can not be reached.
   * @throws {TimeoutError} If it does not answer by the deadline.
   */
  static async open(
    client: Dial,
    dial: DialOptions,
    url: BrokerUrl,
    options: ConnectOptions,
  ): Promise<AmqpConnection> {
    const broker = formatUrl(url);
    const connection = new AmqpConnection(broker, dial.userid, options);
    const { clock, signal, deadline, operationTimeout } = options;
    const late = () =>
      new TimeoutError(
        `Cannot connect to "${broker}" in time: it has not answered`,
        { outcome: "not-sent" },
      );
    connection.#limits.check(options, () => `connect to "${broker}"`);
    const password = url.password ?? await options.password?.() ??
      (url.userid === undefined ? "guest" : "");
    const timeout = (deadline ?? clock.now() + operationTimeout) - clock.now();
    const dialling = client(
      dial,
      password,
      Math.max(1, Math.ceil(timeout)),
      {
        closed: (failure) => connection.#lose(failure),
        blocked: (reason) => options.onEvent?.({ type: "blocked", reason }),
        unblocked: () => options.onEvent?.({ type: "unblocked" }),
        heard: () => connection.#lastHeard = clock.now(),
      },
    );
    try {
      connection.#client = await connection.#limits.wait(
        dialling,
        { signal, deadline },
        late,
      );
    } catch (error) {
      connection.#limits.clear();
      if (error instanceof TimeoutError || signal?.aborted) {
        // It may still come: then it goes at once.
        dialling.then((client) => client.close()).catch(() => {});
        throw error;
      }
      if (error instanceof TransportError) throw error;
      const failure = describe(error);
      if (failure.text === "connect ETIMEDOUT") throw late();
      throw dialError(broker, dial.virtualHost, failure);
    }
    const { heartbeat = dial.heartbeat } = connection.#client;
    connection.#watch(heartbeat * 1000);
    return connection;
  }

  async openChannel(options?: CallOptions): Promise<Channel> {
    if (this.#endError !== undefined) throw this.#endError;
    if (this.#closing !== undefined || this.#client === undefined) {
      throw new ClosedError("Cannot open a channel: the connection is closed");
    }
    this.#limits.check(options, () => "open a channel");
    let channel: AmqpChannel | undefined;
    let early: Failure | undefined | "none" = "none";
    const opening = this.#client.openChannel({
      closed: (failure) => {
        const ended = channel;
        if (ended === undefined) early = failure;
        else if (failure !== undefined) this.#forget(ended, failure);
        // The client closes its channels before it says that the connection is lost,
        // and then in the same breath: that is the reason.
        else queueMicrotask(() => this.#forget(ended, failure));
      },
      returned: (message) => channel?.returned(message),
    });
    opening.catch(() => {});
    try {
      const client = await this.#limits.wait(
        opening,
        options,
        () =>
          new TimeoutError(
            "Cannot open a channel in time: the broker has not answered",
            { outcome: "unknown" },
          ),
      );
      const { frameMax } = this.#client;
      channel = new AmqpChannel(
        this.#context,
        new CheckedChannel(client, frameMax, (words) => this.#giveUp(words)),
      );
    } catch (error) {
      if (options?.signal?.aborted || error instanceof TimeoutError) {
        opening.then((client) => client.close()).catch(() => {});
        throw error;
      }
      // Its end comes a little later than that of its channels.
      if (this.#closing !== undefined) throw closedError();
      throw this.#endError ?? channelError("open a channel", describe(error));
    }
    this.#channels.add(channel);
    if (early !== "none") this.#forget(channel, early);
    return channel;
  }

  destroy(): void {
    this.#client?.destroy();
    this.#end(closedError(), { type: "closed" });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#closing ??= this.#close();
  }

  async #close(): Promise<void> {
    if (this.#endError !== undefined) return;
    const { clock, operationTimeout } = this.#options;
    const call = { deadline: clock.now() + operationTimeout };
    const late = () => new ClosedError("late");
    try {
      const channels = [...this.#channels];
      const closing = Promise.all(
        channels.map((channel) => channel[Symbol.asyncDispose]()),
      ).then(() => this.#client?.close());
      await this.#limits.wait(closing, call, late);
    } catch {
      this.#client?.destroy();
    } finally {
      this.#end(closedError(), { type: "closed" });
    }
  }

  #forget(channel: AmqpChannel, failure: Failure | undefined): void {
    this.#channels.delete(channel);
    channel.lose(failure, this.#endError);
  }

  /** The client says that the connection has ended. */
  #lose(failure: Failure | undefined): void {
    if (this.#closing !== undefined || this.#endError !== undefined) return;
    const error = lostError(
      this.#broker,
      failure ?? {
        reply: undefined,
        text: "the socket was closed",
        cause: undefined,
      },
    );
    this.#end(error, { type: "lost", error });
  }

  #end(error: Error, reason: CloseReason): void {
    if (this.#endError !== undefined) return;
    this.#endError = error;
    this.#stopWatch?.();
    for (const channel of this.#channels) channel.lose(undefined, error);
    this.#channels.clear();
    this.#limits.clear();
    this.#settleClosed(reason);
  }

  /** Gives it up: with this broker it makes no sense to go on. */
  #giveUp(why: string): void {
    const error = new ConnectionError(
      `Connection to "${this.#broker}" was lost: ${why}`,
      { code: "connection-lost", outcome: "unknown" },
    );
    this.#end(error, { type: "lost", error });
    this.#client?.destroy();
  }

  /** The client notices silence within three heartbeats; this does within two. */
  #watch(heartbeat: number): void {
    if (heartbeat === 0 || this.#endError !== undefined) return;
    const { clock } = this.#options;
    let looks = 0;
    const look = () => {
      if (looks++ % 2 === 0) this.#client?.beat?.();
      const silence = clock.now() - this.#lastHeard;
      if (silence > 2 * heartbeat) {
        this.#giveUp(
          `nothing was heard for ${Math.round(silence)} ms, two heartbeats`,
        );
      } else this.#stopWatch = clock.timer(look, heartbeat / 4);
    };
    this.#stopWatch = clock.timer(look, heartbeat / 4);
  }
}

function closedError(): ClosedError {
  return new ClosedError("Cannot use the connection: it is closed");
}
