import type { Binding } from "../../model/binding.ts";
import type { CallOptions } from "../../model/call_options.ts";
import type { ExchangeDeclaration } from "../../model/exchange.ts";
import type { QueueDeclaration, QueueStatus } from "../../model/queue.ts";
import type { DeleteOptions, DeleteQueueOptions } from "../transport.ts";
import { type AmqpClientChannel, toFields } from "./client.ts";

/** Makes a call that the broker answers, within its limits. */
export type Call = <T>(
  action: string,
  options: CallOptions | undefined,
  call: () => Promise<T>,
) => Promise<T>;

/** The verbs that change or look at the broker's tables. */
export class Topology {
  readonly #client: AmqpClientChannel;
  readonly #call: Call;

  /** Makes them for a channel. */
  constructor(client: AmqpClientChannel, call: Call) {
    this.#client = client;
    this.#call = call;
  }

  /** Declares an exchange. */
  async declareExchange(
    exchange: ExchangeDeclaration,
    options?: CallOptions,
  ): Promise<void> {
    const { name, type, durable, autoDelete, internal } = exchange;
    await this.#call(
      `declare exchange "${name}"`,
      options,
      () =>
        this.#client.calls.assertExchange(name, type, {
          durable,
          autoDelete,
          internal,
          arguments: toFields(exchange.arguments),
        }),
    );
  }

  /** Checks that an exchange is there. */
  async checkExchange(name: string, options?: CallOptions): Promise<void> {
    // RabbitMQ refuses to look at the default exchange, which is always there.
    if (name === "") return;
    await this.#call(
      `check exchange "${name}"`,
      options,
      () => this.#client.calls.checkExchange(name),
    );
  }

  /** Deletes an exchange. */
  async deleteExchange(name: string, options?: DeleteOptions): Promise<void> {
    const ifUnused = options?.ifUnused ?? false;
    await this.#call(
      `delete exchange "${name}"`,
      options,
      () => this.#client.calls.deleteExchange(name, { ifUnused }),
    );
  }

  /** Declares a queue. */
  async declareQueue(
    queue: QueueDeclaration,
    options?: CallOptions,
  ): Promise<QueueStatus> {
    const { name, durable, exclusive, autoDelete } = queue;
    const status = await this.#call(
      `declare queue "${name}"`,
      options,
      () =>
        this.#client.calls.assertQueue(name, {
          durable,
          exclusive,
          autoDelete,
          arguments: toFields(queue.arguments),
        }),
    );
    return {
      name: status.queue,
      messageCount: status.messageCount,
      consumerCount: status.consumerCount,
    };
  }

  /** Looks at a queue. */
  async checkQueue(name: string, options?: CallOptions): Promise<QueueStatus> {
    const { messageCount, consumerCount } = await this.#call(
      `check queue "${name}"`,
      options,
      () => this.#client.calls.checkQueue(name),
    );
    return { name, messageCount, consumerCount };
  }

  /** Deletes a queue. */
  async deleteQueue(
    name: string,
    options?: DeleteQueueOptions,
  ): Promise<number> {
    const { ifUnused = false, ifEmpty = false } = options ?? {};
    const { messageCount } = await this.#call(
      `delete queue "${name}"`,
      options,
      () => this.#client.calls.deleteQueue(name, { ifUnused, ifEmpty }),
    );
    return messageCount;
  }

  /** Removes the ready messages of a queue. */
  async purgeQueue(name: string, options?: CallOptions): Promise<number> {
    const { messageCount } = await this.#call(
      `purge queue "${name}"`,
      options,
      () => this.#client.calls.purgeQueue(name),
    );
    return messageCount;
  }

  /** Adds a binding. */
  async bind(binding: Binding, options?: CallOptions): Promise<void> {
    const { source, destination: { kind, name }, routingKey } = binding;
    const fields = toFields(binding.arguments);
    await this.#call(
      `bind ${kind} "${name}" to exchange "${source}"`,
      options,
      () =>
        kind === "queue"
          ? this.#client.calls.bindQueue(name, source, routingKey, fields)
          : this.#client.calls.bindExchange(name, source, routingKey, fields),
    );
  }

  /** Removes a binding. */
  async unbind(binding: Binding, options?: CallOptions): Promise<void> {
    const { source, destination: { kind, name }, routingKey } = binding;
    const fields = toFields(binding.arguments);
    await this.#call(
      `unbind ${kind} "${name}" from exchange "${source}"`,
      options,
      () =>
        kind === "queue"
          ? this.#client.calls.unbindQueue(name, source, routingKey, fields)
          : this.#client.calls.unbindExchange(name, source, routingKey, fields),
    );
  }
}
