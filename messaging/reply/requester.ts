import { Line } from "../../async/line.ts";
import type { CodecRegistry } from "../../codec/mod.ts";
import { MAX_WAIT } from "../../model/checks.ts";
import {
  ChannelError,
  ClosedError,
  NotFoundError,
  TimeoutError,
  UnroutableError,
} from "../../model/errors.ts";
import type { Delivery, Publishing } from "../../model/message.ts";
import { Slab } from "../../model/slab.ts";
import { isLost } from "../connection/retry.ts";
import type { Session } from "../connection/session.ts";
import type { Link } from "../connection/topology_channel.ts";
import { prepareToRead, readPayload } from "../consume/reading.ts";
import type { Entity } from "../entities/entities.ts";
import { Exchange } from "../entities/exchange.ts";
import { checkEntities } from "../entities/entities.ts";
import { checkSchema, validator } from "../entities/schema.ts";
import { notChecked, notHandedOver } from "../middleware/late.ts";
import type { Call } from "../operation_options.ts";
import { declareFirst } from "../publish/declare_first.ts";
import { NO_PLACE, type OrderedPlace } from "../publish/publish_call.ts";
import type { SessionPublisher } from "../publish/publisher.ts";
import { checkExchange } from "../publish/publishing.ts";
import { nobodyThere, unroutable } from "../publish/unroutable.ts";
import { DirectLane } from "./direct_lane.ts";
import { launchThrough, received } from "./hooked_request.ts";
import { type Lane, Pending } from "./pending.ts";
import { ReplyQueue, type ReplyQueueHost } from "./reply_queue.ts";
import { requestMessage } from "./request_message.ts";
import { REQUEST, type RequestOptions } from "./request_options.ts";
import { errorIn } from "./wire.ts";

/** The services that a {@linkcode Requester} uses. */
export interface RequesterHost extends ReplyQueueHost {
  readonly codecs: CodecRegistry;
}

/**
 * Makes the requests of a connection. Answers come by a channel of RabbitMQ's direct
 * reply-to, or by one queue for all; requests that were pending when that was lost are published again,
 * under the same message id, as long as somebody waits.
 */
export class Requester {
  readonly #host: RequesterHost;
  readonly #session: Session;
  readonly #publisher: SessionPublisher;
  /** By their correlation ids. */
  readonly #pending = new Map<string, Pending>();
  readonly #slab = new Slab();
  readonly #place: OrderedPlace = { ...NO_PLACE, line: new Line() };
  #direct: DirectLane | undefined;
  #opening: Promise<DirectLane | undefined> | undefined;
  /** The connections that have no direct replies. */
  readonly #without = new WeakSet<Link>();
  #replyQueue: ReplyQueue | undefined;
  /** Of the present connection, for answers by the reply queue. */
  #queued: (Lane & { readonly link: Link }) | undefined;
  #isClosed = false;

  /** Makes one that does nothing yet. */
  constructor(host: RequesterHost) {
    this.#host = host;
    this.#session = host.session;
    this.#publisher = host.publisher;
  }

  /** How many requests wait for their answers. */
  get waiting(): number {
    return this.#pending.size;
  }

  /**
   * Asks, and waits for the answer.
   *
   * @param payload The payload.
   * @param options Where to, and how.
   * @param isOwn Whether it is the library's own, which no middleware sees.
   */
  async request<A>(
    payload: unknown,
    options: RequestOptions<A> = {},
    isOwn = false,
  ): Promise<A> {
    const uses = isOwn ? undefined : this.#host.decoding.uses;
    const began = this.#session.clock.now();
    const call = this.#session.call(options, REQUEST);
    checkExchange(options.exchange);
    checkEntities(options.declare, `"declare" of request`);
    checkSchema(options.schema, "request");
    const accept = this.#host.codecs.acceptSet(options.accept);
    options.signal?.throwIfAborted();
    const id = crypto.randomUUID();
    const message = await requestMessage(id, payload, options, {
      codecs: this.#host.codecs,
      clock: this.#session.clock,
      deadline: call.deadline,
    });
    const pending = new Pending(
      message,
      {
        ...call,
        retry: options.retry ?? this.#session.reconnectPolicy !== false,
      },
      entitiesOf(options),
    );
    if (this.#isClosed) throw closedError("not-sent");
    this.#pending.set(id, pending);
    let reply: Delivery;
    try {
      const hooks = uses?.hooks?.publish;
      if (hooks === undefined) this.#launch(pending);
      else launchThrough(hooks, pending, () => this.#launch(pending));
      reply = await this.#session.limits.wait(
        pending.answer,
        call,
        () => this.#late(pending, options.timeout),
      );
    } catch (error) {
      pending.confirming?.reject(error);
      throw error;
    } finally {
      pending.hasEnded = true;
      pending.lane?.waiting.delete(pending);
      this.#pending.delete(id);
    }
    const isSeen = uses?.hooks?.receive !== undefined;
    if (isSeen) {
      const receiving = received(uses, reply, began);
      const late = () => notHandedOver("an answer");
      reply = await this.#session.limits.wait(receiving, call, late);
    }
    const error = errorIn(reply.properties.headers);
    if (error !== undefined) throw error;
    const reading = {
      ...this.#host.decoding,
      accept,
      check: validator(options.schema),
      slab: this.#slab,
    };
    await prepareToRead(reading, reply);
    const answer = readPayload<A>(reading, reply, reply);
    if (!(answer instanceof Promise)) return answer;
    const late = () => notChecked("an answer");
    return await this.#session.limits.wait(answer, call, late);
  }

  /** Ends it: pending requests reject. */
  async close(call: { readonly deadline: number }): Promise<void> {
    this.#isClosed = true;
    for (const each of this.#pending.values()) {
      each.reject(closedError(each.mayBeSent ? "unknown" : "not-sent"));
    }
    const opening = this.#opening;
    const direct = this.#direct ?? await opening?.catch(() => undefined);
    await Promise.all([
      direct?.close(),
      this.#replyQueue?.close({ signal: undefined, ...call }),
    ]);
  }

  /** Publishes a request, the first time or again. Never rejects. */
  #launch(pending: Pending): void {
    pending.isSent = false;
    this.#session.retry(pending.call, () => this.#send(pending), {
      retries: (error) =>
        pending.call.retry && !pending.hasEnded && isLost(error),
    }).catch(pending.reject);
  }

  async #send(pending: Pending): Promise<void> {
    const { call, entities } = pending;
    if (pending.hasEnded) return;
    const link = await this.#session.link(call);
    if (entities.length > 0) await declareFirst(this.#session, entities, call);
    const direct = pending.isSuspect
      ? undefined
      : await this.#directOn(link, call);
    if (direct !== undefined) {
      const isTaken = await this.#sendDirectly(direct, pending);
      if (isTaken) return;
    }
    await this.#sendByQueue(link, pending);
  }

  /** Says whether it was sent; else it goes by the queue, where more is known of the possible fault. */
  async #sendDirectly(lane: DirectLane, pending: Pending): Promise<boolean> {
    const { call, message } = pending;
    this.#enter(lane, pending);
    try {
      const outcome = await lane.publish(this.#current(pending), call);
      if (outcome.type !== "returned") {
        this.#sent(lane, pending);
        return true;
      }
      if (!this.#declared(message)) {
        const { queueNames } = this.#session.declarations;
        throw unroutable(message, outcome, queueNames);
      }
    } catch (error) {
      lane.waiting.delete(pending);
      if (error instanceof UnroutableError) throw nobodyThere(error);
      if (error instanceof NotFoundError) {
        if (!this.#declared(message)) throw error;
      } else if (error instanceof ChannelError && pending.call.retry) {
        // It may have been the reason that the channel has ended.
        pending.wasSent = true;
        pending.isSuspect = true;
      } else throw error;
    }
    lane.waiting.delete(pending);
    return false;
  }

  async #sendByQueue(link: Link, pending: Pending): Promise<void> {
    const { call } = pending;
    const { queue } = await this.#replyQueueFor(call);
    const lane = this.#queuedOn(link);
    this.#enter(lane, pending);
    const message = this.#current(pending);
    const properties = { ...message.properties, replyTo: queue.name };
    try {
      await this.#publisher.publish(
        { ...message, properties },
        call,
        this.#place,
      );
    } catch (error) {
      lane.waiting.delete(pending);
      throw error instanceof UnroutableError ? nobodyThere(error) : error;
    }
    this.#sent(lane, pending);
  }

  #enter(lane: Lane, pending: Pending): void {
    pending.lane?.waiting.delete(pending);
    pending.lane = lane;
    if (!pending.hasEnded) lane.waiting.add(pending);
  }

  #sent(lane: Lane, pending: Pending): void {
    pending.isSent = pending.wasSent = true;
    pending.confirming?.resolve();
    // Its answer may have come, and may have been lost: it is asked again.
    if (lane.isLost) this.#askAgain(pending);
  }

  #askAgain(pending: Pending): void {
    if (pending.hasEnded || !pending.call.retry || this.#isClosed) return;
    this.#launch(pending);
  }

  readonly #lost = (lane: Lane): void => {
    lane.isLost = true;
    if (this.#direct === lane) this.#direct = undefined;
    const waiting = [...lane.waiting];
    lane.waiting.clear();
    // A request whose publish is still under way tries again by itself.
    for (const each of waiting) if (each.isSent) this.#askAgain(each);
  };

  /** As it is to be sent on the present connection, with the rest of its time. */
  #current({ message: { mandatory, ...rest }, call }: Pending): Publishing {
    const { clock, capabilities, knowsQueues } = this.#session;
    const message = { ...rest, mandatory: mandatory || knowsQueues };
    const left = call.deadline - clock.now();
    if (left === Infinity || !capabilities.has("message-ttl")) return message;
    const expiration = Math.min(Math.max(1, Math.ceil(left)), MAX_WAIT);
    return { ...message, properties: { ...message.properties, expiration } };
  }

  #declared({ exchange, routingKey }: Publishing): boolean {
    return this.#session.declarations.leadsFrom(exchange, routingKey);
  }

  async #directOn(link: Link, call: Call): Promise<DirectLane | undefined> {
    const { directReplyTo } = link.connection;
    if (directReplyTo === undefined || this.#without.has(link)) {
      return undefined;
    }
    if (this.#direct !== undefined) return this.#direct;
    this.#opening ??= this.#openDirect(link, directReplyTo).finally(() =>
      this.#opening = undefined
    );
    return await this.#session.limits.wait(
      this.#opening,
      call,
      () => this.#lateToSend(),
    );
  }

  /** Shared by all callers that wait for it: by the session's limits. */
  async #openDirect(
    link: Link,
    replyTo: string,
  ): Promise<DirectLane | undefined> {
    try {
      const lane = await DirectLane.open(
        link,
        replyTo,
        this.#session.call(),
        this.#deliver,
        this.#lost,
      );
      if (this.#isClosed) await lane.close();
      else if (!lane.isLost) this.#direct = lane;
      return lane;
    } catch (error) {
      // A final error says that the broker has no direct replies, or not for this user.
      if (!(error instanceof ChannelError) || error.retryable) throw error;
      this.#without.add(link);
      return undefined;
    }
  }

  async #replyQueueFor(call: Call): Promise<ReplyQueue> {
    if (this.#isClosed) throw closedError("not-sent");
    const known = this.#replyQueue;
    const replies = known ?? new ReplyQueue(this.#host, this.#deliver);
    if (known === undefined) {
      this.#replyQueue = replies;
      replies.ended.catch((error) => this.#queueFailed(replies, error));
    }
    await replies.declare(call);
    return replies;
  }

  /** It cannot be consumed from for good: the requests whose answers come by it reject with the reason. */
  #queueFailed(replies: ReplyQueue, error: unknown): void {
    if (this.#replyQueue === replies) this.#replyQueue = undefined;
    const lane = this.#queued;
    this.#queued = undefined;
    for (const each of lane?.waiting ?? []) each.reject(error);
  }

  #queuedOn(link: Link): Lane {
    if (this.#queued?.link === link) return this.#queued;
    const lane = { link, waiting: new Set<Pending>(), isLost: false };
    this.#queued = lane;
    link.connection.closed.then(() => this.#lost(lane));
    return lane;
  }

  readonly #deliver = (reply: Delivery): void => {
    const { correlationId } = reply.properties;
    const pending = this.#pending.get(correlationId ?? "");
    if (pending === undefined || pending.hasEnded) {
      this.#session.replies.late++;
      return;
    }
    this.#pending.delete(correlationId ?? "");
    pending.resolve(reply);
  };

  #late(pending: Pending, timeout: number | undefined): Error {
    const { exchange, routingKey } = pending.message;
    const to = exchange === ""
      ? `queue "${routingKey}"`
      : `exchange "${exchange}" with routing key "${routingKey}"`;
    const within = timeout ?? this.#session.endpoint.operationTimeout;
    const problem = this.#session.problem;
    const why = problem?.message ?? pending.progress;
    return new TimeoutError(
      `Cannot get an answer from ${to} within ${Math.round(within)} ms: ${why}`,
      { cause: problem, outcome: pending.mayBeSent ? "unknown" : "not-sent" },
    );
  }

  #lateToSend(): TimeoutError {
    return new TimeoutError(
      "Cannot send a request in time: the broker has opened no channel for it",
      { cause: this.#session.problem, outcome: "not-sent" },
    );
  }
}

function entitiesOf({ exchange, declare }: RequestOptions): Entity[] {
  const entities = [...declare ?? []];
  if (exchange instanceof Exchange) entities.push(exchange);
  return entities;
}

function closedError(outcome: "not-sent" | "unknown"): ClosedError {
  return new ClosedError(
    outcome === "not-sent"
      ? "Cannot request: the connection is closed"
      : "Cannot get an answer: the connection was closed while the request waited for it",
    { outcome },
  );
}
