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

/** How a call of {@linkcode TopologyChannel.run} stands to others. */
export interface RunOptions {
  /** Whether it declares an entity that is this connection's alone. @default {false} */
  readonly holds?: boolean | undefined;
  /**
   * Queues, if they are declared and nothing else is done: that goes on beside other such
   * calls for other queues, where a call that fails does not end its channel.
   */
  readonly queues?: readonly object[] | undefined;
}

/**
 * The channel for what changes or looks at the tables, one call at a time: where
 * a failed declare ends its channel, it ends that of no other call. If it does not, queues
 * are declared beside each other.
 */
export class TopologyChannel {
  readonly #connection: TransportConnection;
  readonly #limits: Limits;
  #channel: Promise<Channel> | undefined;
  /** Whether something is declared that is this connection's alone. */
  #holds = false;
  /** When the calls have ended that all others wait for, and those that go on beside each other. */
  #tail: Promise<unknown> = Promise.resolve();
  #beside: Promise<unknown> = Promise.resolve();
  /** By queue, when its declares have ended. */
  readonly #queues = new Map<object, Promise<unknown>>();

  /** Makes one that is opened with the first call. */
  constructor(connection: TransportConnection, limits: Limits) {
    this.#connection = connection;
    this.#limits = limits;
  }

  /**
   * Runs a call when those before it have ended.
   *
   * @param call How long it may take.
   * @param action The action on the channel.
   * @param options How it stands to others.
   * @returns The action's result.
   * @throws {TimeoutError} If its turn does not come by the deadline.
   */
  async run<T>(
    call: Call,
    action: (channel: Channel) => Promise<T>,
    { holds = false, queues }: RunOptions = {},
  ): Promise<T> {
    const { promise: ended, resolve: end } = Promise.withResolvers<void>();
    const failsAlone = this.#connection.callsFailAlone === true;
    const before = failsAlone && queues !== undefined
      ? this.#enterBeside(queues, ended)
      : this.#enter(ended);
    try {
      await this.#limits.wait(before, call, () =>
        new TimeoutError(
          "Cannot change or look at the broker's tables: other calls have not ended in time",
          { outcome: "not-sent" },
        ));
      if (holds && !this.#holds) {
        this.#holds = true;
        if (!failsAlone) this.#drop();
      }
      return await action(await this.#open(call));
    } catch (error) {
      // On AMQP the channel ended with it.
      if (error instanceof ChannelError && !failsAlone) this.#drop();
      throw error;
    } finally {
      end();
    }
  }

  /** Takes a place behind all. Returns when its turn comes. */
  #enter(ended: Promise<void>): Promise<unknown> {
    const before = Promise.all([this.#tail, this.#beside]);
    this.#tail = before.then(() => ended);
    this.#beside = Promise.resolve();
    return before;
  }

  /** Takes a place beside those that declare other queues. Returns when its turn comes. */
  #enterBeside(
    queues: readonly object[],
    ended: Promise<void>,
  ): Promise<unknown> {
    const same = queues.map((queue) => this.#queues.get(queue));
    const before = Promise.all([this.#tail, ...same]);
    const after = before.then(() => ended);
    this.#beside = Promise.all([this.#beside, after]);
    for (const queue of queues) this.#queues.set(queue, after);
    after.then(() => {
      for (const queue of queues) {
        if (this.#queues.get(queue) === after) this.#queues.delete(queue);
      }
    });
    return before;
  }

  /** Nobody waits for its end: a broker that does not answer would keep the next call from its deadline. */
  #drop(): void {
    const opening = this.#channel;
    this.#channel = undefined;
    opening?.then((channel) => channel[Symbol.asyncDispose]()).catch(() => {});
  }

  async #open(call: Call): Promise<Channel> {
    const known = this.#channel;
    const channel = await known?.catch(() => undefined);
    if (channel !== undefined && channel.superseded !== true) return channel;
    // Another call beside this one has opened it meanwhile.
    if (this.#channel !== undefined && this.#channel !== known) {
      return await this.#channel;
    }
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
