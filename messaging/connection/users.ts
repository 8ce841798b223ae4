import type { Consumer } from "../consume/consumer.ts";
import {
  type ConnectionHealth,
  connectionHealth,
} from "./connection_health.ts";
import type { Producer } from "../publish/producer.ts";
import type { Session } from "./session.ts";

type UsingProducer = Pick<Producer, "close" | "inFlight">;
type UsingConsumer = Pick<Consumer, "close" | "health">;

/** The producers and consumers that use a connection. */
export class Users {
  readonly #session: Session;
  readonly #producers = new Set<UsingProducer>();
  /** With the names of their queues. */
  readonly #consumers = new Map<UsingConsumer, readonly string[]>();

  /** Makes one without any. */
  constructor(session: Session) {
    this.#session = session;
  }

  /** Makes a producer, which calls what it is given when it is closed. */
  addProducer<P extends UsingProducer>(
    make: (onClosed: () => void) => P,
  ): P {
    const producer = make(() => this.#producers.delete(producer));
    this.#producers.add(producer);
    return producer;
  }

  /** Makes a consumer of these queues, which calls what it is given when it is closed. */
  addConsumer<C extends UsingConsumer>(
    queues: readonly string[],
    make: (onClosed: () => void) => C,
  ): C {
    const consumer = make(() => this.#consumers.delete(consumer));
    this.#consumers.set(consumer, queues);
    return consumer;
  }

  /** Says how the connection is with them. */
  health(): ConnectionHealth {
    const consumers = [...this.#consumers].map(([consumer, queues]) => ({
      queues,
      ...consumer.health(),
    }));
    let inFlight = 0;
    for (const producer of this.#producers) inFlight += producer.inFlight;
    return connectionHealth({
      state: this.#session.state,
      consumers,
      inFlight,
    });
  }

  /**
   * Ends them, in time or not: what is left goes back with the connection.
   *
   * @param drainTimeout Milliseconds that they have.
   * @param isHasty Whether not to wait for a broker that takes no messages for now.
   */
  async end(drainTimeout: number, isHasty = false): Promise<void> {
    const { clock, limits, blocking } = this.#session;
    const call = { deadline: clock.now() + drainTimeout };
    // Handlers may publish until they have ended.
    await Promise.all(
      [...this.#consumers.keys()].map((each) => each.close({ drainTimeout })),
    );
    const ended = Promise.all(
      [...this.#producers].map((each) => each.close()),
    );
    // Where the broker takes none, nothing says how long that may last.
    const drained = isHasty ? Promise.race([ended, blocking.begun]) : ended;
    await limits.wait(drained, call, () => new Error("late")).catch(() => {});
  }
}
