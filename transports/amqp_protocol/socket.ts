import type { Clock } from "../../async/clock.ts";
import type { Limits } from "../../async/limits.ts";
import type { CallOptions } from "../../model/call_options.ts";
import {
  ChannelError,
  TimeoutError,
  TransportError,
} from "../../model/errors.ts";
import { connectionLost, notAnswered } from "../connection_errors.ts";
import type { Peer } from "../peer.ts";
import { AmqpChannel } from "./channel.ts";
import { CheckedChannel } from "./checked.ts";
import type { ChannelContext } from "./context.ts";
import { channelError, dialError } from "./errors.ts";
import { describe, type Failure } from "./failure.ts";
import type { DialOptions } from "./options.ts";
import type { AmqpClient, Dial } from "./port.ts";
import { Server } from "./server.ts";

/** How long received data may wait to be read, ms. */
const GRACE = 50;

/** The services and settings that a socket has from its connection. */
export interface SocketHost {
  /** The broker's URL, without the password. */
  readonly broker: string;
  readonly dial: DialOptions;
  readonly client: Dial;
  readonly clock: Clock;
  readonly limits: Limits;
  /** The context of its channels, without the parts that the socket itself gives. */
  readonly context: Omit<ChannelContext, "lastHeard" | "blocked">;
  /** Whether the connection is being closed, or has ended. */
  ended(): Error | undefined;
  password(call: CallOptions): Promise<string>;
  /** It has ended, unasked. */
  lost(error: Error): void;
  blocked(reason: string): void;
  unblocked(): void;
}

/** One TCP connection to a broker, with its channels. */
export class Socket {
  readonly #host: SocketHost;
  readonly #channels = new Set<AmqpChannel>();
  readonly #context: ChannelContext;
  #client: AmqpClient | undefined;
  #lastHeard: number;
  #stopWatch: (() => void) | undefined;
  #blocked: string | undefined;
  /** The channels that are being opened: the callbacks that end the callers waiting for one. */
  readonly #opening = new Set<(error: Error) => void>();
  #endError: Error | undefined;

  private constructor(host: SocketHost) {
    this.#host = host;
    this.#lastHeard = host.clock.now();
    this.#context = {
      ...host.context,
      lastHeard: () => this.#lastHeard,
      blocked: () => this.#blocked,
    };
  }

  /**
   * Connects once.
   *
   * @param host The connection that it belongs to.
   * @param call How long it may take.
   * @returns The open socket.
   * @throws {AuthenticationError} If the broker refuses the user.
   * @throws {NotFoundError} If it has no such virtual host.
   * @throws {ConnectionError} If it cannot be reached.
   * @throws {TimeoutError} If it does not answer by the deadline.
   */
  static async open(
    host: SocketHost,
    call: CallOptions & { readonly deadline: number },
  ): Promise<Socket> {
    const { broker, clock, limits, dial, client } = host;
    const socket = new Socket(host);
    const late = () => notAnswered(`connect to "${broker}"`, "not-sent");
    const password = await host.password(call);
    const timeout = Math.max(1, Math.ceil(call.deadline - clock.now()));
    const ending = new AbortController();
    const signal = call.signal === undefined
      ? ending.signal
      : AbortSignal.any([call.signal, ending.signal]);
    const dialling = client(dial, password, timeout, {
      closed: (failure) => socket.#lose(failure),
      blocked: (reason) => {
        socket.#blocked = reason;
        host.blocked(reason);
      },
      unblocked: () => {
        socket.#blocked = undefined;
        host.unblocked();
      },
      heard: () => socket.#lastHeard = clock.now(),
    }, signal);
    try {
      socket.#client = await limits.wait(dialling, call, late);
    } catch (error) {
      // Nobody waits for it any more. It may still come: then it goes at once.
      ending.abort();
      dialling.then((client) => client.close()).catch(() => {});
      if (error instanceof TimeoutError || call.signal?.aborted) throw error;
      if (error instanceof TransportError) throw error;
      const failure = describe(error);
      if (failure.text === "connect ETIMEDOUT") throw late();
      throw dialError(broker, dial.virtualHost, failure);
    }
    const { heartbeat = dial.heartbeat } = socket.#client;
    socket.#watch(heartbeat * 1000);
    return socket;
  }

  /** Why the broker reads nothing from it for now, in its words. */
  get blocked(): string | undefined {
    return this.#blocked;
  }

  /** Opens a channel; `isSuperseded` says whether another socket is the one for what it is used for. */
  async openChannel(
    isSuperseded: () => boolean,
    options?: CallOptions,
  ): Promise<AmqpChannel> {
    const client = this.#client;
    if (this.#endError !== undefined || client === undefined) {
      throw this.#endError ?? this.#host.ended();
    }
    this.#requireRoom(client);
    let channel: AmqpChannel | undefined;
    let early: Failure | undefined | "none" = "none";
    const { promise: ended, reject: end } = Promise.withResolvers<never>();
    this.#opening.add(end);
    const opening = client.openChannel({
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
      // A client that has died owes an answer for ever, and no deadline is watched any more.
      const opened = await this.#host.limits.wait(
        Promise.race([opening, ended]),
        options,
        () => notAnswered("open a channel", "unknown"),
      );
      channel = new AmqpChannel(
        this.#context,
        new CheckedChannel(
          opened,
          client.frameMax,
          (words) => this.#giveUp(words),
        ),
        isSuperseded,
      );
    } catch (error) {
      if (options?.signal?.aborted || error instanceof TimeoutError) {
        opening.then((client) => client.close()).catch(() => {});
        throw error;
      }
      // Its end comes a little later than that of its channels.
      throw this.#host.ended() ?? this.#endError ??
        channelError("open a channel", describe(error));
    } finally {
      this.#opening.delete(end);
    }
    this.#channels.add(channel);
    if (early !== "none") this.#forget(channel, early);
    return channel;
  }

  /** Closes the connection, and waits for the answer; if the broker reads nothing it ends at once, and pending calls reject. */
  async close(error: Error): Promise<void> {
    if (this.#endError !== undefined) return;
    if (this.#blocked !== undefined) {
      this.end(error);
      return this.destroy();
    }
    const channels = [...this.#channels];
    await Promise.all(
      channels.map((channel) => channel[Symbol.asyncDispose]()),
    );
    await this.#client?.close();
  }

  /** The client's own connection, while it is open. */
  get native(): unknown {
    return this.#client?.native;
  }

  /** Who is at its other end. */
  get peer(): Peer | undefined {
    return this.#client?.peer();
  }

  /** What the broker has said of itself. */
  get server(): Server {
    return this.#client?.server ?? new Server({});
  }

  /** Cuts it. */
  destroy(): void {
    this.#client?.destroy();
  }

  /** Ends what waits on it. */
  end(error: Error): void {
    if (this.#endError !== undefined) return;
    this.#endError = error;
    this.#stopWatch?.();
    for (const tell of this.#opening) tell(error);
    for (const channel of this.#channels) channel.lose(undefined, error);
    this.#channels.clear();
  }

  /** The broker ends the connection of who opens more channels than were agreed on. */
  #requireRoom({ channelMax }: AmqpClient): void {
    const inUse = this.#channels.size + this.#opening.size;
    if (channelMax === 0 || inUse < channelMax) return;
    throw new ChannelError(
      `Cannot open a channel: ${inUse} of ${channelMax} are in use, the maximum that was agreed on with the broker (channel_max); close consumers or channels, allow more by channelMax, or use another connection`,
      { code: "channels-exhausted", retryable: true, outcome: "not-sent" },
    );
  }

  #forget(channel: AmqpChannel, failure: Failure | undefined): void {
    this.#channels.delete(channel);
    channel.lose(failure, this.#endError);
  }

  /** The client says that it has ended. */
  #lose(failure: Failure | undefined): void {
    if (this.#endError !== undefined || this.#host.ended() !== undefined) {
      return;
    }
    const { text, cause, reply } = failure ??
      { text: "the socket was closed", cause: undefined, reply: undefined };
    this.#host.lost(
      connectionLost(this.#host.broker, text, { cause, replyCode: reply }),
    );
  }

  /** Gives it up: with this broker it makes no sense to go on. */
  #giveUp(why: string): void {
    this.#host.lost(connectionLost(this.#host.broker, why));
    this.destroy();
  }

  /** The client notices silence within three heartbeats; this does within two. */
  #watch(heartbeat: number): void {
    if (heartbeat === 0 || this.#endError !== undefined) return;
    const { clock } = this.#host;
    let [looks, doubted] = [0, 0];
    const look = () => {
      if (looks++ % 2 === 0) this.#client?.beat?.();
      const silence = clock.now() - this.#lastHeard;
      if (silence > 2 * heartbeat && doubted !== this.#lastHeard) {
        // A process that was busy has not read yet what may have come long ago.
        doubted = this.#lastHeard;
        this.#stopWatch = clock.timer(look, GRACE);
      } else if (silence > 2 * heartbeat) {
        this.#giveUp(
          `nothing was heard for ${Math.round(silence)} ms, two heartbeats`,
        );
      } else this.#stopWatch = clock.timer(look, heartbeat / 4);
    };
    this.#stopWatch = clock.timer(look, heartbeat / 4);
  }
}
