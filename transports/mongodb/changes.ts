import type { Binding } from "../../model/binding.ts";
import { plainQueue } from "../../model/queue.ts";
import type {
  ConsumerRecord,
  Topology,
  TopologyChange,
} from "../../virtual/topology.ts";
import { queueTraits } from "../../virtual/queue_arguments.ts";
import type { Context } from "./context.ts";
import { checkText } from "./names.ts";
import type { Fields, UpdateStatement } from "./port.ts";
import {
  bindingFields,
  bindingName,
  consumerFields,
  exchangeFields,
  queueFields,
  recordId,
  type RecordKind,
  routeFields,
  routeFilter,
} from "./records.ts";

/** Planned changes as statements. */
export class Changes {
  /** For our own collection. */
  readonly records: UpdateStatement[] = [];
  /** For Kombu's collection of bindings. */
  readonly routes: UpdateStatement[] = [];
  /** Filters of what goes from that. */
  readonly unroutes: Fields[] = [];
  /** Queues that go, with their messages. */
  readonly queues: string[] = [];
  readonly #topology: Topology;
  readonly #at: number;
  readonly #context: Context;
  readonly #consumers = new Map<string, readonly ConsumerRecord[]>();

  /** Translates changes of tables, which will be change number `at`. */
  constructor(
    changes: readonly TopologyChange[],
    topology: Topology,
    at: number,
    context: Context,
  ) {
    this.#topology = topology;
    this.#at = at;
    this.#context = context;
    for (const change of changes) this.#add(change);
  }

  #add(change: TopologyChange): void {
    checkNames(change);
    switch (change.type) {
      case "consumer-added":
      case "consumer-removed":
        return this.#changeConsumers(change);
      case "exchange-declared":
        this.#set("exchange", change.exchange.name, {
          ...exchangeFields(change.exchange),
        });
        break;
      case "exchange-deleted":
        this.#unset("exchange", change.name);
        break;
      case "queue-declared":
        this.#declareQueue(change);
        break;
      case "queue-deleted":
        this.#unset("queue", change.name);
        this.#consumers.set(change.name, []);
        this.unroutes.push({ queue: change.name });
        this.queues.push(change.name);
        break;
      case "bound":
        this.#bind(change.binding);
        break;
      case "unbound":
        this.#unbind(change.binding);
    }
  }

  #declareQueue(
    { queue, owner }: Extract<TopologyChange, { type: "queue-declared" }>,
  ): void {
    this.#set("queue", queue.name, {
      ...queueFields(queue, owner),
      consumers: consumerFields(this.#consumersOf(queue.name)),
      foreign: false,
      ...this.#expiry(queueTraits(queue.arguments).expires),
    });
  }

  #changeConsumers(
    { type, queue, consumer }: Extract<
      TopologyChange,
      { readonly consumer: ConsumerRecord }
    >,
  ): void {
    const others = this.#consumersOf(queue).filter((each) =>
      each.consumerTag !== consumer.consumerTag ||
      each.owner !== consumer.owner
    );
    const consumers = type === "consumer-added"
      ? [...others, consumer]
      : others;
    this.#consumers.set(queue, consumers);
    const record = this.#topology.queue(queue);
    this.records.push({
      filter: { _id: recordId("queue", queue) },
      update: {
        $set: {
          at: this.#at,
          consumers: consumerFields(consumers),
          foreign: record?.foreign ?? false,
          ...this.#expiry(record?.traits.expires),
        },
        // Of a queue that others declared there is no record yet.
        $setOnInsert: queueFields(plainQueue(queue), undefined),
        ...(record === undefined ? {} : { $unset: { gone: "" } }),
      },
      upsert: record !== undefined,
    });
  }

  #consumersOf(queue: string): readonly ConsumerRecord[] {
    return this.#consumers.get(queue) ??
      this.#topology.queue(queue)?.consumers ?? [];
  }

  #expiry(expires: number | undefined): Fields {
    return expires === undefined
      ? {}
      : { expires_at: new Date(this.#context.now() + expires) };
  }

  #bind(binding: Binding): void {
    const type = this.#topology.exchange(binding.source)?.declaration.type ??
      "direct";
    if (binding.destination.kind === "exchange" || type === "headers") {
      this.#set("binding", bindingName(binding), bindingFields(binding));
      return;
    }
    const fields = routeFields(binding, type);
    this.routes.push({
      filter: { ...routeFilter(binding), pattern: fields.pattern },
      update: { $set: fields },
      upsert: true,
    });
  }

  #unbind(binding: Binding): void {
    const type = this.#topology.exchange(binding.source)?.declaration.type;
    if (binding.destination.kind === "exchange" || type === "headers") {
      this.#unset("binding", bindingName(binding));
    } else this.unroutes.push(routeFilter(binding));
  }

  #set(kind: RecordKind, name: string, fields: Fields): void {
    this.records.push({
      filter: { _id: recordId(kind, name) },
      update: { $set: { ...fields, at: this.#at }, $unset: { gone: "" } },
      upsert: true,
    });
  }

  #unset(kind: RecordKind, name: string): void {
    this.records.push({
      filter: { _id: recordId(kind, name) },
      update: {
        $set: {
          at: this.#at,
          gone: new Date(this.#context.now()),
          kind,
          name,
          ...(kind === "queue" ? { consumers: [] } : {}),
        },
        $unset: { expires_at: "" },
      },
      // Entities that others declared have no record.
      upsert: true,
    });
  }
}

/** Refuses names that would be other names when they are read again. */
function checkNames(change: TopologyChange): void {
  switch (change.type) {
    case "exchange-declared":
      return checkText("exchange", change.exchange.name);
    case "queue-declared":
      return checkText("queue", change.queue.name);
    case "consumer-added":
      return checkText("consumer tag", change.consumer.consumerTag);
    case "bound":
      return checkText("routing key", change.binding.routingKey);
  }
}
