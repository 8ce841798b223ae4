import { quote } from "../../model/foreign_text.ts";
import type { Clock } from "../../async/clock.ts";
import { Limits } from "../../async/limits.ts";
import { Ring } from "../../async/ring.ts";
import { ClosedError, PoolError } from "../../model/errors.ts";
import { checkKnown, type KnownOptions, optionsOf } from "../known_options.ts";
import {
  checkCount,
  checkLimits,
  limitsOf,
  type OperationOptions,
} from "../operation_options.ts";

/** The pool that a connection belongs to. @typeParam C The connection. */
export interface Home<C> {
  /** Takes it back. */
  takeBack(connection: C): Promise<void>;
  /** Strikes it off: it is closed. */
  strikeOff(connection: C): void;
}

/** Options of `connection.pool`. */
export interface PoolOptions {
  /** The maximum number of connections. @default {10} */
  readonly limit?: number | undefined;
  /** How many are made at once; none of them connects before it is used. @default {0} */
  readonly preload?: number | undefined;
}

const POOL: KnownOptions = optionsOf<PoolOptions>("connection.pool", {
  limit: true,
  preload: true,
});

/** Milliseconds that `acquire` waits where the caller does not say: as long as any operation. */
const ACQUIRE_TIMEOUT = 30_000;

/**
 * Connections to lend: the one that came back last goes out first, so that few are
 * in use and the others rest.
 *
 * @typeParam C The type that it lends: `Connection`.
 *
 * @example Borrow a connection
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createConnection } from "@dashi/mq";
 *
 * await using pool = createConnection("memory://pool").pool({ limit: 2 });
 * {
 *   await using connection = await pool.acquire();
 *   await connection.connect();
 * } // given back, still connected
 * assertEquals(pool.size, 1);
 * ```
 */
export class ConnectionPool<
  C extends { close(): Promise<void> },
> implements AsyncDisposable {
  readonly #make: (home: Home<C>) => C;
  readonly #limit: number;
  readonly #idle: C[] = [];
  readonly #busy = new Set<C>();
  readonly #waiting = new Ring<(connection: C) => void>();
  readonly #clock: Clock;
  readonly #limits: Limits;
  #closing: Promise<void> | undefined;

  /** Made by `connection.pool`. */
  constructor(make: (home: Home<C>) => C, options: PoolOptions, clock: Clock) {
    this.#clock = clock;
    this.#limits = new Limits(clock);
    checkKnown(options, POOL);
    const { limit = 10, preload = 0 } = options;
    checkCount("limit", limit, Number.MAX_SAFE_INTEGER);
    if (!Number.isInteger(preload) || preload < 0 || preload > limit) {
      throw new RangeError(
        `Cannot use ${
          quote(preload)
        } as "preload": it must be a whole number from 0 to the limit, ${limit}`,
      );
    }
    this.#make = make;
    this.#limit = limit;
    for (let i = 0; i < preload; i++) this.#idle.push(this.#new());
  }

  /** How many connections it has, lent or not. */
  get size(): number {
    return this.#idle.length + this.#busy.size;
  }

  /** How many are lent. */
  get inUse(): number {
    return this.#busy.size;
  }

  /**
   * Lends a connection; its `release()`, or the end of its `await using`, gives it
   * back. At the limit it waits for one.
   *
   * @throws {PoolError} If none comes back in time.
   * @throws {ClosedError} If the pool is closed.
   */
  async acquire(options?: OperationOptions): Promise<C> {
    checkLimits(options);
    if (this.#closing !== undefined) throw closedError();
    options?.signal?.throwIfAborted();
    const connection = this.#idle.pop() ??
      (this.#busy.size < this.#limit ? this.#new() : await this.#wait(options));
    this.#busy.add(connection);
    return connection;
  }

  /** Closes all connections, the lent ones too. */
  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  /** Closes it. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  readonly #home: Home<C> = {
    strikeOff: (connection) => {
      if (!this.#busy.delete(connection)) return;
      const waiting = this.#waiting.shift();
      if (waiting === undefined) return;
      const another = this.#new();
      this.#busy.add(another);
      waiting(another);
    },
    takeBack: async (connection) => {
      if (!this.#busy.delete(connection)) return; // given back before
      if (this.#closing !== undefined) return await connection.close();
      const waiting = this.#waiting.shift();
      if (waiting === undefined) this.#idle.push(connection);
      else {
        this.#busy.add(connection);
        waiting(connection);
      }
    },
  };

  #new(): C {
    return this.#make(this.#home);
  }

  async #wait(options: OperationOptions | undefined): Promise<C> {
    const call = limitsOf(options, this.#clock, ACQUIRE_TIMEOUT);
    const { promise, resolve } = Promise.withResolvers<C>();
    this.#waiting.push(resolve);
    try {
      return await this.#limits.wait(
        promise,
        call,
        () =>
          new PoolError(
            `Cannot acquire a connection in time: all ${this.#limit} are in use; release them, or raise the limit`,
          ),
      );
    } catch (error) {
      // A connection that comes for it later goes to the next caller.
      promise.then((connection) => this.#home.takeBack(connection));
      throw error;
    }
  }

  async #close(): Promise<void> {
    const all = [...this.#idle, ...this.#busy];
    this.#idle.length = 0;
    this.#busy.clear();
    await Promise.all(all.map((connection) => connection.close()));
    this.#limits.end(closedError);
  }
}

function closedError(): ClosedError {
  return new ClosedError("Cannot acquire a connection: the pool is closed");
}
