import type { CallOptions } from "../../model/call_options.ts";
import type { Delivery } from "../../model/message.ts";
import { notAnswered } from "../connection_errors.ts";
import type { GetOptions } from "../transport.ts";
import type { TakingHost } from "./consumers.ts";
import { AmqpDelivery, GOT } from "./delivery.ts";
import { streamKeeps } from "./errors.ts";
import { PartitionsGetter } from "./ordered_consumer.ts";

/** About so many bytes of messages are asked for together. */
const MAX_BURST = 2 ** 22;

/** A message that was asked for, its size in bytes, and how many more were ready. */
interface Got {
  readonly delivery: Delivery;
  readonly size: number;
  readonly left: number;
}

/** Takes messages that are asked for. */
export class Getter {
  readonly #host: TakingHost;
  #partitions: PartitionsGetter | undefined;

  /** Makes the one of a channel. */
  constructor(host: TakingHost) {
    this.#host = host;
  }

  /** Takes one, if there is one. */
  async get(
    queue: string,
    options: GetOptions | undefined,
  ): Promise<Delivery | undefined> {
    return (await this.#get(queue, options))?.delivery;
  }

  /** The first tells how many there are, and how large they may be; the others are asked for together. */
  async getMany(
    queue: string,
    max: number,
    options: GetOptions | undefined,
  ): Promise<readonly Delivery[]> {
    const first = await this.#get(queue, options);
    if (first === undefined) return [];
    const { delivery, size, left } = first;
    const room = Math.floor(MAX_BURST / Math.max(1, size));
    const count = Math.min(max - 1, left, room);
    const asked = await Promise.allSettled(
      Array.from({ length: count }, () => this.#get(queue, options)),
    );
    const taken = [delivery];
    for (const each of asked) {
      if (each.status === "rejected" || each.value === undefined) continue;
      taken.push(each.value.delivery);
    }
    const failed = asked.find(({ status }) => status === "rejected");
    if (failed?.status !== "rejected") return taken;
    const { calls, deliveries } = this.#host;
    if (!options?.noAck && calls.endError === undefined) {
      // The last first: each goes in front of the one that stood behind it.
      for (const { deliveryTag } of taken.toReversed()) {
        deliveries.reject(deliveryTag, { requeue: true }).catch(() => {});
      }
    }
    throw failed.reason;
  }

  /**
   * Refuses to take messages from a stream, for which RabbitMQ would end the connection.
   * Returns a promise where it must be looked what the queue is.
   *
   * @throws {UnsupportedError} If it is one.
   */
  refuseStream(
    action: string,
    queue: string,
    options: CallOptions | undefined,
  ): Promise<void> | undefined {
    const { calls, context } = this.#host;
    calls.check(options, () => action);
    const { streams, limits, ordered } = context;
    const isStream = ordered.get(queue) === undefined && streams.get(queue);
    if (isStream === true) throw streamKeeps(action);
    if (isStream === false) return undefined;
    const late = () => notAnswered(action, "not-sent");
    return limits.wait(streams.look(queue), options, late).then((found) => {
      if (found) throw streamKeeps(action);
    });
  }

  async #get(
    queue: string,
    options: GetOptions | undefined,
  ): Promise<Got | undefined> {
    const { context, client, calls, deliveries } = this.#host;
    const { call } = calls;
    const noAck = options?.noAck ?? false;
    const ordered = context.ordered.get(queue);
    if (ordered !== undefined) {
      this.#partitions ??= new PartitionsGetter({ client, deliveries, call });
      const delivery = await this.#partitions.get(ordered, noAck, options);
      return delivery && { delivery, size: 0, left: 0 };
    }
    const action = `get from queue "${queue}"`;
    const looking = this.refuseStream(action, queue, options);
    if (looking !== undefined) await looking;
    const retry = context.returns.retryOf(queue);
    let wanted = true;
    try {
      return await call(action, options, async () => {
        const message = await client.get(queue, noAck);
        if (message === undefined) return undefined;
        const delivery = new AmqpDelivery(queue, message, GOT, { retry });
        if (!wanted && !noAck) {
          // Nobody waits for it any more: the call was aborted.
          deliveries.giveBack(delivery);
          return undefined;
        }
        deliveries.add(delivery, noAck);
        const { content: { byteLength: size }, fields } = message;
        return { delivery, size, left: fields.messageCount ?? 0 };
      });
    } catch (error) {
      throw await context.ordered.explain(queue, error);
    } finally {
      wanted = false;
    }
  }
}
