import type { Limits } from "../../async/limits.ts";
import { ChannelError, TimeoutError } from "../../model/errors.ts";
import type {
  Channel,
  TransportConnection,
} from "../../transports/transport.ts";
import type { Endpoint } from "./endpoint.ts";
import type { Call } from "../operation_options.ts";

/** A transport's connection, while it lasts. */
export interface Link {
  readonly connection: TransportConnection;
  readonly endpoint: Endpoint;
  /** For what changes or looks at the tables: a failed declare ends no other channel. */
  readonly topology: TopologyChannel;
}

/**
 * The channel for what changes or looks at the tables, one call at a time: where
 * a failed declare ends its channel, it ends that of no other call.
 */
export class TopologyChannel {
  readonly #connection: TransportConnection;
  readonly #limits: Limits;
  #channel: Promise<Channel> | undefined;
  /** Whether something is declared that is this connection's alone. */
  #holds = false;
  #tail: Promise<unknown> = Promise.resolve();

  /** Makes one that is opened with the first call. */
  constructor(connection: TransportConnection, limits: Limits) {
    this.#connection = connection;
    this.#limits = limits;
  }

  /**
   * Runs a call when those before it have ended.
   *
   * @param call How long it may take.
   * @param action What to do.
   * @param holds Whether it declares what is this connection's alone.
   * @returns What the action resolves to.
   * @throws {TimeoutError} If its turn does not come by the deadline.
   */
  async run<T>(
    call: Call,
    action: (channel: Channel) => Promise<T>,
    holds: boolean = false,
  ): Promise<T> {
    const before = this.#tail;
    const { promise: ended, resolve: end } = Promise.withResolvers<void>();
    this.#tail = before.then(() => ended);
    try {
      await this.#limits.wait(before, call, () =>
        new TimeoutError(
          "Cannot change or look at the broker's tables: other calls have not ended in time",
          { outcome: "not-sent" },
        ));
      if (holds && !this.#holds) {
        this.#holds = true;
        this.#drop();
      }
      return await action(await this.#open(call));
    } catch (error) {
      // On AMQP the channel ended with it; elsewhere it costs little to open one.
      if (error instanceof ChannelError) this.#drop();
      throw error;
    } finally {
      end();
    }
  }

  /** Nobody waits for its end: a broker that does not answer would keep the next call from its deadline. */
  #drop(): void {
    const opening = this.#channel;
    this.#channel = undefined;
    opening?.then((channel) => channel[Symbol.asyncDispose]()).catch(() => {});
  }

  async #open(call: Call): Promise<Channel> {
    const channel = await this.#channel?.catch(() => undefined);
    if (channel !== undefined && channel.superseded !== true) return channel;
    this.#drop();
    const opening = this.#connection.openChannel({
      ...call,
      use: this.#holds ? "consume" : "declare",
    });
    this.#channel = opening;
    const forget = () => {
      if (this.#channel === opening) this.#channel = undefined;
    };
    opening.then(async (channel) => {
      await channel.closed;
      forget();
    }, forget);
    return await opening;
  }
}
