import type { Clock } from "../../async/clock.ts";
import type { Mailbox } from "../../async/mailbox.ts";
import {
  AccessRefusedError,
  ChannelError,
  MessagingError,
  ResourceLockedError,
  UnsupportedError,
} from "../../model/errors.ts";
import type { ConnectionEvent } from "../connection/connection_state.ts";
import type { Declarations } from "../connection/declarations.ts";
import type { Flow } from "./flow.ts";
import type { Lane, ReceivedDelivery } from "./lane.ts";
import type { Call } from "../operation_options.ts";
import { Queue, queueName } from "../entities/queue.ts";
import type { Session } from "../connection/session.ts";
import type { StreamPositions } from "./stream_position.ts";
import type { Link } from "../connection/topology_channel.ts";

/** The settings of the consumers of queues. */
export interface ConsumeSettings {
  readonly queues: readonly (Queue | string)[];
  /** How much it may fetch, and when. */
  readonly flow: Flow;
  readonly noAck: boolean;
  readonly exclusive: boolean;
  readonly consumerTag: string | undefined;
  /** The arguments to consume with, and how far the consumer has come in streams. */
  readonly positions: StreamPositions;
}

/**
 * Makes the consumer tag for one of a consumer's queues.
 *
 * @param session The session.
 * @param settings The settings of the consumer.
 * @param queue The queue.
 * @returns The tag, if the consumer has one.
 */
export function tagFor(
  session: Session,
  { consumerTag, queues }: ConsumeSettings,
  queue: Queue | string,
): string | undefined {
  if (consumerTag === undefined || queues.length === 1) return consumerTag;
  const name = typeof queue === "string"
    ? queue
    : session.declarations.nameOf(queue) ?? queue.name;
  return `${consumerTag}.${name}`;
}

/**
 * Declares a queue, unless that was done on this connection.
 *
 * @param session The session.
 * @param queue The queue; by its name alone it must be there.
 * @param call The limits.
 * @returns Its name.
 */
export async function declared(
  session: Session,
  queue: Queue | string,
  call: Call,
): Promise<string> {
  if (!(queue instanceof Queue)) return queue;
  const { declarations } = session;
  if (!declarations.has(queue)) {
    const { topology } = await session.link(call);
    await topology.run(
      call,
      async (channel) => {
        if (declarations.has(queue)) return;
        await declarations.declare(queue, channel, call);
      },
      { holds: queue.exclusive, queues: [queue] },
    );
  }
  return declarations.nameOf(queue) ?? queue.name;
}

/**
 * Looks whether a queue is there before it is consumed from on a channel that others
 * share: on AMQP one that is not there would end it.
 *
 * @param session The session.
 * @param queue The queue; one that is declared anyway is not looked at.
 * @param call The limits.
 * @throws {NotFoundError} If it is not there.
 */
export async function lookAt(
  session: Session,
  queue: Queue | string,
  call: Call,
): Promise<void> {
  if (queue instanceof Queue || !session.knowsQueues) return;
  const { topology } = await session.link(call);
  await topology.run(call, (channel) => channel.checkQueue(queue, call));
}

/**
 * Says whether to consume again would end the same way: the queue is there, and cannot
 * be read.
 *
 * @param error The error that ended the consumer.
 * @returns Whether it would.
 */
export function isFinal(error: Error): boolean {
  return error instanceof MessagingError && !error.retryable &&
    error.code !== "consumer-cancelled";
}

/**
 * Says whether a consumer has no channel, for all are in use.
 *
 * @param error Why it does not consume.
 * @returns Whether it waits for one.
 */
export function isFull(error: Error): boolean {
  return error instanceof MessagingError &&
    error.code === "channels-exhausted";
}

/**
 * Makes of an error that says that somebody else has a queue one that may pass: our own
 * connection of before holds its exclusive queues and consumers until the broker has
 * noticed that it is gone.
 *
 * @param error Why it cannot be consumed from.
 * @param exclusive Whether the consumer is to be the only one.
 * @returns The error to go by.
 */
export function heldForNow(error: unknown, exclusive: boolean): unknown {
  const isHeld = error instanceof ResourceLockedError ||
    error instanceof AccessRefusedError && exclusive;
  if (!isHeld) return error;
  return new ChannelError(error.message, {
    code: "channel-closed",
    cause: error,
  });
}

/**
 * Requires a broker that can delay.
 *
 * @param link The connection to it.
 * @throws {UnsupportedError} If it cannot.
 */
export function requireDelay({ connection }: Link): void {
  if (connection.capabilities.has("delay")) return;
  throw new UnsupportedError(
    'Cannot wait between attempts: this broker lacks the capability "delay"; set backoff: 0 beside "attempts"',
  );
}

/**
 * Requires a broker that hands out the messages of a key in order.
 *
 * @param link The connection to it.
 * @throws {UnsupportedError} If it does not.
 */
export function requireKeyOrder({ connection }: Link): void {
  if (connection.capabilities.has("key-order")) return;
  throw new UnsupportedError(
    'Cannot run with "ordered": this broker lacks the capability "key-order"',
  );
}

/**
 * Refuses a broker that cannot count for all processes.
 *
 * @param link The open connection.
 * @throws {UnsupportedError} If it lacks the capability.
 */
export function requireSharedRate({ connection }: Link): void {
  if (connection.capabilities.has("shared-rate")) return;
  throw new UnsupportedError(
    'Cannot limit the rate with the scope "queue": this broker lacks the capability "shared-rate"; use "process", and divide "limit" by the number of processes',
  );
}

/**
 * Makes the event of a consumer that cannot consume for now.
 *
 * @param queues Its queues.
 * @param delay When it tries again, ms.
 * @param error Why.
 * @returns The event.
 */
export function consumeFailed(
  queues: readonly (Queue | string)[],
  delay: number,
  error: Error,
): ConnectionEvent {
  const [queue, ...others] = queues.map(queueName);
  return {
    type: isFull(error) ? "channels-exhausted" : "consume-failed",
    queue: others.length === 0 ? queue ?? "" : "",
    delay,
    error,
  };
}

/**
 * Takes the deliveries of a lane out of a mailbox, which others may share.
 *
 * @param mailbox The mailbox.
 * @param lane The lane.
 * @returns It.
 */
export function takeBack(
  mailbox: Mailbox<ReceivedDelivery>,
  lane: Lane,
): readonly ReceivedDelivery[] {
  const taken: ReceivedDelivery[] = [];
  for (const each of mailbox.clear()) {
    if (each.source.lane === lane) taken.push(each);
    else mailbox.put(each);
  }
  return taken;
}

/** That a consumer uses its queues: some go with their last one. */
export class QueueUse {
  readonly #clock: Clock;
  readonly #declarations: Declarations;
  readonly #loopWatch: Session["loopWatch"];
  readonly #queues: readonly (Queue | string)[];
  #isOn = false;
  /** Keeps the process alive: a consumer without a socket waits for messages, too. */
  #letGo: (() => void) | undefined;

  /** Makes one that has not begun. */
  constructor(
    { clock, declarations, loopWatch }: Pick<
      Session,
      "clock" | "declarations" | "loopWatch"
    >,
    queues: readonly (Queue | string)[],
  ) {
    this.#clock = clock;
    this.#declarations = declarations;
    this.#loopWatch = loopWatch;
    this.#queues = queues;
  }

  /** The consumer begins. */
  begin(): void {
    if (this.#isOn) return;
    this.#isOn = true;
    this.#letGo = this.#clock.timer(() => {}, Infinity);
    this.#loopWatch.begin();
    for (const queue of this.#queues) this.#declarations.use(queue);
  }

  /** The consumer has ended. */
  end(): void {
    if (!this.#isOn) return;
    this.#isOn = false;
    this.#letGo?.();
    this.#loopWatch.end();
    for (const queue of this.#queues) this.#declarations.release(queue);
  }
}
