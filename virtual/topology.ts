import type { Binding } from "../model/binding.ts";
import type { ExchangeDeclaration, ExchangeType } from "../model/exchange.ts";
import { plainQueue, type QueueDeclaration } from "../model/queue.ts";
import { type BindingIndex, createIndex } from "./binding_index.ts";
import { identifyTable } from "./field_value.ts";
import { type QueueTraits, queueTraits } from "./queue_arguments.ts";

/** An exchange in the tables. */
export interface ExchangeRecord {
  /** As it was declared. */
  readonly declaration: ExchangeDeclaration;
  /** Found in tables that others wrote, its type guessed: it equals any declaration. */
  readonly foreign: boolean;
}

/** A consumer in the tables. */
export interface ConsumerRecord {
  /** Its name, one of a kind among its owner's. */
  readonly consumerTag: string;
  /** The connection that owns it. */
  readonly owner: string;
  /** Whether no other may share the queue. */
  readonly exclusive: boolean;
}

/** A queue in the tables. */
export interface QueueRecord {
  /** As it was declared. */
  readonly declaration: QueueDeclaration;
  /** The traits that its arguments give it. */
  readonly traits: QueueTraits;
  /** Found in tables that others wrote: it equals any declaration. */
  readonly foreign: boolean;
  /** The connection that owns it, if it is exclusive. */
  readonly owner: string | undefined;
  /** Its consumers. */
  readonly consumers: readonly ConsumerRecord[];
}

/** One step from one state of the tables to the next. */
export type TopologyChange =
  | {
    readonly type: "exchange-declared";
    readonly exchange: ExchangeDeclaration;
    /** Whether others wrote it. @default {false} */
    readonly foreign?: boolean | undefined;
  }
  | { readonly type: "exchange-deleted"; readonly name: string }
  | {
    readonly type: "queue-declared";
    readonly queue: QueueDeclaration;
    readonly owner: string | undefined;
    /** Whether others wrote it. @default {false} */
    readonly foreign?: boolean | undefined;
  }
  | {
    readonly type: "queue-deleted";
    readonly name: string;
    /** Whether the store refuses if there are messages. */
    readonly ifEmpty: boolean;
  }
  | { readonly type: "bound" | "unbound"; readonly binding: Binding }
  | {
    readonly type: "consumer-added" | "consumer-removed";
    readonly queue: string;
    readonly consumer: ConsumerRecord;
  };

/**
 * Takes up a queue that others use, and that nobody has declared here.
 *
 * @param name The queue's name.
 * @returns The change.
 *
 * @example A queue that others use
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { foreignQueue, Topology } from "@dashi/mq/virtual";
 *
 * const topology = new Topology();
 * topology.apply(foreignQueue("orders"));
 * assertEquals(topology.queue("orders")?.foreign, true);
 * ```
 */
export function foreignQueue(name: string): TopologyChange {
  return {
    type: "queue-declared",
    queue: plainQueue(name),
    owner: undefined,
    foreign: true,
  };
}

/**
 * Takes up an exchange that others use, and that nobody has declared here.
 *
 * @param name The exchange's name.
 * @param type Its type, as far as its bindings tell.
 * @returns The change.
 *
 * @example An exchange that others use
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { foreignExchange, Topology } from "@dashi/mq/virtual";
 *
 * const topology = new Topology();
 * topology.apply(foreignExchange("media", "topic"));
 * assertEquals(topology.exchange("media")?.foreign, true);
 * ```
 */
export function foreignExchange(
  name: string,
  type: ExchangeType,
): TopologyChange {
  return {
    type: "exchange-declared",
    exchange: plainExchange(name, type),
    foreign: true,
  };
}

function plainExchange(name: string, type: ExchangeType): ExchangeDeclaration {
  return {
    name,
    type,
    durable: true,
    autoDelete: false,
    internal: false,
    arguments: {},
  };
}

/** The exchanges that every broker has from the beginning: AMQP's predeclared ones. */
const PREDECLARED: readonly (readonly [string, ExchangeType])[] = [
  ["amq.direct", "direct"],
  ["amq.topic", "topic"],
  ["amq.fanout", "fanout"],
  ["amq.headers", "headers"],
  ["amq.match", "headers"],
];

interface ExchangeEntry {
  record: ExchangeRecord;
  readonly index: BindingIndex;
  /** By identity. */
  readonly from: Map<string, Binding>;
}

/**
 * Declarations kept in memory, indexed for routing. Owned by one caller: no I/O, no
 * clock, no chance. The default exchange is not in it: it leads to every queue by
 * the queue's name.
 *
 * @example Declare and look
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Topology } from "@dashi/mq/virtual";
 *
 * const topology = new Topology();
 * assertEquals(topology.exchange("amq.topic")?.declaration.type, "topic");
 * assertEquals(topology.queue("orders"), undefined);
 * ```
 */
export class Topology {
  readonly #exchanges = new Map<string, ExchangeEntry>();
  readonly #queues = new Map<string, QueueRecord>();
  /** By destination, then by source and identity. */
  readonly #to = new Map<string, Map<string, Binding>>();
  /** The queues that an owner has, or consumes from. */
  readonly #owned = new Map<string, Set<string>>();

  /** Makes tables with the predeclared exchanges alone. */
  constructor() {
    for (const [name, type] of PREDECLARED) {
      const exchange = plainExchange(name, type);
      this.apply({ type: "exchange-declared", exchange });
    }
  }

  /** Looks up an exchange. */
  exchange(name: string): ExchangeRecord | undefined {
    return this.#exchanges.get(name)?.record;
  }

  /** Looks up a queue. */
  queue(name: string): QueueRecord | undefined {
    return this.#queues.get(name);
  }

  /** Goes through all exchanges. */
  exchanges(): Iterable<ExchangeRecord> {
    return [...this.#exchanges.values()].map(({ record }) => record);
  }

  /** Goes through all queues. */
  queues(): Iterable<QueueRecord> {
    return this.#queues.values();
  }

  /** Goes through the bindings that come from an exchange. */
  bindingsFrom(exchange: string): Iterable<Binding> {
    return this.#exchanges.get(exchange)?.from.values() ?? [];
  }

  /** Goes through the bindings that lead to a queue. */
  bindingsTo(queue: string): Iterable<Binding> {
    return this.#to.get(`queue ${queue}`)?.values() ?? [];
  }

  /** Goes through the bindings that lead to an exchange. */
  bindingsToExchange(exchange: string): Iterable<Binding> {
    return this.#to.get(`exchange ${exchange}`)?.values() ?? [];
  }

  /** Finds an equal binding: of the same ends, key and arguments. */
  findBinding(binding: Binding): Binding | undefined {
    return this.#exchanges.get(binding.source)?.from.get(
      identifyBinding(binding),
    );
  }

  /** Goes through the queues that an owner has exclusively, or consumes from. */
  queuesOf(owner: string): Iterable<string> {
    return this.#owned.get(owner) ?? [];
  }

  /** Finds the bindings that match, and calls `found` for each. */
  match(
    exchange: string,
    routingKey: string,
    headers: Binding["arguments"] | undefined,
    found: (binding: Binding) => void,
  ): void {
    this.#exchanges.get(exchange)?.index.match(routingKey, headers, found);
  }

  /** Applies a change that a `plan…` function returned. */
  apply(change: TopologyChange): void {
    switch (change.type) {
      case "exchange-declared":
        return this.#declareExchange(change.exchange, change.foreign ?? false);
      case "exchange-deleted":
        this.#exchanges.delete(change.name);
        return;
      case "queue-declared":
        return this.#setQueue({
          declaration: change.queue,
          traits: queueTraits(change.queue.arguments),
          foreign: change.foreign ?? false,
          owner: change.owner,
          consumers: this.#queues.get(change.queue.name)?.consumers ?? [],
        });
      case "queue-deleted":
        return this.#deleteQueue(change.name);
      case "bound":
        return this.#bind(change.binding);
      case "unbound":
        return this.#unbind(change.binding);
      case "consumer-added":
      case "consumer-removed":
        return this.#changeConsumers(change);
    }
  }

  #declareExchange(declaration: ExchangeDeclaration, foreign: boolean): void {
    const record = { declaration, foreign };
    const known = this.#exchanges.get(declaration.name);
    if (known?.record.declaration.type === declaration.type) {
      known.record = record;
      return;
    }
    const index = createIndex(declaration.type);
    const from = known?.from ?? new Map<string, Binding>();
    for (const binding of from.values()) index.add(binding);
    this.#exchanges.set(declaration.name, { record, index, from });
  }

  #setQueue(record: QueueRecord): void {
    const { name } = record.declaration;
    this.#queues.set(name, record);
    if (record.owner !== undefined) this.#own(record.owner, name);
  }

  #deleteQueue(name: string): void {
    const record = this.#queues.get(name);
    if (record === undefined) return;
    this.#queues.delete(name);
    for (const { owner } of record.consumers) this.#disown(owner, name);
    if (record.owner !== undefined) this.#disown(record.owner, name);
  }

  #bind(binding: Binding): void {
    const entry = this.#exchanges.get(binding.source);
    const identity = identifyBinding(binding);
    if (entry === undefined || entry.from.has(identity)) return;
    entry.from.set(identity, binding);
    entry.index.add(binding);
    const destination = destinationOf(binding);
    const name = `${binding.source}\n${identity}`;
    const to = this.#to.get(destination);
    if (to === undefined) {
      this.#to.set(destination, new Map([[name, binding]]));
    } else to.set(name, binding);
  }

  #unbind(binding: Binding): void {
    const identity = identifyBinding(binding);
    const entry = this.#exchanges.get(binding.source);
    const known = entry?.from.get(identity);
    if (known !== undefined) {
      entry?.from.delete(identity);
      entry?.index.remove(known);
    }
    const destination = destinationOf(binding);
    const to = this.#to.get(destination);
    to?.delete(`${binding.source}\n${identity}`);
    if (to?.size === 0) this.#to.delete(destination);
  }

  #changeConsumers(
    change: Extract<TopologyChange, { readonly consumer: ConsumerRecord }>,
  ): void {
    const record = this.#queues.get(change.queue);
    if (record === undefined) return;
    const { consumerTag, owner } = change.consumer;
    const others = record.consumers.filter((each) =>
      each.consumerTag !== consumerTag || each.owner !== owner
    );
    const consumers = change.type === "consumer-added"
      ? [...others, change.consumer]
      : others;
    this.#queues.set(change.queue, { ...record, consumers });
    const owns = record.owner === owner ||
      consumers.some((each) => each.owner === owner);
    if (owns) this.#own(owner, change.queue);
    else this.#disown(owner, change.queue);
  }

  #own(owner: string, queue: string): void {
    const owned = this.#owned.get(owner);
    if (owned === undefined) this.#owned.set(owner, new Set([queue]));
    else owned.add(queue);
  }

  #disown(owner: string, queue: string): void {
    const owned = this.#owned.get(owner);
    owned?.delete(queue);
    if (owned?.size === 0) this.#owned.delete(owner);
  }
}

function identifyBinding(binding: Binding): string {
  return `${destinationOf(binding)}\n${JSON.stringify(binding.routingKey)}${
    identifyTable(binding.arguments)
  }`;
}

function destinationOf({ destination }: Binding): string {
  return `${destination.kind} ${destination.name}`;
}
