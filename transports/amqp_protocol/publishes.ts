import type { Deadline } from "../../async/deadlines.ts";
import type { Limits } from "../../async/limits.ts";
import type { CallOptions } from "../../model/call_options.ts";
import {
  ChannelError,
  type MessagingError,
  NotFoundError,
  PublishError,
  TimeoutError,
} from "../../model/errors.ts";
import type { Publishing } from "../../model/message.ts";
import type { PublishOutcome } from "../transport.ts";
import type { ChannelContext } from "./context.ts";
import { channelError, isUnsent, missingIn } from "./errors.ts";
import type { Failure } from "./failure.ts";
import { withSlots } from "./ordered_layout.ts";
import type { AmqpClientChannel, RawMessage } from "./port.ts";

const ACCEPTED: PublishOutcome = { type: "accepted", queues: undefined };

/** Publishes a message that came back from the default exchange to where it may be meant for, if that is somewhere else. */
export type Elsewhere = (
  message: Publishing,
  returned: PublishOutcome,
) => Promise<PublishOutcome>;

/** A message that the broker has not answered for, in a list of them in the order in which they were sent. */
interface InFlight {
  readonly message: Publishing;
  readonly resolve: (
    outcome: PublishOutcome | Promise<PublishOutcome>,
  ) => void;
  readonly reject: (error: unknown) => void;
  deadline: Deadline | undefined;
  unlisten: (() => void) | undefined;
  returned: string | undefined;
  waiting: boolean;
  previous: InFlight | undefined;
  next: InFlight | undefined;
}

/** The messages of a channel that wait for the broker's answer. */
export class Publishes {
  readonly #client: AmqpClientChannel;
  readonly #limits: Limits;
  readonly #onLate: (error: TimeoutError | ChannelError) => void;
  readonly #blocked: () => string | undefined;
  /** Whether a mandatory message that no queue takes is nacked, as Qpid does, and given back behind that. */
  readonly #nacksUnrouted: boolean;
  readonly #elsewhere: Elsewhere;
  readonly #ordered: ChannelContext["ordered"];
  /** Queues that are looked at. */
  readonly #looking = new Map<string, Promise<boolean>>();
  #first: InFlight | undefined;
  #last: InFlight | undefined;

  /**
   * Makes one for a channel; `onLate` ends the channel, which owes an answer, or takes
   * nothing any more; `blocked` says why it may; `elsewhere` is asked about a message to a
   * queue that is not there.
   */
  constructor(
    client: AmqpClientChannel,
    { limits, blocked, server, ordered }: Pick<
      ChannelContext,
      "limits" | "blocked" | "server" | "ordered"
    >,
    onLate: (error: TimeoutError | ChannelError) => void,
    elsewhere: Elsewhere,
  ) {
    this.#client = client;
    this.#limits = limits;
    this.#blocked = blocked;
    this.#nacksUnrouted = !server().isLikeRabbitmq;
    this.#onLate = onLate;
    this.#elsewhere = elsewhere;
    this.#ordered = ordered;
  }

  /** Publishes a message. */
  publish(message: Publishing, options?: CallOptions): Promise<PublishOutcome> {
    return new Promise((resolve, reject) => {
      const flight: InFlight = {
        message,
        resolve,
        reject,
        deadline: undefined,
        unlisten: undefined,
        returned: undefined,
        waiting: true,
        previous: undefined,
        next: undefined,
      };
      this.#send(flight);
      this.#add(flight);
      if (options !== undefined) this.#watch(flight, options);
    });
  }

  /** The broker gives a mandatory message back; its ack follows. */
  returned(message: RawMessage): void {
    for (
      let flight = this.#first;
      flight !== undefined;
      flight = flight.next
    ) {
      if (!flight.message.mandatory || flight.returned !== undefined) continue;
      if (!isSame(flight.message, message)) continue;
      flight.returned = message.fields.replyText ?? "NO_ROUTE";
      return;
    }
  }

  /** The channel has ended: nobody answers any more. */
  lose(failure: Failure | undefined, lost: Error): void {
    for (
      let flight = this.#first;
      flight !== undefined;
      flight = this.#first
    ) {
      this.#settled(flight);
      flight.reject(culprit(flight.message, failure) ?? lost);
    }
  }

  #send(flight: InFlight): void {
    const { message } = flight;
    try {
      const sent = withSlots(message);
      this.#client.publish(sent, (error) => this.#answered(flight, error));
    } catch (cause) {
      if (isUnsent(cause)) throw cause;
      // The client has closed it by itself, and waits for the broker to say that it has heard.
      const error = new ChannelError(
        `Cannot ${describePublish(message)}: the client has closed the channel`,
        { code: "channel-closed", outcome: "not-sent", cause },
      );
      this.#onLate(error);
      throw error;
    }
  }

  #answered(flight: InFlight, error: unknown): void {
    if (!flight.waiting) return; // nobody waits for it any more
    // That the channel has closed is told to all by `lose`, with the reason.
    if (isClosed(error)) return;
    this.#settled(flight);
    if (error && flight.message.mandatory && this.#nacksUnrouted) {
      flight.resolve({ type: "returned", replyText: "NO_ROUTE" });
    } else if (error) {
      flight.resolve(this.#refused(flight.message, error));
    } else if (flight.returned === undefined) flight.resolve(ACCEPTED);
    else {
      const { message, returned: replyText } = flight;
      const outcome: PublishOutcome = { type: "returned", replyText };
      flight.resolve(
        message.exchange === "" ? this.#elsewhere(message, outcome) : outcome,
      );
    }
  }

  /**
   * RabbitMQ 4.3 refuses a message to a queue that is just being deleted, which it returned
   * before: it has reached no queue, as one that comes a moment later.
   */
  async #refused(message: Publishing, cause: unknown): Promise<PublishOutcome> {
    const { exchange, routingKey, mandatory, properties: { headers } } =
      message;
    const goesToOne = exchange === "" && headers?.CC === undefined &&
      headers?.BCC === undefined;
    if (goesToOne && await this.#isGone(routingKey)) {
      const outcome: PublishOutcome = {
        type: "returned",
        replyText: "NO_ROUTE",
      };
      return mandatory ? outcome : ACCEPTED;
    }
    throw new PublishError(
      `Cannot ${describePublish(message)}: the broker refused it${
        goesToOne
          ? ", as of a queue that is full"
          : "; a queue that it goes to is full, or is just being deleted, and others may have it"
      }`,
      { code: "publish-refused", cause },
    );
  }

  #isGone(queue: string): Promise<boolean> {
    let looking = this.#looking.get(queue);
    if (looking === undefined) {
      looking = this.#ordered
        .run((channel, call) => channel.checkQueue(queue, call))
        .then(() => false, isMissing)
        .finally(() => this.#looking.delete(queue));
      this.#looking.set(queue, looking);
    }
    return looking;
  }

  #stop(
    flight: InFlight,
    reason: { readonly aborted: unknown } | undefined,
  ): void {
    this.#settled(flight);
    if (reason !== undefined) return flight.reject(reason.aborted);
    const blocked = this.#blocked();
    const error = new TimeoutError(
      `Cannot ${describePublish(flight.message)} in time: the broker ${
        blocked === undefined
          ? "has not answered"
          : `takes no messages for now (${blocked})`
      }`,
      { outcome: "unknown" },
    );
    flight.reject(error);
    // It answers when it reads again: the others wait for that.
    if (blocked === undefined) this.#onLate(error);
  }

  #watch(flight: InFlight, { signal, deadline }: CallOptions): void {
    if (deadline !== undefined && deadline !== Infinity) {
      flight.deadline = this.#limits.watchDeadline(
        deadline,
        () => this.#stop(flight, undefined),
      );
    }
    if (signal === undefined) return;
    flight.unlisten = this.#limits.watch(
      { signal },
      (reason) => this.#stop(flight, reason),
    );
  }

  #add(flight: InFlight): void {
    flight.previous = this.#last;
    if (this.#last === undefined) this.#first = flight;
    else this.#last.next = flight;
    this.#last = flight;
  }

  #settled(flight: InFlight): void {
    flight.waiting = false;
    flight.deadline?.cancel();
    flight.unlisten?.();
    const { previous, next } = flight;
    if (previous === undefined) this.#first = next;
    else previous.next = next;
    if (next === undefined) this.#last = previous;
    else next.previous = previous;
  }
}

/**
 * Says for an error what publishing a message is.
 *
 * @param message The message.
 * @returns Text to follow `Cannot `.
 */
export function describePublish(message: Publishing): string {
  return message.exchange === ""
    ? `publish to queue "${message.routingKey}"`
    : `publish to exchange "${message.exchange}" with routing key "${message.routingKey}"`;
}

/** Of one whose node is down AMQP says that it is not found, too. */
function isMissing(error: unknown): boolean {
  return error instanceof NotFoundError &&
    error.message.includes("there is no such queue");
}

function isClosed(error: unknown): boolean {
  return error instanceof Error && error.message === "channel closed";
}

/** A channel ends with all that is in flight; the broker's words tell whose fault it was. */
function culprit(
  message: Publishing,
  failure: Failure | undefined,
): MessagingError | undefined {
  if (failure === undefined) return undefined;
  if (!isNamed(message, failure.text)) return undefined;
  const error = channelError(describePublish(message), failure);
  return error instanceof ChannelError && error.retryable ? undefined : error;
}

/** Whether the words are about this message, and every other that is like it in that. */
function isNamed(
  { exchange, routingKey, properties, body }: Publishing,
  words: string,
): boolean {
  const size = /message size (\d+)/.exec(words)?.[1];
  if (size !== undefined) return Number(size) === body.byteLength;
  if (words.includes("access to topic '")) {
    return words.includes(
      `access to topic '${routingKey}' in exchange '${exchange}'`,
    );
  }
  const { userId } = properties;
  if (words.includes("user_id property set to '")) {
    return userId !== undefined &&
      words.includes(`user_id property set to '${userId}'`);
  }
  const missing = missingIn(words);
  return words.includes(`exchange '${exchange}'`) ||
    (missing?.kind === "exchange" && missing.name === exchange);
}

function isSame(publishing: Publishing, message: RawMessage): boolean {
  const { fields, properties, content } = message;
  return publishing.exchange === fields.exchange &&
    publishing.routingKey === fields.routingKey &&
    publishing.properties.messageId === properties.messageId &&
    publishing.properties.correlationId === properties.correlationId &&
    hasSameBytes(publishing.body, content);
}

function hasSameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && a.every((byte, i) => byte === b[i]);
}
