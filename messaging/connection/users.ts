import type { Consumer } from "../consume/consumer.ts";
import {
  type ConnectionHealth,
  connectionHealth,
} from "./connection_health.ts";
import type { Producer } from "../publish/producer.ts";
import type { ScheduleHealth } from "./schedule_health.ts";
import type { Session } from "./session.ts";

type UsingProducer = Pick<Producer, "close" | "inFlight">;
/** The part of a requester that its connection uses. */
export interface UsingRequester {
  readonly waiting: number;
  close(call: { readonly deadline: number }): Promise<void>;
}
/** The part of schedules that their connection uses. */
export interface UsingScheduler {
  health(): ScheduleHealth;
  close(call: { readonly deadline: number }): Promise<void>;
}
type UsingConsumer = Pick<Consumer, "close" | "health">;

const NO_SCHEDULES: ScheduleHealth = {
  taking: 0,
  held: 0,
  published: 0,
  failures: 0,
};

/** The producers and consumers that use a connection, and what makes its requests and publishes its schedules. */
export class Users<R extends UsingRequester, S extends UsingScheduler> {
  readonly #session: Session;
  readonly #producers = new Set<UsingProducer>();
  /** With the names of their queues. */
  readonly #consumers = new Map<UsingConsumer, readonly string[]>();
  #requester: R | undefined;
  #scheduler: S | undefined;

  /** Makes one without any. */
  constructor(session: Session) {
    this.#session = session;
  }

  /** Makes a producer, which calls the given callback when it is closed. */
  addProducer<P extends UsingProducer>(
    make: (onClosed: () => void) => P,
  ): P {
    const producer = make(() => this.#producers.delete(producer));
    this.#producers.add(producer);
    return producer;
  }

  /** Makes a consumer of these queues, which calls the given callback when it is closed. */
  addConsumer<C extends UsingConsumer>(
    queues: readonly string[],
    make: (onClosed: () => void) => C,
  ): C {
    const consumer = make(() => this.#consumers.delete(consumer));
    this.#consumers.set(consumer, queues);
    return consumer;
  }

  /** Returns the requester, made with the first request. */
  requester(make: () => R): R {
    return this.#requester ??= make();
  }

  /** Returns the scheduler, made with the first schedule. */
  scheduler(make: () => S): S {
    return this.#scheduler ??= make();
  }

  /** Says how the connection is with them; it is closed, or about to be, if `isClosing`. */
  health(isClosing: boolean): ConnectionHealth {
    const session = this.#session;
    const consumers = [...this.#consumers].map(([consumer, queues]) => ({
      queues,
      ...consumer.health(),
    }));
    let inFlight = 0;
    for (const producer of this.#producers) inFlight += producer.inFlight;
    return connectionHealth({
      state: session.state,
      isConnected: session.open !== undefined,
      isClosing,
      problem: session.problem,
      blocked: session.blocking.reason,
      loopBlocked: session.loopWatch.blocked,
      connectedAt: session.connectedAt,
      consumers,
      inFlight,
      requests: {
        waiting: this.#requester?.waiting ?? 0,
        lateReplies: session.replies.late,
        undeliveredReplies: session.replies.undelivered,
        expiredRequests: session.replies.expired,
      },
      schedules: this.#scheduler?.health() ?? NO_SCHEDULES,
    });
  }

  /**
   * Ends them, in time or not: unsettled messages go back with the connection.
   *
   * @param drainTimeout Milliseconds that they have.
   * @param isHasty Whether not to wait for a broker that takes no messages for now.
   */
  async end(drainTimeout: number, isHasty = false): Promise<void> {
    const { clock, limits, blocking } = this.#session;
    const call = { deadline: clock.now() + drainTimeout };
    // Handlers may publish, and ask, until they have ended.
    const scheduler = this.#scheduler;
    this.#scheduler = undefined;
    await Promise.all([
      scheduler?.close(call),
      ...[...this.#consumers.keys()].map((each) =>
        each.close({ drainTimeout })
      ),
    ]);
    const requester = this.#requester;
    this.#requester = undefined;
    const ended = Promise.all([
      requester?.close(call),
      ...[...this.#producers].map((each) => each.close()),
    ]);
    // If the broker is blocked, nothing says how long that may last.
    const drained = isHasty ? Promise.race([ended, blocking.begun]) : ended;
    await limits.wait(drained, call, () => new Error("late")).catch(() => {});
  }
}
