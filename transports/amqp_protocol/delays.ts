import type { Clock } from "../../async/clock.ts";
import type { Limits } from "../../async/limits.ts";
import { Line } from "../../async/line.ts";
import type { BindingDestination } from "../../model/binding.ts";
import type { CallOptions } from "../../model/call_options.ts";
import {
  ChannelError,
  NotFoundError,
  PublishError,
  TimeoutError,
} from "../../model/errors.ts";
import type { Publishing } from "../../model/message.ts";
import { requireCapability } from "../store/capabilities.ts";
import type { Channel, PublishOutcome, RejectOptions } from "../transport.ts";
import { declareDelays } from "./declare_delays.ts";
import {
  delayed,
  DELIVERY_EXCHANGE,
  laterQueues,
  refuseDelay,
  targetBinding,
} from "./delay.ts";
import type { AmqpDelivery } from "./delivery.ts";
import type { Server } from "./server.ts";
import { SpareChannel } from "./spare_channel.ts";

/** Of an error of a binding: the exchange is missing that it goes from. */
const NO_DELIVERY_EXCHANGE = `there is no exchange "${DELIVERY_EXCHANGE}"`;

/** Publishes without a delay. */
export type Publish = (
  message: Publishing,
  options?: CallOptions,
) => Promise<PublishOutcome>;

/** The services that delays use of their connection. */
export interface DelaysHost {
  readonly clock: Clock;
  readonly limits: Limits;
  readonly operationTimeout: number;
  server(): Server;
  openChannel(options: CallOptions): Promise<Channel>;
}

/**
 * Messages with a delay, of all channels of a connection. It declares what they need
 * with the first of them, on a channel of its own.
 */
export class Delays {
  readonly #host: DelaysHost;
  readonly #line = new Line();
  /** Bindings that are to be made, and are not begun: later callers share them. */
  readonly #waiting = new Map<string, Promise<boolean>>();
  readonly #channel: SpareChannel;
  #declared = false;

  /** Makes one that does nothing yet. */
  constructor(host: DelaysHost) {
    this.#host = host;
    this.#channel = new SpareChannel((call) => host.openChannel(call));
  }

  /** Publishes a message that has a delay; an ordered queue is an exchange. */
  async publish(
    message: Publishing,
    publish: Publish,
    options?: CallOptions,
    target: BindingDestination = targetOf(message),
  ): Promise<PublishOutcome> {
    const refused = refuseDelay(message);
    if (refused !== undefined) throw refused;
    const instead = delayed(message, target);
    if (!await this.#bind(target, message.delay, options)) {
      // As without a delay: the default exchange has no such queue.
      return message.mandatory
        ? { type: "returned", replyText: "NO_ROUTE" }
        : { type: "accepted", queues: undefined };
    }
    return await this.#send(instead, publish, options);
  }

  /**
   * Publishes a copy of a delivery, to come back to its queue.
   *
   * @throws {NotFoundError} If the queue is gone.
   */
  async copy(
    delivery: AmqpDelivery,
    { delay = 0, headers, signal, deadline }: RejectOptions,
    publish: Publish,
  ): Promise<void> {
    const { queue, exchange, routingKey, properties, body } = delivery;
    if (delay > 0) {
      const action = `requeue a message of queue "${queue}"`;
      const { capabilities } = this.#host.server();
      requireCapability(capabilities, "delay", action, "a delay");
    }
    const target = { kind: "queue", name: delivery.origin } as const;
    const instead = delayed({
      exchange,
      routingKey,
      mandatory: false,
      delay,
      properties: { ...properties, headers: headers ?? properties.headers },
      body,
      republished: true,
    }, target);
    const call = { signal, deadline };
    if (await this.#bind(target, delay, call)) {
      return void await this.#send(instead, publish, call);
    }
    throw new NotFoundError(
      `Cannot requeue a message of queue "${queue}" with a delay: there is no such queue`,
    );
  }

  async #send(
    message: Publishing,
    publish: Publish,
    options: CallOptions | undefined,
  ): Promise<PublishOutcome> {
    let outcome: PublishOutcome;
    try {
      // Mandatory, as far as it can be seen: into the first of its queues.
      outcome = await publish({ ...message, mandatory: true }, options);
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error;
      this.#declared = false;
      // It has ended the channel; on another it is declared again.
      throw new ChannelError(
        `Cannot publish a message with a delay: somebody deleted exchange "${message.exchange}", which is declared again with the next one`,
        { code: "channel-closed", outcome: "not-sent", cause: error },
      );
    }
    if (outcome.type === "accepted") {
      return { type: "accepted", queues: undefined };
    }
    this.#declared = false;
    const { clock, operationTimeout } = this.#host;
    const call = { deadline: clock.now() + operationTimeout };
    await this.#line.enter(() => this.#look([message.exchange], call));
    // Its queue is there: nothing was lost.
    throw new ChannelError(
      `Cannot publish a message with a delay: nothing was bound to exchange "${message.exchange}", which is declared again with the next one`,
      { code: "channel-closed", outcome: "not-sent" },
    );
  }

  /**
   * Binds a target each time anew, for it may have been deleted and declared again;
   * what waits at the same time, and as long, shares one binding. Says whether it is there.
   */
  #bind(
    target: BindingDestination,
    delay: number,
    options?: CallOptions,
  ): Promise<boolean> {
    const later = laterQueues(delay);
    const key = JSON.stringify([target.kind, target.name, later]);
    let waiting = this.#waiting.get(key);
    if (waiting === undefined) {
      waiting = this.#line.enter(() => {
        this.#waiting.delete(key);
        return this.#bindNow(target, later);
      });
      this.#waiting.set(key, waiting);
      waiting.catch(() => {});
    }
    return this.#host.limits.wait(waiting, options, () =>
      new TimeoutError(
        "Cannot publish a message with a delay in time: what it needs is not declared yet",
        { outcome: "not-sent" },
      ));
  }

  /** Shared by all callers that wait for it: by the connection's limits. */
  async #bindNow(
    target: BindingDestination,
    later: readonly string[],
  ): Promise<boolean> {
    const { clock, operationTimeout } = this.#host;
    const call = { deadline: clock.now() + operationTimeout };
    const canDelay = this.#host.server().capabilities.has("delay");
    for (;;) {
      const wasDeclared = this.#declared;
      if (!wasDeclared) {
        await declareDelays(this.#host, call, canDelay);
        this.#declared = true;
      }
      try {
        const channel = await this.#channel.get(call);
        await channel.bind(targetBinding(target), call);
      } catch (error) {
        if (!(error instanceof NotFoundError)) throw error;
        if (wasDeclared && error.message.includes(NO_DELIVERY_EXCHANGE)) {
          this.#declared = false;
          continue;
        }
        if (target.kind === "queue") return false;
        throw new NotFoundError(
          `Cannot publish to exchange "${target.name}" with a delay: there is no such exchange`,
          { cause: error },
        );
      }
      await this.#look(later, call);
      return true;
    }
  }

  /** Looks at the queues behind the first, of which publishing does not tell. */
  async #look(queues: readonly string[], call: CallOptions): Promise<void> {
    for (const queue of queues) {
      try {
        await (await this.#channel.get(call)).checkQueue(queue, call);
      } catch (error) {
        if (!(error instanceof NotFoundError)) throw error;
        this.#declared = false;
        throw gone(queue);
      }
    }
  }
}

function targetOf({ exchange, routingKey }: Publishing): BindingDestination {
  return exchange === ""
    ? { kind: "queue", name: routingKey }
    : { kind: "exchange", name: exchange };
}

/** The error of a publish whose delay queue is gone, with the messages that waited in it; the next message declares it again. */
function gone(queue: string): PublishError {
  return new PublishError(
    `Cannot publish a message with a delay: queue "${queue}", in which it would wait, was gone, with all that waited there; it is declared again with the next one. Somebody deleted it, or a policy lets it expire: leave queues "dashi_delayed_*" out of policies`,
    { code: "publish-refused", retryable: true },
  );
}
