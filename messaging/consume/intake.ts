import { Mailbox } from "../../async/mailbox.ts";
import { asError } from "../../model/error_text.ts";
import { ClosedError } from "../../model/errors.ts";
import { Slab } from "../../model/slab.ts";
import type { Session } from "../connection/session.ts";
import type { Link } from "../connection/topology_channel.ts";
import type { Queue } from "../entities/queue.ts";
import { validator } from "../entities/schema.ts";
import type { Call } from "../operation_options.ts";
import type { AskInvalid } from "./checked.ts";
import { type ConsumerOptions, schemaOf } from "./consumer_options.ts";
import { Flow } from "./flow.ts";
import { Incoming } from "./incoming.ts";
import type { ReceivedDelivery } from "./lane.ts";
import type { ReceivedMessage } from "./message.ts";
import { Outcomes, type OutcomesHost } from "./outcomes.ts";
import { outcomesHost } from "./outcomes_host.ts";
import type { Decoding, Reading } from "./reading.ts";
import { RecoveringConsumer } from "./recovering_consumer.ts";
import type { RunOptions } from "./run_options.ts";
import { positionsOf, requireStreams } from "./stream_options.ts";
import { handlerFailed } from "./teller.ts";

/**
 * The messages that come to a consumer: it consumes over lost connections, ends, and begins
 * anew where it is wanted again.
 *
 * @typeParam T The type of its messages' `payload`.
 */
export class Intake<T> {
  readonly session: Session;
  readonly queues: readonly (Queue | string)[];
  readonly options: ConsumerOptions<T>;
  readonly reading: Reading<T>;
  /** Whether payloads are read before they are handed over. */
  readonly checks: boolean;
  /** Whether it takes messages, and how many. */
  readonly flow: Flow;
  mailbox: Mailbox<ReceivedDelivery> = new Mailbox();
  incoming: Incoming<T>;
  recovering: RecoveringConsumer;
  hasStarted = false;
  /** Whether it has ended for good. */
  isClosed = false;
  /** The last error of a handler. */
  handlerError: Error | undefined;
  /** Sees to messages that a loop's schema refused. */
  #refused: Outcomes<T> | undefined;
  #unlisten: (() => void) | undefined;

  /** Makes one that has not started. */
  constructor(
    session: Session,
    decoding: Decoding,
    queues: readonly (Queue | string)[],
    options: ConsumerOptions<T>,
  ) {
    this.session = session;
    this.queues = queues;
    this.options = options;
    const schema = options.schema ?? schemaOf<T>(queues);
    this.reading = {
      ...decoding,
      accept: decoding.codecs.acceptSet(options.accept),
      check: validator(schema),
      slab: new Slab(),
    };
    this.checks = schema !== undefined || options.onInvalid !== undefined;
    this.flow = new Flow(options.prefetch ?? 100);
    this.incoming = this.#newIncoming();
    this.recovering = this.#newRecovering();
  }

  /**
   * Starts to consume; it may be called again.
   *
   * @param needs Checks that the broker has to pass.
   * @throws {ClosedError} If it has ended for good.
   */
  start(needs: readonly ((link: Link) => void)[] = []): void {
    if (this.isClosed) {
      throw new ClosedError("Cannot consume: the consumer is closed");
    }
    if (this.hasStarted && this.mailbox.ended) {
      // It was cancelled, and is wanted again.
      this.mailbox = new Mailbox<ReceivedDelivery>();
      this.incoming = this.#newIncoming();
      this.recovering = this.#newRecovering();
      this.hasStarted = false;
    }
    for (const each of needs) this.recovering.require(each);
    if (this.hasStarted) return;
    this.hasStarted = true;
    this.#listen();
    if (!this.mailbox.ended) this.recovering.start();
  }

  /** Ends it, and gives back messages that nobody has taken; those in the user's hands stay to be settled. */
  async cancel(call: Call): Promise<void> {
    this.mailbox.end();
    // Out of reach at once: a loop that takes one after the other gets no more.
    const left = this.mailbox.clear();
    this.#unlisten?.();
    this.session.track(this.#letRefusedGo());
    if (this.hasStarted) await this.recovering.stop(left, call);
  }

  /** Asks `onInvalid`, if it is there. Never rejects. */
  readonly ask: AskInvalid<T> = async (error, message) => {
    const { onInvalid } = this.options;
    if (onInvalid === undefined) return false;
    try {
      await onInvalid(error, message);
    } catch (cause) {
      this.session.emit(handlerFailed(asError(cause), message, undefined));
    }
    return true;
  };

  /** Makes the services that outcomes use; `onError` is of their own handler. */
  outcomesHost(onError?: RunOptions<T>["onError"]): OutcomesHost<T> {
    return outcomesHost(
      this.session,
      onError ?? this.options.onError,
      (error) => this.handlerError = error,
    );
  }

  #listen(): void {
    const { signal } = this.options;
    if (signal === undefined) return;
    const onAbort = () => {
      this.mailbox.fail(signal.reason);
      const left = this.mailbox.clear();
      this.session.track(this.#letRefusedGo());
      this.session.track(
        this.recovering.stop(left, this.session.call(undefined)),
      );
    };
    if (signal.aborted) return onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    this.#unlisten = () => signal.removeEventListener("abort", onAbort);
  }

  /** Sees to a message for a loop whose payload is not right, or that a middleware failed for. Never rejects. */
  async #refuse(message: ReceivedMessage<T>, error: Error): Promise<void> {
    const refused = this.#refused ??= new Outcomes<T>({}, this.outcomesHost());
    if (!message.isUnreadable(error)) {
      return await refused.failedBefore(message, error);
    }
    const isAsked = await this.ask(error, message);
    await refused.refused(message, error, isAsked); // it may be let go meanwhile
  }

  /** Messages that a loop's schema refused, and that could not be parked, are waited for no longer. */
  async #letRefusedGo(): Promise<void> {
    const refused = this.#refused;
    this.#refused = undefined;
    refused?.drain();
    await refused?.idle();
  }

  #newIncoming(): Incoming<T> {
    return new Incoming(this.mailbox, this.reading, {
      refuse: (message, error) => this.#refuse(message, error),
      want: (count) => this.recovering.want(count),
    });
  }

  #newRecovering(): RecoveringConsumer {
    const { autoAck, exclusive, consumerTag } = this.options;
    const recovering = new RecoveringConsumer(this.session, {
      queues: this.queues,
      flow: this.flow,
      noAck: autoAck ?? false,
      exclusive: exclusive ?? false,
      consumerTag,
      positions: positionsOf(this.options, this.queues),
    }, this.mailbox);
    if (this.options.offset !== undefined) recovering.require(requireStreams);
    return recovering;
  }
}
