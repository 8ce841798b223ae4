import { SYSTEM_CLOCK } from "../async/clock.ts";
import { type CodecRegistry, createCodecRegistry } from "../codec/mod.ts";
import { ClosedError, TimeoutError } from "../model/errors.ts";
import type { Connection } from "../messaging/connection/connection.ts";
import type { ConnectionOptions } from "../messaging/connection/connection_options.ts";
import { createConnection } from "../messaging/connection/create_connection.ts";
import { addStandIn, type StoodIn } from "../messaging/connection/stand_ins.ts";
import {
  checkKnown,
  type KnownOptions,
  optionsOf,
} from "../messaging/known_options.ts";
import { checkDuration } from "../messaging/operation_options.ts";
import { quiet, realTime, TestClock } from "./clock.ts";
import { type Faults, OrderedFaults } from "./faults.ts";
import { type PublishedMessage, publishedOf } from "./published.ts";
import { Activity } from "./activity.ts";
import { TestTransport } from "./transport.ts";

/** Options of {@linkcode createTestBroker}. */
export interface TestBrokerOptions {
  /** The date that its clock begins at. @default {the present} */
  readonly date?: Date | undefined;
  /** Options of its `connection`. */
  readonly connection?: ConnectionOptions | undefined;
}

/** Options of {@linkcode TestBroker.idle}. */
export interface IdleOptions {
  /** Milliseconds of real time, after which it rejects. @default {5000} */
  readonly timeout?: number | undefined;
}

const BROKER: KnownOptions = optionsOf<TestBrokerOptions>("createTestBroker", {
  date: "object",
  connection: "object",
}, { now: '"date"', url: "none: it has a URL of its own" });
const IDLE: KnownOptions = optionsOf<IdleOptions>("idle", { timeout: true });

/** How long `close` lets handlers come to their end, in real time, ms: then the clock goes on. */
const CLOSING = 1000;

/**
 * Makes a broker for a test, in memory, of its own: tests that run at once do not see each
 * other's.
 *
 * @param options The date of its clock, and options of its connection.
 * @returns The broker.
 * @throws {OptionError} If an option is unknown or bad.
 *
 * @example A handler that fails is called again a minute later
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Queue } from "@dashi/mq";
 * import { createTestBroker } from "@dashi/mq/testing";
 *
 * await using broker = createTestBroker();
 * const { connection, clock } = broker;
 *
 * const orders = new Queue<{ id: number }>("orders");
 * const attempts: number[] = [];
 * const running = connection.consumer(orders).run(({ attempt }) => {
 *   attempts.push(attempt);
 *   if (attempt < 3) throw new Error("the database is away");
 * }, { retry: { backoff: 60_000 } });
 *
 * await connection.send(orders, { id: 1 });
 * await broker.idle();
 * assertEquals(attempts, [1]);
 * await clock.advance(120_000);
 * assertEquals(attempts, [1, 2, 3]);
 * await connection.close();
 * await running;
 * ```
 */
export function createTestBroker(options: TestBrokerOptions = {}): TestBroker {
  return new TestBroker(options);
}

/**
 * The broker of a test. Make one with {@linkcode createTestBroker}.
 *
 * @example What was published
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Queue } from "@dashi/mq";
 * import { createTestBroker } from "@dashi/mq/testing";
 *
 * await using broker = createTestBroker();
 * await broker.connection.send(new Queue("orders"), { id: 1 });
 * assertEquals(broker.published.map(({ payload }) => payload), [{ id: 1 }]);
 * ```
 */
export class TestBroker implements AsyncDisposable {
  /** Its URL, for code that connects by itself: it meets this broker, and goes by its clock. */
  readonly url: string;
  /** The time of all connections to it, which passes when it is told to. */
  readonly clock: TestClock;
  /** Faults to order. */
  readonly faults: Faults;
  readonly #faults = new OrderedFaults();
  /** A connection to it. */
  readonly connection: Connection;
  readonly #published: PublishedMessage[] = [];
  readonly #codecs: CodecRegistry;
  readonly #connections = new Set<StoodIn>();
  readonly #transport: TestTransport;
  readonly #activity: Activity;
  readonly #remove: () => void;
  #closing: Promise<void> | undefined;

  /** Made by {@linkcode createTestBroker}. */
  constructor(options: TestBrokerOptions) {
    checkKnown(options, BROKER);
    const { date = new Date(), connection = {} } = options;
    this.faults = this.#faults;
    this.#codecs = connection.codecs ?? createCodecRegistry();
    this.clock = new TestClock({
      date,
      settle: (options) => this.#activity.settle(options),
    });
    this.#transport = new TestTransport(this.#faults, this.clock);
    const host = `test-${crypto.randomUUID()}`;
    this.url = `memory://${host}`;
    this.#activity = new Activity({
      url: this.url,
      clock: this.clock,
      transport: this.#transport,
      connections: this.#connections,
    });
    this.#remove = addStandIn(host, {
      transport: this.#transport,
      clock: this.clock,
      random: () => 1,
      made: (connection, hasHooks) => {
        this.#connections.add(connection);
        if (!hasHooks) this.#watch(connection);
      },
    });
    // For `const { idle } = broker`.
    this.idle = this.idle.bind(this);
    this.connect = this.connect.bind(this);
    this.connection = this.connect({ codecs: this.#codecs, ...connection });
  }

  /** The messages that were published, on all its connections, in the order in which the broker took them. A live array: `length = 0` forgets them. */
  get published(): PublishedMessage[] {
    return this.#published;
  }

  /**
   * Makes another connection to it, as `createConnection` with its URL does.
   *
   * @throws {ClosedError} If it was closed.
   */
  connect(options?: ConnectionOptions): Connection {
    if (this.#closing !== undefined) {
      throw new ClosedError(
        "Cannot connect: the test's broker was closed; make another one by createTestBroker()",
      );
    }
    return createConnection(this.url, options);
  }

  /** Lets all its connections be lost at once, as a restart of the broker does: its messages stay, and those that somebody held go back. They connect again. Resolves when they have noticed. */
  async loseConnections(): Promise<void> {
    this.#transport.loseAll();
    await quiet();
  }

  /**
   * Waits until nothing is left to do: no handler is at work, no consumer has a message that
   * it has not settled, and none is ready in a queue that somebody consumes from. Messages
   * that wait for their time, as retries do, are left out: `clock.advance` brings them.
   *
   * @param options How long it may take, in real time.
   * @throws {TimeoutError} If it is not idle by then, with what there is to do.
   */
  async idle(options: IdleOptions = {}): Promise<void> {
    checkKnown(options, IDLE);
    const { timeout = 5000 } = options;
    checkDuration("timeout", timeout);
    const until = SYSTEM_CLOCK.now() + timeout;
    for (;;) {
      const work = await this.#activity.left();
      if (work === undefined) return;
      if (SYSTEM_CLOCK.now() > until) {
        const { next } = this.clock;
        const then = next === undefined
          ? ""
          : `; if it waits for the clock, advance that: the next timer is due in ${next} ms`;
        throw new TimeoutError(
          `Cannot become idle in ${timeout} ms: ${work}${then}`,
        );
      }
      await realTime(1);
    }
  }

  /**
   * Closes all its connections, and ends it: handlers have a second of real time to come to
   * their end, and then the clock goes on until what waits for them has given up.
   */
  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  /** Closes it. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#remove();
    this.faults.clear();
    let isClosed = false;
    const closing = Promise.all(
      [...this.#connections].map((each) => each.close()),
    ).then(() => {
      isClosed = true;
    });
    const until = SYSTEM_CLOCK.now() + CLOSING;
    while (!isClosed && SYSTEM_CLOCK.now() < until) await realTime(1);
    await this.clock.advanceUntil(closing, { handlers: false });
    await this.#activity.end();
  }

  #watch(connection: StoodIn): void {
    const process = this.#activity.during;
    connection.use({
      publish: async (message, next) => {
        await next();
        this.#published.push(publishedOf(this.#codecs, message));
      },
      process,
      processBatch: process,
    });
  }
}
