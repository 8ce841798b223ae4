import { Limits } from "../../async/limits.ts";
import type { Clock } from "../../async/clock.ts";
import type { CallOptions } from "../../model/call_options.ts";
import { MessagingError } from "../../model/errors.ts";
import { notAnswered } from "../connection_errors.ts";
import { callError, failureOf } from "./errors.ts";
import type { StoreSettings } from "./options.ts";
import type { MongodbClient } from "./port.ts";
import { ServerTime } from "./server_time.ts";

/** How old the server's time may be where much depends on it, ms: a machine that slept does not know. */
const FRESH = 1000;

/** What the parts of a store share: the client, the time, the limits of calls. */
export class Context {
  readonly client: MongodbClient;
  readonly clock: Clock;
  readonly settings: StoreSettings;
  readonly limits: Limits;
  readonly #time: ServerTime;
  readonly #sleeping = new Set<() => void>();
  #ended = false;
  /** Milliseconds for calls that say nothing else. */
  readonly operationTimeout: number;

  /** Makes it for one connection. */
  constructor(
    client: MongodbClient,
    clock: Clock,
    settings: StoreSettings,
    operationTimeout: number,
  ) {
    this.client = client;
    this.clock = clock;
    this.settings = settings;
    this.limits = new Limits(clock);
    this.#time = new ServerTime(clock);
    this.operationTimeout = operationTimeout;
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
      () => this.#time.read(() => this.client.readTime()),
    );
  }

  /** The server's time as it has just told it: before what cannot be undone, and what takes from others. */
  async freshNow(): Promise<number> {
    if (this.#time.age > FRESH) await this.readTime();
    return this.now();
  }

  /** Makes one call of the client, within its limits, and translates its failure. */
  async call<T>(
    action: string,
    given: CallOptions | undefined,
    call: () => Promise<T>,
  ): Promise<T> {
    const options = this.limited(given);
    this.limits.check(options, () => action);
    return await this.limits.wait(
      call().catch((error: unknown) => {
        throw error instanceof MessagingError
          ? error
          : callError(action, failureOf(error));
      }),
      options,
      () => notAnswered(action, "unknown"),
    );
  }

  /** The limits of a call; one that says nothing has until the time of an operation is over. */
  limited(given: CallOptions | undefined): CallOptions {
    return given?.deadline === undefined
      ? { ...given, deadline: this.clock.now() + this.operationTimeout }
      : given;
  }

  /** Waits, no longer than until the end. */
  sleep(duration: number): Promise<void> {
    if (this.#ended) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = () => {
        this.#sleeping.delete(wake);
        stop();
        resolve();
      };
      const stop = this.clock.timer(wake, duration);
      this.#sleeping.add(wake);
    });
  }

  /** Ends all waits. */
  end(): void {
    this.#ended = true;
    for (const wake of this.#sleeping) wake();
    this.limits.clear();
  }
}
