import { Line } from "../../async/line.ts";
import type { CallOptions } from "../../model/call_options.ts";
import { NotFoundError } from "../../model/errors.ts";
import type { Channel } from "../transport.ts";
import type { Server } from "./server.ts";
import { SpareChannel } from "./spare_channel.ts";

/** The verbs that remove something from the broker's tables. */
export type RemovalVerbs = Pick<
  Channel,
  "deleteExchange" | "deleteQueue" | "unbind"
>;

/** What the removals of a connection need of it. */
export interface RemovalsHost {
  openChannel(call: CallOptions): Promise<Channel>;
  server(): Server;
}

/**
 * Removes what is there, or is not. RabbitMQ says that all is well for what is not there; AMQP
 * 0-9-1 has it end the channel, and other brokers do so: there it is done on a channel of its
 * own, one after the other, so that no other call ends with it.
 */
export class Removals {
  readonly #host: RemovalsHost;
  readonly #line = new Line();
  readonly #channel: SpareChannel;
  /** The limits of its own calls, by which it knows them again. */
  readonly #own = new WeakSet<CallOptions>();

  /** Makes one whose channel is opened with the first need. */
  constructor(host: RemovalsHost) {
    this.#host = host;
    this.#channel = new SpareChannel((call) => host.openChannel(call));
  }

  /** Whether a call is to be made by {@linkcode run}. */
  isFor(options: CallOptions | undefined): boolean {
    return !this.#host.server().isLikeRabbitmq &&
      (options === undefined || !this.#own.has(options));
  }

  /**
   * Removes something.
   *
   * @typeParam T The type of the result.
   * @param nothing The result where it is not there.
   * @param options The limits.
   * @param remove Makes the call, with limits that tell whose it is.
   * @returns The result.
   */
  run<T, O extends CallOptions>(
    nothing: T,
    options: O | undefined,
    remove: (verbs: RemovalVerbs, call: O) => Promise<T>,
  ): Promise<T> {
    return this.#line.enter(async () => {
      const call = { ...options } as O;
      this.#own.add(call);
      const channel = await this.#channel.get(call);
      try {
        return await remove(channel, call);
      } catch (error) {
        if (!(error instanceof NotFoundError)) throw error;
        await channel.closed; // the next one is made on another
        return nothing;
      }
    });
  }
}
