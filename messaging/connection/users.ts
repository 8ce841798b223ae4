import { type CodecRegistry, createCodecRegistry } from "../../codec/mod.ts";
import { Consumer } from "../consume/consumer.ts";
import type { ConsumerOptions } from "../consume/consumer_options.ts";
import { Getter } from "../consume/getter.ts";
import type { Decoding } from "../consume/reading.ts";
import {
  makeSimpleQueue,
  type SimpleQueue,
  type SimpleQueueOptions,
} from "../consume/simple_queue.ts";
import { type Queue, queueName } from "../entities/queue.ts";
import { isStream, keepsMessages } from "../entities/queue_types.ts";
import type { PublishOrigin } from "../middleware/hooks.ts";
import { HookedPublisher } from "../publish/hooked_publisher.ts";
import { Producer } from "../publish/producer.ts";
import type { ProducerOptions } from "../publish/producer_options.ts";
import { SessionPublisher } from "../publish/publisher.ts";
import { Requester } from "../reply/requester.ts";
import { Scheduler } from "../schedule/scheduler.ts";
import {
  type ConnectionHealth,
  connectionHealth,
} from "./connection_health.ts";
import { QueueHandle } from "./queue_handle.ts";
import { redrive, type Redriven, type RedriveOptions } from "./redrive.ts";
import type { ScheduleHealth } from "./schedule_health.ts";
import type { Session } from "./session.ts";
import { queueNameIn } from "./tables.ts";

const NO_SCHEDULES: ScheduleHealth = {
  taking: 0,
  held: 0,
  published: 0,
  failures: 0,
};

/** All that uses a connection: it makes producers, consumers, requests and schedules, counts them, and ends them. */
export class Users {
  readonly #session: Session;
  readonly #codecs: CodecRegistry;
  readonly #decoding: Decoding;
  readonly #publisher: SessionPublisher;
  readonly #producers = new Set<Pick<Producer, "close" | "inFlight">>();
  /** With the names of their queues. */
  readonly #consumers = new Map<
    Pick<Consumer, "close" | "health">,
    readonly string[]
  >();
  #sender: Producer | undefined;
  #requester: Requester | undefined;
  #scheduler: Scheduler | undefined;

  /** Makes one without any. */
  constructor(
    session: Session,
    { codecs = createCodecRegistry(), maxDecompressedSize }: {
      readonly codecs?: CodecRegistry | undefined;
      readonly maxDecompressedSize?: number | undefined;
    },
  ) {
    this.#session = session;
    this.#codecs = codecs;
    this.#decoding = { codecs, maxDecompressedSize, uses: session.uses };
    this.#publisher = new SessionPublisher(session);
  }

  /** Makes a producer. */
  producer<T>(
    options: ProducerOptions,
    origin: PublishOrigin = "publish",
  ): Producer<T> {
    const producer: Producer<T> = new Producer<T>(
      this.#session,
      new HookedPublisher(this.#publisher, this.#session.uses, origin),
      this.#codecs,
      options,
      () => this.#producers.delete(producer),
    );
    this.#producers.add(producer);
    return producer;
  }

  /** The producer of single messages. */
  get sender(): Producer {
    return this.#sender ??= this.producer({});
  }

  /** Makes a consumer of some queues. */
  consumer<T>(
    queues: readonly (Queue | string)[],
    options: ConsumerOptions<T>,
  ): Consumer<T> {
    const names = queues.map(queueName);
    const consumer: Consumer<T> = new Consumer<T>(
      this.#session,
      this.#decoding,
      queues,
      options,
      () => this.#consumers.delete(consumer),
      this.#publisher,
    );
    this.#consumers.set(consumer, names);
    return consumer;
  }

  /** Makes a simple queue. */
  simpleQueue<T>(
    name: string | Queue,
    options: SimpleQueueOptions,
  ): SimpleQueue<T> {
    return makeSimpleQueue<T>(
      this.#session,
      this.#decoding,
      (producer) => this.producer<T>(producer),
      name,
      options,
    );
  }

  /** Makes the handle of a queue. */
  queue<T>(
    queue: Queue<T> | string,
    decoding: Decoding = this.#decoding,
  ): QueueHandle<T> {
    const name = queueNameIn(this.#session, queue, "queue");
    const getter = new Getter<T>(this.#session, decoding, undefined, false);
    const isStreamed = typeof queue !== "string" && isStream(queue);
    return new QueueHandle<T>(this.#session, getter, name, isStreamed);
  }

  /** Puts dead letters back, each as it lies there: a middleware need not be able to read it. */
  async redrive(
    from: Queue | string,
    options: RedriveOptions,
  ): Promise<Redriven> {
    const queue = this.queue(from, { ...this.#decoding, uses: undefined });
    const declared = this.#session.declarations.queueOf(queue.name);
    if (declared !== undefined && isStream(declared) || queue.isStream) {
      throw keepsMessages(`redrive the messages of queue "${queue.name}"`);
    }
    const producer = this.producer({}, "redrive");
    try {
      return await redrive(this.#session, queue, producer, options);
    } finally {
      await Promise.all([queue.close(), producer.close()]);
    }
  }

  /** The requester, made with the first request. */
  get requester(): Requester {
    return this.#requester ??= new Requester({
      session: this.#session,
      decoding: this.#decoding,
      codecs: this.#codecs,
      publisher: this.#publisher,
    });
  }

  /** The scheduler, made with the first schedule. */
  get scheduler(): Scheduler {
    const { uses } = this.#session;
    return this.#scheduler ??= new Scheduler({
      session: this.#session,
      decoding: { ...this.#decoding, uses: undefined },
      codecs: this.#codecs,
      publisher: this.#publisher,
      ticks: new HookedPublisher(this.#publisher, uses, "schedule"),
      counts: { published: 0, failures: 0 },
      request: (payload, options) =>
        this.requester.request(payload, options, true),
    });
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
    this.#sender = undefined;
    const ended = Promise.all([
      requester?.close(call),
      ...[...this.#producers].map((each) => each.close()),
    ]);
    // If the broker is blocked, nothing says how long that may last.
    const drained = isHasty ? Promise.race([ended, blocking.begun]) : ended;
    await limits.wait(drained, call, () => new Error("late")).catch(() => {});
  }
}
