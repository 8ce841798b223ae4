import type { Binding } from "../../model/binding.ts";
import type { CallOptions } from "../../model/call_options.ts";
import type { ExchangeDeclaration } from "../../model/exchange.ts";
import type { QueueDeclaration, QueueStatus } from "../../model/queue.ts";
import type { DeleteOptions, DeleteQueueOptions } from "../transport.ts";
import type { AmqpClientChannel } from "./port.ts";

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
    await this.#call(
      `declare exchange "${exchange.name}"`,
      options,
      () => this.#client.declareExchange(exchange),
    );
  }

  /** Checks that an exchange is there. */
  async checkExchange(name: string, options?: CallOptions): Promise<void> {
    // RabbitMQ refuses to look at the default exchange, which is always there.
    if (name === "") return;
    await this.#call(
      `check exchange "${name}"`,
      options,
      () => this.#client.checkExchange(name),
    );
  }

  /** Deletes an exchange. */
  async deleteExchange(name: string, options?: DeleteOptions): Promise<void> {
    const ifUnused = options?.ifUnused ?? false;
    await this.#call(
      `delete exchange "${name}"`,
      options,
      () => this.#client.deleteExchange(name, ifUnused),
    );
  }

  /** Declares a queue. */
  async declareQueue(
    queue: QueueDeclaration,
    options?: CallOptions,
  ): Promise<QueueStatus> {
    return await this.#call(
      `declare queue "${queue.name}"`,
      options,
      () => this.#client.declareQueue(queue),
    );
  }

  /** Looks at a queue. */
  async checkQueue(name: string, options?: CallOptions): Promise<QueueStatus> {
    return await this.#call(
      `check queue "${name}"`,
      options,
      () => this.#client.checkQueue(name),
    );
  }

  /** Deletes a queue. */
  async deleteQueue(
    name: string,
    options?: DeleteQueueOptions,
  ): Promise<number> {
    const { ifUnused = false, ifEmpty = false } = options ?? {};
    return await this.#call(
      `delete queue "${name}"`,
      options,
      () => this.#client.deleteQueue(name, { ifUnused, ifEmpty }),
    );
  }

  /** Removes the ready messages of a queue. */
  async purgeQueue(name: string, options?: CallOptions): Promise<number> {
    return await this.#call(
      `purge queue "${name}"`,
      options,
      () => this.#client.purgeQueue(name),
    );
  }

  /** Adds a binding. */
  async bind(binding: Binding, options?: CallOptions): Promise<void> {
    const { source, destination: { kind, name } } = binding;
    await this.#call(
      `bind ${kind} "${name}" to exchange "${source}"`,
      options,
      () => this.#client.bind(binding),
    );
  }

  /** Removes a binding. */
  async unbind(binding: Binding, options?: CallOptions): Promise<void> {
    const { source, destination: { kind, name } } = binding;
    await this.#call(
      `unbind ${kind} "${name}" from exchange "${source}"`,
      options,
      () => this.#client.unbind(binding),
    );
  }
}
