import type { Limits } from "../../async/limits.ts";
import type { Clock } from "../../async/clock.ts";
import type { CallOptions } from "../../model/call_options.ts";
import { ChannelError, MessagingError } from "../../model/errors.ts";
import { Lifeline } from "../store/lifeline.ts";
import { callError, failureOf } from "./errors.ts";
import type { StoreSettings } from "./options.ts";
import type { MongodbClient } from "./port.ts";
import type { ServerInfo } from "../server_info.ts";
import { ServerTime } from "../server_time.ts";

/** How old the server's time may be where much depends on it, ms: a machine that slept does not know. */
const FRESH = 1000;
/** Between two attempts of a call that others wait for, doubling, ms. */
const [INITIAL_PAUSE, MAX_PAUSE] = [20, 1000];

/** The context that the parts of a store share: the client, the time, the limits of calls. */
export class Context {
  readonly client: MongodbClient;
  readonly clock: Clock;
  readonly settings: StoreSettings;
  readonly lifeline: Lifeline;
  /** The lifeline's. */
  readonly limits: Limits;
  readonly #time: ServerTime;

  /** Makes it for one connection. */
  constructor(
    client: MongodbClient,
    clock: Clock,
    settings: StoreSettings,
    lifeline: Lifeline,
  ) {
    this.client = client;
    this.clock = clock;
    this.settings = settings;
    this.lifeline = lifeline;
    this.limits = lifeline.limits;
    this.#time = new ServerTime(clock);
  }

  /** The server's time, ms since 1970. */
  now(): number {
    return this.#time.now();
  }

  /** Reads the server's time anew. */
  async readTime(options?: CallOptions): Promise<void> {
    await this.call(
      "read the server's time",
      options,
      async () => {
        const asked = this.clock.now();
        this.#time.hear(await this.client.readTime(), asked);
      },
    );
  }

  /** Asks the server what it is. */
  async askServer(options?: CallOptions): Promise<ServerInfo> {
    const action = "ask the server what it is";
    return await this.call(action, options, async () => {
      const [version, time] = await Promise.all([
        this.client.readVersion(),
        this.client.readTime(),
      ]);
      return { product: "MongoDB", version, time };
    });
  }

  /** The server's time as it has just told it: before what cannot be undone, and what takes from others. */
  async freshNow(): Promise<number> {
    if (this.#time.age > FRESH) await this.readTime();
    return this.now();
  }

  /** Makes one call of the client, within its limits, and translates its failure. */
  async call<T>(
    action: string,
    options: CallOptions | undefined,
    call: () => Promise<T>,
  ): Promise<T> {
    // After the end, too: what is left is given back then.
    this.limits.check(options, () => action);
    return await this.lifeline.wait(action, options, call());
  }

  /** Makes one call that others wait for: one that is refused, and may pass, is made again for a while. */
  async callAgain<T>(
    action: string,
    call: () => Promise<T>,
    options?: CallOptions,
  ): Promise<T> {
    for (let pause = INITIAL_PAUSE;; pause *= 2) {
      try {
        return await this.call(action, options, call);
      } catch (error) {
        const passes = error instanceof ChannelError && error.retryable;
        if (!passes || pause > MAX_PAUSE) throw error;
        await this.lifeline.sleep(pause);
      }
    }
  }
}

/**
 * Makes the life of a connection, in which the driver's errors become the library's.
 *
 * @param operationTimeout Milliseconds for calls that say nothing else.
 */
export function lifelineOf(clock: Clock, operationTimeout: number): Lifeline {
  return new Lifeline({
    clock,
    operationTimeout,
    translate: (action, error) =>
      error instanceof MessagingError
        ? error
        : callError(action, failureOf(error)),
  });
}
