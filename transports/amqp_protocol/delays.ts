import type { Clock } from "../../async/clock.ts";
import type { Limits } from "../../async/limits.ts";
import { Line } from "../../async/line.ts";
import type { BindingDestination } from "../../model/binding.ts";
import type { CallOptions } from "../../model/call_options.ts";
import {
  ChannelError,
  NotFoundError,
  TimeoutError,
} from "../../model/errors.ts";
import type { Publishing } from "../../model/message.ts";
import type { Channel, PublishOutcome, RejectOptions } from "../transport.ts";
import {
  delayed,
  delaySteps,
  DELIVERY_EXCHANGE,
  MARK,
  refuseDelay,
  targetBinding,
} from "./delay.ts";
import type { AmqpDelivery } from "./delivery.ts";

/** Publishes without a delay. */
export type Publish = (
  message: Publishing,
  options?: CallOptions,
) => Promise<PublishOutcome>;

/** What delays need of their connection. */
export interface DelaysHost {
  readonly clock: Clock;
  readonly limits: Limits;
  readonly operationTimeout: number;
  openChannel(options: CallOptions): Promise<Channel>;
}

/**
 * Messages with a delay, of all channels of a connection. It declares what they need
 * with the first of them, on a channel of its own.
 */
export class Delays {
  readonly #host: DelaysHost;
  readonly #line = new Line();
  /** Bindings that are to be made, and are not begun: who comes now shares them. */
  readonly #waiting = new Map<string, Promise<boolean>>();
  #channel: Channel | undefined;
  #declared = false;

  /** Makes one that does nothing yet. */
  constructor(host: DelaysHost) {
    this.#host = host;
  }

  /** Publishes a message that has a delay. */
  async publish(
    message: Publishing,
    publish: Publish,
    options?: CallOptions,
  ): Promise<PublishOutcome> {
    const refused = refuseDelay(message);
    if (refused !== undefined) throw refused;
    const { exchange, routingKey } = message;
    const target: BindingDestination = exchange === ""
      ? { kind: "queue", name: routingKey }
      : { kind: "exchange", name: exchange };
    const instead = delayed(message, target);
    if (!await this.#bind(target, options)) {
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
    const target = { kind: "queue", name: queue } as const;
    const instead = delayed({
      exchange,
      routingKey,
      mandatory: false,
      delay,
      properties: { ...properties, headers: headers ?? properties.headers },
      body,
    }, target);
    const call = { signal, deadline };
    if (await this.#bind(target, call)) {
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
    try {
      return await publish(message, options);
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error;
      this.#declared = false;
      // It has ended the channel; on another it is declared again.
      throw new ChannelError(
        `Cannot publish a message with a delay: somebody deleted exchange "${message.exchange}", which is declared again with the next one`,
        { code: "channel-closed", outcome: "not-sent", cause: error },
      );
    }
  }

  /**
   * Binds a target each time anew, for it may have been deleted and declared again;
   * what waits at the same time shares one binding. Says whether it is there.
   */
  #bind(target: BindingDestination, options?: CallOptions): Promise<boolean> {
    const key = `${target.kind}.${target.name}`;
    let waiting = this.#waiting.get(key);
    if (waiting === undefined) {
      waiting = this.#line.enter(() => {
        this.#waiting.delete(key);
        return this.#bindNow(target);
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

  /** For all who wait for it: by the connection's limits. */
  async #bindNow(target: BindingDestination): Promise<boolean> {
    const { clock, operationTimeout } = this.#host;
    const call = { deadline: clock.now() + operationTimeout };
    for (;;) {
      const wasDeclared = this.#declared;
      if (!wasDeclared) await this.#declare(call);
      try {
        const channel = await this.#open(call);
        await channel.bind(targetBinding(target), call);
        return true;
      } catch (error) {
        if (!(error instanceof NotFoundError)) throw error;
        if (wasDeclared && error.message.includes(`'${DELIVERY_EXCHANGE}'`)) {
          this.#declared = false;
          continue;
        }
        if (target.kind === "queue") return false;
        throw new NotFoundError(
          `Cannot publish to exchange "${target.name}" with a delay: there is no such exchange`,
          { cause: error },
        );
      }
    }
  }

  async #declare(call: CallOptions): Promise<void> {
    try {
      await (await this.#open(call)).checkExchange(MARK.name, call);
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error;
      const channel = await this.#open(call);
      for (const step of delaySteps()) {
        switch (step.type) {
          case "exchange":
            await channel.declareExchange(step.exchange, call);
            break;
          case "queue":
            await channel.declareQueue(step.queue, call);
            break;
          case "binding":
            await channel.bind(step.binding, call);
        }
      }
    }
    this.#declared = true;
  }

  async #open(call: CallOptions): Promise<Channel> {
    if (this.#channel !== undefined) return this.#channel;
    const channel = await this.#host.openChannel(call);
    this.#channel = channel;
    channel.closed.then(() => {
      if (this.#channel === channel) this.#channel = undefined;
    });
    return channel;
  }
}
