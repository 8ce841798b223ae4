import { Line } from "../../async/line.ts";
import { turn } from "../../async/turn.ts";
import {
  ChannelError,
  NotFoundError,
  UnroutableError,
} from "../../model/errors.ts";
import type { Publishing } from "../../model/message.ts";
import type { Channel, PublishOutcome } from "../../transports/transport.ts";
import type { Call } from "../operation_options.ts";
import { isLost } from "../connection/retry.ts";
import type { Session } from "../connection/session.ts";
import { declareOne } from "./declare_first.ts";
import type { Link } from "../connection/topology_channel.ts";
import { isPassing, RefusedPublishes } from "./refused_publishes.ts";
import { late, noExchange, withOutcome } from "../connection/session_errors.ts";
import {
  lateAt,
  NO_PLACE,
  noteDuplicate,
  type OrderedPlace,
  type Place,
  type Progress,
  type Publishable,
  type PublishCall,
  waited,
} from "./publish_call.ts";
import { Republisher } from "./republisher.ts";
import { reachedNobody, unknowable, unroutable } from "./unroutable.ts";

/** The channel for publishing on one link, and the exchanges that are known to be there. */
interface PublishChannel {
  readonly link: Link;
  readonly channel: Channel;
  readonly known: Set<string>;
}

/**
 * Publishes for all producers of a session, on one channel.
 *
 * Before the first message to a named exchange it looks whether that is there: on
 * RabbitMQ publishing to a missing one ends the channel with all that is in flight.
 * A message that was in flight when a connection was lost is published again within its
 * deadline, under its message id: at least once. After a channel has failed that is
 * done on another than new messages take, so that only the culprit rejects.
 */
export class SessionPublisher {
  readonly #session: Session;
  #lane: PublishChannel | undefined;
  #opening: Promise<PublishChannel> | undefined;
  #declaring: Promise<void> | undefined;
  /** After a channel has ended: the messages that may be the reason. */
  readonly #suspects: Republisher;
  /** The messages that the broker has refused: one like them is a suspect from the start. */
  readonly #refused: RefusedPublishes;
  /** After a call has failed on a channel that goes on: one at a time. */
  readonly #retrying = new Line();

  /** Makes one that opens its channel with the first message. */
  constructor(session: Session) {
    this.#session = session;
    this.#suspects = new Republisher(session);
    this.#refused = new RefusedPublishes(session.clock);
  }

  /**
   * Publishes a message, and waits for the broker to answer for it. One that must wait for
   * something first is not overtaken by the later ones of its line.
   *
   * @throws {UnroutableError} If it was mandatory and no queue took it.
   * @throws {NotFoundError} If there is no such exchange.
   * @throws {TimeoutError} If it was not answered for by the deadline.
   */
  publish(
    message: Publishable,
    call: PublishCall,
    place: OrderedPlace,
  ): Promise<void> {
    const lane = this.#lane;
    if (typeof message === "function") {
      const made = this.#publishInLine(message, waited(call), place.line);
      return place.follow(made);
    }
    if (this.#isRefused(message)) {
      return place.follow(this.#publishApart(message, waited(call)));
    }
    return lane === undefined || place.line.busy || !isKnown(lane, message) ||
        this.#isUnknowable(message, call)
      ? place.follow(this.#publishInLine(message, waited(call), place.line))
      : this.#send(lane, message, call, place);
  }

  #publishInLine(
    message: Publishable,
    call: PublishCall,
    line: Line,
  ): Promise<void> {
    const { limits } = this.#session;
    const progress: Progress = { made: false, sent: false };
    const lateNow = () => lateAt(progress, call, this.#session.obstacle);
    const turn = line.stand(() => {
      if (limits.isLate(call)) throw lateNow();
      return this.#prepareStep(message, call, progress);
    });
    const published = turn.taken.then((publish) => publish());
    const waiting = limits.wait(published, call, lateNow);
    // A caller that waits no longer must not stay in the line, with its message.
    return waiting.catch((error) => {
      turn.leave();
      throw error;
    });
  }

  /** Makes a message, and prepares its channel; returns what publishes it. */
  async #prepareStep(
    wanted: Publishable,
    call: PublishCall,
    progress: Progress,
  ): Promise<() => Promise<void>> {
    const message = typeof wanted === "function" ? await wanted() : wanted;
    progress.made = true;
    if (this.#isRefused(message)) {
      return () => this.#publishApart(message, call);
    }
    let lane: PublishChannel;
    try {
      lane = await this.#prepare(message, call);
    } catch (error) {
      return () => this.#recover(error, undefined, message, call);
    }
    return async () => {
      const current = this.#current(message) ??
        await this.#replyAnew(message, call);
      progress.sent = true;
      await this.#send(lane, current, call, NO_PLACE);
    };
  }

  #isRefused(message: Publishing): boolean {
    return !this.#refused.isEmpty && this.#refused.has(message);
  }

  /** It costs one promise beside the channel's where all goes well. */
  #send(
    lane: PublishChannel,
    message: Publishing,
    call: PublishCall,
    place: Place,
  ): Promise<void> {
    return lane.channel.publish(message, call).then(
      (outcome) =>
        outcome.type !== "accepted"
          ? place.follow(this.#notTaken(outcome, message, waited(call)))
          : outcome.queues === 0
          ? place.follow(this.#reachedNobody(message, waited(call)))
          : place.leave(),
      (error) =>
        place.follow(this.#recover(error, lane, message, waited(call))),
    );
  }

  async #prepare(
    message: Publishing,
    call: PublishCall,
  ): Promise<PublishChannel> {
    const lane = await this.#open(call);
    if (this.#isUnknowable(message, call)) throw unknowable(message);
    const { exchange } = message;
    if (isKnown(lane, message)) return lane;
    await lane.link.topology.run(
      call,
      (channel) => channel.checkExchange(exchange, call),
    ).catch((error) => {
      throw noExchange(exchange, error);
    });
    lane.known.add(exchange);
    return lane;
  }

  /** Whether somebody wants to know of a queue what the broker does not. */
  #isUnknowable({ exchange }: Publishing, { mandatory }: PublishCall): boolean {
    return mandatory === true && exchange === "" && !this.#session.knowsQueues;
  }

  async #open(call: Call): Promise<PublishChannel> {
    if (this.#lane !== undefined) return this.#lane;
    const link = await this.#session.link(call);
    this.#opening ??= this.#openOn(link).finally(() =>
      this.#opening = undefined
    );
    return await this.#session.limits.wait(
      this.#opening,
      call,
      () => late(false, this.#session.obstacle),
    );
  }

  /** Shared by all callers that wait for it: by the session's limits, and not by those of the first. */
  async #openOn(link: Link): Promise<PublishChannel> {
    const channel = await link.connection.openChannel({
      deadline: this.#session.call().deadline,
      use: "publish",
    });
    const lane: PublishChannel = { link, channel, known: new Set() };
    this.#lane = lane;
    channel.closed.then(() => {
      if (this.#lane === lane) this.#lane = undefined;
    });
    return lane;
  }

  /** A message as it is to be sent now; `undefined` if its reply queue has another name since. */
  #current(message: Publishing): Publishing | undefined {
    const { replyTo } = message.properties;
    if (replyTo === undefined) return message;
    const { declarations } = this.#session;
    return declarations.renamed(replyTo) === undefined ? message : undefined;
  }

  /** The broker chose another name for the queue that replies go to: the old one is gone. */
  async #replyAnew(message: Publishing, call: Call): Promise<Publishing> {
    const { properties } = message;
    const { declarations } = this.#session;
    const queue = declarations.renamed(properties.replyTo ?? "");
    if (queue === undefined) return message;
    await declareOne(this.#session, queue, call);
    const replyTo = declarations.nameOf(queue);
    return { ...message, properties: { ...properties, replyTo } };
  }

  /** Says what to do after a failure: publish again, or give it up. */
  async #recover(
    error: unknown,
    lane: PublishChannel | undefined,
    message: Publishing,
    call: PublishCall,
  ): Promise<void> {
    if (message.transaction !== undefined) throw error;
    if (error instanceof NotFoundError && this.#declared(message)) {
      return await this.#declareAndPublish(message, call);
    }
    if (!call.retry || this.#session.ended || !isPassing(error)) {
      this.#refused.add(message, error);
      throw error;
    }
    // A channel that has ended says so in the same turn; where only the call failed it
    // is as good as before.
    if (error instanceof ChannelError) await turn();
    else if (lane !== undefined && this.#lane === lane) this.#lane = undefined;
    const { limits } = this.#session;
    // Any message on a channel that has ended may have been the reason.
    const isSuspect = error instanceof ChannelError && lane !== undefined &&
      this.#lane !== lane;
    const once = () =>
      isSuspect ? this.#apart(message, call) : this.#once(message, call);
    const again = () => this.#session.retry(call, once);
    try {
      if (isSuspect || !(error instanceof ChannelError)) return await again();
      const turn = this.#retrying.stand(again);
      try {
        return await limits.wait(turn.taken, call, () => late(true, error));
      } finally {
        turn.leave();
      }
    } catch (last) {
      this.#refused.add(message, last);
      throw withOutcome(last, error);
    }
  }

  /** Publishes a message that is like a refused one. */
  async #publishApart(message: Publishing, call: PublishCall): Promise<void> {
    try {
      await this.#session.retry(call, () => this.#apart(message, call), {
        retries: (error) => call.retry && isLost(error),
      });
      this.#refused.forget(message);
    } catch (error) {
      this.#refused.add(message, error);
      throw error;
    }
  }

  /** Publishes where no innocent suffers for it. */
  async #apart(message: Publishing, call: PublishCall): Promise<void> {
    const current = this.#current(message) ??
      await this.#replyAnew(message, call);
    const outcome = await this.#suspects.publish(current, call);
    if (outcome.type === "returned") throw this.#unroutable(message, outcome);
    noteDuplicate(outcome, call);
  }

  async #once(message: Publishing, call: PublishCall): Promise<void> {
    const lane = await this.#prepare(message, call);
    const current = this.#current(message) ??
      await this.#replyAnew(message, call);
    let outcome: PublishOutcome;
    try {
      outcome = await lane.channel.publish(current, call);
    } catch (error) {
      if (!(error instanceof ChannelError)) {
        if (this.#lane === lane) this.#lane = undefined;
        throw error;
      }
      const reason = await Promise.race([lane.channel.closed, turn()]);
      // It was alone on the channel: what ended that is its own error.
      throw error.retryable && reason?.type === "lost" ? reason.error : error;
    }
    if (outcome.type === "returned") throw this.#unroutable(message, outcome);
    noteDuplicate(outcome, call);
  }

  async #notTaken(
    outcome: Exclude<PublishOutcome, { readonly type: "accepted" }>,
    message: Publishing,
    call: PublishCall,
  ): Promise<void> {
    if (outcome.type === "duplicate") return noteDuplicate(outcome, call);
    if (!this.#declared(message) || message.transaction !== undefined) {
      throw this.#unroutable(message, outcome);
    }
    return await this.#declareAndPublish(message, call);
  }

  /** No queue took it, and it was not mandatory. */
  async #reachedNobody(message: Publishing, call: PublishCall): Promise<void> {
    // Somebody removed what this session had bound: from Redis, by a flush.
    if (
      message.transaction === undefined &&
      this.#session.declarations.bindsFor(message)
    ) {
      await this.#declareAndPublish(message, call);
    } else if (call.mandatory === undefined) {
      this.#session.emit(reachedNobody(message));
    }
  }

  #unroutable(
    message: Publishing,
    outcome: PublishOutcome & { readonly type: "returned" },
  ): Error {
    return unroutable(message, outcome, this.#session.declarations.queueNames);
  }

  /** Somebody deleted what this session had declared: it says it again, once. */
  async #declareAndPublish(
    message: Publishing,
    call: PublishCall,
  ): Promise<void> {
    const { limits } = this.#session;
    await this.#session.retry(call, async () => {
      this.#declaring ??= this.#declareAgain().finally(() =>
        this.#declaring = undefined
      );
      await limits.wait(
        this.#declaring,
        call,
        () => late(false, this.#session.obstacle),
      );
      this.#lane?.known.delete(message.exchange);
      await this.#once(message, call);
    }, {
      retries: (error) =>
        call.retry && (isLost(error) || this.#mayComeBack(message, error)),
    });
  }

  /** Whether what a message needs is refused for now, and is declared later: its node is down. */
  #mayComeBack({ exchange, routingKey }: Publishing, error: unknown): boolean {
    // It was declared again just now, and is gone again: its node goes down.
    if (error instanceof UnroutableError && exchange === "") return true;
    const isMissing = error instanceof UnroutableError ||
      error instanceof NotFoundError;
    return isMissing &&
      this.#session.declarations.isFailing(exchange, routingKey);
  }

  /** For all whose message came back: by the session's limits. */
  async #declareAgain(): Promise<void> {
    await this.#session.declareAll(this.#session.call());
  }

  #declared({ exchange, routingKey }: Publishing): boolean {
    return this.#session.declarations.leadsFrom(exchange, routingKey);
  }
}

function isKnown(
  lane: PublishChannel,
  { exchange, transaction }: Publishing,
): boolean {
  // In a transaction it is looked for there.
  return exchange === "" || transaction !== undefined ||
    lane.known.has(exchange);
}
