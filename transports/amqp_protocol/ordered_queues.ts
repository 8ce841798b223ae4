import type { Clock } from "../../async/clock.ts";
import { Line } from "../../async/line.ts";
import type { CallOptions } from "../../model/call_options.ts";
import { ChannelError, NotFoundError } from "../../model/errors.ts";
import type { Publishing } from "../../model/message.ts";
import type { Channel } from "../transport.ts";
import { KEY_HEADER } from "../../virtual/message_key.ts";
import {
  keysExchange,
  mayBeOrdered,
  type OrderedQueue,
  orderedQueue,
  partitionOf,
} from "./ordered_layout.ts";
import { SpareChannel } from "./spare_channel.ts";

/** How long a queue that was looked for in vain, for a message that came back, is not looked for again, ms. */
const PATIENCE = 1000;
/** So many names are remembered of queues that are not ordered. */
const MAX_NAMES = 1000;

/** The services that ordered queues use of their connection. */
export interface OrderedQueuesHost {
  readonly clock: Clock;
  readonly operationTimeout: number;
  openChannel(options: CallOptions): Promise<Channel>;
}

/**
 * The ordered queues that a connection knows: those that it has declared, and those that it
 * has looked for, for whoever knows a queue by its name alone cannot say which kind it is.
 */
export class OrderedQueues {
  readonly #host: OrderedQueuesHost;
  readonly #known = new Map<string, OrderedQueue>();
  /** The names of queues that are not ordered, and when that was seen. */
  readonly #plain = new Map<string, number>();
  readonly #looking = new Map<string, Promise<OrderedQueue | undefined>>();
  readonly #line = new Line();
  /** The limits of its own calls, by which it knows them again. */
  readonly #own = new WeakSet<CallOptions>();
  readonly #channel: SpareChannel;

  /** Makes one that knows none. */
  constructor(host: OrderedQueuesHost) {
    this.#host = host;
    this.#channel = new SpareChannel((call) => host.openChannel(call));
  }

  /** The ordered queue of a name, if it is known. */
  get(name: string): OrderedQueue | undefined {
    return this.#known.size === 0 ? undefined : this.#known.get(name);
  }

  /** It is declared. */
  note(queue: OrderedQueue): void {
    this.#known.set(queue.name, queue);
    this.#plain.delete(queue.name);
  }

  /** A queue of the name is declared, or was found, that is not ordered. */
  notePlain(name: string): void {
    if (this.#plain.size >= MAX_NAMES) this.#plain.clear();
    this.#plain.set(name, this.#host.clock.now());
    this.#known.delete(name);
  }

  /** It is deleted, or somebody has done so. */
  forget(name: string): void {
    this.#known.delete(name);
    this.#plain.delete(name);
  }

  /**
   * Whether a message to the default exchange is, or may be, for an ordered queue: one with a
   * key is not sent before that is known, for those behind it must not overtake it.
   */
  mayTake({ routingKey, properties: { headers } }: Publishing): boolean {
    if (this.#known.size > 0 && this.#known.has(routingKey)) return true;
    return headers !== undefined && headers[KEY_HEADER] !== undefined &&
      !this.#plain.has(routingKey) && !routingKey.startsWith("amq.");
  }

  /** Looks for one, unless it is known; once where it is not there. */
  async find(name: string): Promise<OrderedQueue | undefined> {
    return this.get(name) ??
      (this.#plain.has(name) ? undefined : await this.look(name));
  }

  /**
   * As `find`, for a queue that the broker does not know, by a call with these limits: there
   * may be one since.
   */
  async findAgain(
    name: string,
    call?: CallOptions,
  ): Promise<OrderedQueue | undefined> {
    if (call !== undefined && this.#own.has(call)) return undefined;
    const seen = this.#plain.get(name) ?? -Infinity;
    if (this.#host.clock.now() - seen < PATIENCE) return undefined;
    return await this.look(name);
  }

  /** Says why a queue cannot be used that the broker does not know: it may be an ordered one. That has ended the channel. */
  async explain(name: string, error: unknown): Promise<unknown> {
    if (!(error instanceof NotFoundError)) return error;
    if (await this.findAgain(name) === undefined) return error;
    return new ChannelError(
      `Cannot use queue "${name}" by this channel: it is ordered, and was not known to be; the next call knows`,
      { code: "channel-closed", outcome: "not-sent", cause: error },
    );
  }

  /** Looks for one at the broker. Callers that wait for the same go on in their order. */
  async look(name: string): Promise<OrderedQueue | undefined> {
    if (name === "" || name.startsWith("amq.") || !mayBeOrdered(name)) {
      return undefined;
    }
    let looking = this.#looking.get(name);
    if (looking === undefined) {
      looking = this.#look(name).finally(() => this.#looking.delete(name));
      this.#looking.set(name, looking);
    }
    const found = await looking;
    if (found === undefined) this.notePlain(name);
    else this.note(found);
    return found;
  }

  /** Makes calls on a channel of its own, which they may end. */
  run<T>(
    action: (channel: Channel, call: CallOptions) => Promise<T>,
  ): Promise<T> {
    return this.#line.enter(async () => {
      const { clock, operationTimeout } = this.#host;
      const call = { deadline: clock.now() + operationTimeout };
      this.#own.add(call);
      return await action(await this.#channel.get(call), call);
    });
  }

  /** Says whether a queue or an exchange is there. */
  async has(kind: "queue" | "exchange", name: string): Promise<boolean> {
    try {
      await this.run((channel, call): Promise<unknown> =>
        kind === "queue"
          ? channel.checkQueue(name, call)
          : channel.checkExchange(name, call)
      );
      return true;
    } catch (error) {
      if (error instanceof NotFoundError) return false;
      throw error;
    }
  }

  async #look(name: string): Promise<OrderedQueue | undefined> {
    if (!await this.has("exchange", keysExchange(name))) return undefined;
    let count = 0;
    while (await this.has("queue", partitionOf(name, count))) count++;
    return count === 0 ? undefined : orderedQueue(name, count);
  }
}
