import type { DeliveryTag } from "../../model/message.ts";
import type { EndReason, Subscription } from "../transport.ts";

/** A consumer on a channel. */
export class AmqpSubscription implements Subscription {
  readonly consumerTag: string;
  /** The tags that the broker knows: of an ordered queue one for each partition. */
  readonly tags: readonly string[];
  readonly ordered: boolean;
  /** Deliveries of an ordered queue that came when it had ended: they go back when it is cancelled, or with the channel. */
  readonly late: DeliveryTag[] = [];
  readonly queue: string;
  readonly prefetch: number;
  readonly heardEvery: number;
  readonly ended: Promise<EndReason>;
  readonly #heard: () => number;
  readonly #cancel: (subscription: AmqpSubscription) => Promise<void>;
  readonly #settle: (reason: EndReason) => void;
  #running = true;
  #cancelling: Promise<void> | undefined;

  /** Makes one that is running. */
  constructor(
    settings: {
      readonly consumerTag: string;
      readonly queue: string;
      readonly prefetch: number;
      readonly heardEvery: number;
      /** The number of partitions of an ordered queue. */
      readonly partitions: number | undefined;
    },
    heard: () => number,
    cancel: (subscription: AmqpSubscription) => Promise<void>,
  ) {
    const { promise, resolve } = Promise.withResolvers<EndReason>();
    this.ended = promise;
    this.#settle = resolve;
    const { consumerTag, partitions } = settings;
    this.consumerTag = consumerTag;
    this.ordered = partitions !== undefined;
    this.tags = partitions === undefined
      ? [consumerTag]
      : Array.from({ length: partitions }, (_, i) => `${consumerTag}.${i + 1}`);
    this.queue = settings.queue;
    this.prefetch = settings.prefetch;
    this.heardEvery = settings.heardEvery;
    this.#heard = heard;
    this.#cancel = cancel;
  }

  /** Whether it still takes deliveries. */
  get running(): boolean {
    return this.#running;
  }

  get lastHeard(): number {
    return this.#heard();
  }

  /** Ends it: nothing more is delivered. */
  end(reason: EndReason): void {
    this.#running = false;
    this.#settle(reason);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#cancelling ??= this.#dispose();
  }

  async #dispose(): Promise<void> {
    if (!this.#running) return;
    this.#running = false;
    try {
      await this.#cancel(this);
    } catch {
      // The channel has ended, and the consumer with it.
    } finally {
      this.end({ type: "cancelled" });
    }
  }
}
