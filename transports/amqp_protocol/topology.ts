import type { Binding } from "../../model/binding.ts";
import type { CallOptions } from "../../model/call_options.ts";
import { MessagingError, UnsupportedError } from "../../model/errors.ts";
import {
  type ExchangeDeclaration,
  isRoutingType,
} from "../../model/exchange.ts";
import type { QueueDeclaration, QueueStatus } from "../../model/queue.ts";
import { requireCapability, requireForQueue } from "../store/capabilities.ts";
import type { DeleteOptions, DeleteQueueOptions } from "../transport.ts";
import type { Call } from "./calls.ts";
import type { AmqpClientChannel } from "./port.ts";
import { refuseExchange } from "./refusals.ts";
import type { Server } from "./server.ts";

/** The verbs that change or look at the broker's tables. */
export class Topology {
  readonly #client: AmqpClientChannel;
  readonly #call: Call;
  readonly #server: Server;

  /** Makes them for a channel: what its broker would ignore is refused. */
  constructor(
    client: AmqpClientChannel,
    call: Call,
    server: Server,
  ) {
    this.#client = client;
    this.#call = call;
    this.#server = server;
  }

  /** Declares an exchange. */
  async declareExchange(
    exchange: ExchangeDeclaration,
    options?: CallOptions,
  ): Promise<void> {
    const { name, type } = exchange;
    refuseExchange(this.#server, exchange);
    const action = `declare exchange "${name}"`;
    const declare = () => this.#client.declareExchange(exchange);
    if (isRoutingType(type)) {
      return void await this.#call(action, options, declare);
    }
    try {
      await this.#call(action, options, declare);
    } catch (error) {
      throw isUnknownType(error) ? unknownType(action, type, error) : error;
    }
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
    requireForQueue(this.#server.capabilities, queue);
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
    const action = `bind ${kind} "${name}" to exchange "${source}"`;
    if (kind === "exchange") {
      requireCapability(
        this.#server.capabilities,
        "exchange-to-exchange",
        action,
        "an exchange as the destination",
      );
    }
    await this.#call(
      action,
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

/** The plugins of RabbitMQ, by the exchange type that they add. */
const PLUGINS: Readonly<Record<string, string>> = {
  "x-consistent-hash": "rabbitmq_consistent_hash_exchange",
  "x-delayed-message": "rabbitmq_delayed_message_exchange",
  "x-jms-topic": "rabbitmq_jms_topic_exchange",
  "x-modulus-hash": "rabbitmq_sharding",
  "x-random": "rabbitmq_random_exchange",
  "x-recent-history": "rabbitmq_recent_history_exchange",
};

/** Whether RabbitMQ has closed the connection, or from 4.3 on the channel, for a type that none of its plugins has. */
function isUnknownType(error: unknown): error is MessagingError {
  return error instanceof MessagingError &&
    (error.replyCode === "command-invalid" ||
      error.replyCode === "precondition-failed") &&
    /(?:invalid|unknown) exchange type/.test(error.message);
}

/** To connect again would end the same way. */
function unknownType(
  action: string,
  type: string,
  cause: MessagingError,
): UnsupportedError {
  const plugin = PLUGINS[type];
  return new UnsupportedError(
    `Cannot ${action} of type "${type}": the broker has no such type; ${
      plugin === undefined
        ? "enable the plugin that has it"
        : `enable its plugin by "rabbitmq-plugins enable ${plugin}"`
    }`,
    { cause, replyCode: cause.replyCode },
  );
}
