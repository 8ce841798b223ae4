import { Mailbox } from "../../async/mailbox.ts";
import { ClosedError } from "../../model/errors.ts";
import type { Queue } from "../entities/queue.ts";
import type { Session } from "../connection/session.ts";
import type { Call } from "../operation_options.ts";
import { Flow } from "./flow.ts";
import { Incoming } from "./incoming.ts";
import { RecoveringConsumer } from "./recovering_consumer.ts";
import type { ReceivedDelivery } from "./lane.ts";
import type { Message } from "./message.ts";
import type { Reading } from "./reading.ts";
import { StreamPositions } from "./stream_position.ts";

/** How long a message that has come waits for its consumer to be cancelled, ms. */
const SOON = 1000;

/**
 * Waits for one message of a queue: by a consumer that takes no more than that, and ends
 * with it. The message that it took stays to be settled.
 */
export class Awaiter<T> {
  readonly #session: Session;
  readonly #queue: string;
  readonly #mailbox = new Mailbox<ReceivedDelivery>();
  readonly #incoming: Incoming<T>;
  readonly #recovering: RecoveringConsumer;
  #stopping: Promise<void> = Promise.resolve();

  /** Makes one that does nothing yet. */
  constructor(
    session: Session,
    reading: Reading<T>,
    queue: Queue | string,
    name: string,
    noAck: boolean,
  ) {
    this.#session = session;
    this.#queue = name;
    this.#recovering = new RecoveringConsumer(session, {
      queues: [queue],
      flow: new Flow(1),
      noAck,
      exclusive: false,
      consumerTag: undefined,
      positions: new StreamPositions(undefined),
    }, this.#mailbox);
    this.#incoming = new Incoming<T>(this.#mailbox, reading, {
      refuse: () => Promise.resolve(), // nothing is checked before it is read
      want: (count) => this.#recovering.want(count),
    });
  }

  /**
   * Waits for the message, and ends.
   *
   * @param call How long.
   * @param began Since when, on the clock.
   * @param late Makes the error where none came in time; its cause says why the queue was not consumed from, where it was not.
   * @returns The message.
   * @throws {ClosedError} If it was closed meanwhile.
   */
  async message(
    call: Call,
    began: number,
    late: (cause: Error | undefined) => Error,
  ): Promise<Message<T>> {
    this.#recovering.start();
    this.#recovering.want(1);
    const coming = this.#incoming.next(false, "get", began);
    try {
      const message = await this.#session.limits.wait(
        coming,
        call,
        () => late(this.#problem),
      );
      if (message !== undefined) {
        await (this.#stopping = this.#stopSoon());
        return message;
      }
    } catch (error) {
      this.#stopping = this.#stopSoon();
      // One that was taken in this very moment is not put back by anybody else.
      const taken = await coming.catch(() => undefined);
      if (taken !== undefined) return taken;
      throw error;
    }
    throw new ClosedError(
      `Cannot get a message of queue "${this.#queue}": it was closed here`,
    );
  }

  /** Ends it with the message that it has taken: that goes back unless it is settled. */
  async close(): Promise<void> {
    const call = this.#session.call();
    await this.#stop();
    await this.#recovering.close(call).catch(() => {});
  }

  /** Whether it has ended, with the message that it has taken. */
  get isGone(): boolean {
    return this.#mailbox.ended && this.#recovering.sources.length === 0;
  }

  /** Resolves when nothing consumes for it any more, or the broker was slow to say so. Never rejects. */
  get stopped(): Promise<void> {
    return this.#stopping;
  }

  /** The next message is to be pushed to somebody else; a broker that is slow to answer is not waited for. */
  async #stopSoon(): Promise<void> {
    const { clock, limits } = this.#session;
    const stopping = this.#stop();
    this.#session.track(stopping);
    const late = () => new Error("late");
    await limits.wait(stopping, { deadline: clock.now() + SOON }, late)
      .catch(() => {});
  }

  async #stop(): Promise<void> {
    this.#mailbox.end();
    const left = this.#mailbox.clear();
    try {
      await this.#recovering.stop(left, this.#session.call());
    } catch {
      // The messages that it held go back with its channel.
    }
  }

  /** Why it does not consume now, as far as it is known. */
  get #problem(): Error | undefined {
    if (this.#recovering.sources.length > 0) return undefined;
    return this.#recovering.lastError ?? this.#session.problem;
  }
}
