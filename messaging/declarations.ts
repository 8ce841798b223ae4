import type { Binding, BindingDestination } from "../model/binding.ts";
import type { CallOptions } from "../model/call_options.ts";
import type { ExchangeType } from "../model/exchange.ts";
import type { FieldTable } from "../model/field_table.ts";
import type { Publishing } from "../model/message.ts";
import type { QueueStatus } from "../model/queue.ts";
import type { Channel } from "../transports/transport.ts";
import { matchHeaders, matchTopic } from "../virtual/mod.ts";
import { Exchange, type ExchangeBinding, exchangeName } from "./exchange.ts";
import type { Queue } from "./queue.ts";

/** What can be declared. */
export type Entity = Exchange | Queue;

/**
 * What a session has declared, in order, to be declared again on a new
 * connection; and the names that the broker chose for queues that have none.
 */
export class Declarations {
  readonly #entities = new Set<Entity>();
  /** By the queue, for queues without a name: the broker's choice on this connection. */
  readonly #names = new Map<Queue, string>();
  /** What has been declared on the present connection. */
  readonly #done = new Set<Entity>();

  /** Whether an entity has been declared on the present connection. */
  has(entity: Entity): boolean {
    return this.#done.has(entity);
  }

  /** Whether an entity has ever been declared by this session. */
  knows(entity: Entity): boolean {
    return this.#entities.has(entity);
  }

  /** Whether there is anything that leads from an exchange, or to a queue, to declare again. */
  leadsFrom(exchange: string, routingKey: string): boolean {
    for (const entity of this.#entities) {
      if (exchange === "" && entity.name === routingKey) return true;
      if (entity.name === exchange && entity instanceof Exchange) return true;
      if (
        entity.bindings.some((each) => exchangeName(each.exchange) === exchange)
      ) {
        return true;
      }
    }
    return false;
  }

  /** Whether a queue was declared with a binding that matches a message. */
  bindsFor(
    { exchange, routingKey, properties }: Pick<
      Publishing,
      "exchange" | "routingKey" | "properties"
    >,
  ): boolean {
    for (const entity of this.#entities) {
      if (entity instanceof Exchange) continue;
      for (const each of entity.bindings) {
        if (exchangeName(each.exchange) !== exchange) continue;
        const type = each.exchange instanceof Exchange
          ? each.exchange.type
          : "direct";
        if (matches(type, each, routingKey, properties.headers)) return true;
      }
    }
    return false;
  }

  /** The name of a queue: its own, or the broker's choice if it has been declared. */
  nameOf(queue: Queue): string | undefined {
    return queue.name === "" ? this.#names.get(queue) : queue.name;
  }

  /** The connection is another: nothing is declared on it yet. */
  reset(): void {
    this.#done.clear();
    this.#names.clear();
  }

  /** Forgets that these were declared on this connection: they may be gone. */
  doubt(): void {
    this.#done.clear();
  }

  /** Declares an entity, its exchanges first, and its bindings. */
  async declare(
    entity: Entity,
    channel: Channel,
    call: CallOptions,
  ): Promise<QueueStatus | undefined> {
    let status: QueueStatus | undefined;
    let destination: BindingDestination;
    if (entity instanceof Exchange) {
      await this.#declareExchange(entity, channel, call);
      destination = { kind: "exchange", name: entity.name };
    } else {
      // A name that the broker chose is reserved: it can be looked at, not declared.
      const chosen = this.#names.get(entity);
      status = chosen === undefined
        ? await channel.declareQueue(plain(entity), call)
        : await channel.checkQueue(chosen, call);
      if (entity.name === "") this.#names.set(entity, status.name);
      destination = { kind: "queue", name: status.name };
    }
    for (const each of entity.bindings) {
      if (each.exchange instanceof Exchange) {
        await this.#declareExchange(each.exchange, channel, call);
      }
      await channel.bind(bindingTo(destination, each), call);
    }
    this.#entities.add(entity);
    this.#done.add(entity);
    return status;
  }

  /** Declares everything again, in order; `onError` hears of what could not be. */
  async declareAll(
    run: (action: (channel: Channel) => Promise<unknown>) => Promise<unknown>,
    call: CallOptions,
    onError: (entity: Entity, error: unknown) => void,
  ): Promise<void> {
    for (const entity of [...this.#entities]) {
      try {
        await run((channel) => this.declare(entity, channel, call));
      } catch (error) {
        onError(entity, error);
      }
    }
  }

  async #declareExchange(
    exchange: Exchange,
    channel: Channel,
    call: CallOptions,
  ): Promise<void> {
    // The default exchange and the broker's own are always there.
    if (exchange.name === "" || exchange.name.startsWith("amq.")) return;
    if (this.#done.has(exchange)) return;
    const { name, type, durable, autoDelete, internal } = exchange;
    await channel.declareExchange({
      name,
      type,
      durable,
      autoDelete,
      internal,
      arguments: exchange.arguments,
    }, call);
  }
}

function matches(
  type: ExchangeType,
  binding: ExchangeBinding,
  routingKey: string,
  headers: FieldTable = {},
): boolean {
  switch (type) {
    case "direct":
      return binding.routingKey === routingKey;
    case "topic":
      return matchTopic(binding.routingKey, routingKey);
    case "fanout":
      return true;
    case "headers":
      return matchHeaders(binding.arguments, headers);
  }
}

function plain(queue: Queue): Omit<Queue, "bindings"> {
  const { name, durable, exclusive, autoDelete } = queue;
  return { name, durable, exclusive, autoDelete, arguments: queue.arguments };
}

function bindingTo(
  destination: BindingDestination,
  from: ExchangeBinding,
): Binding {
  return {
    source: exchangeName(from.exchange),
    destination,
    routingKey: from.routingKey,
    arguments: from.arguments,
  };
}
