import type { Binding } from "../model/binding.ts";
import type {
  ConsumerRecord,
  QueueRecord,
  Topology,
  TopologyChange,
} from "./topology.ts";

/** Collects the entities to remove, and those that go with them. */
export class Removal {
  /** The changes so far, in order. */
  readonly changes: TopologyChange[] = [];
  readonly #topology: Topology;
  readonly #gone = new Set<Binding>();
  readonly #exchangesGone = new Set<string>();

  /** Makes a plan that removes nothing yet. */
  constructor(topology: Topology) {
    this.#topology = topology;
  }

  /** Removes a queue and its bindings. */
  queue(name: string, ifEmpty: boolean): this {
    // First: a store that refuses it must not have lost its bindings.
    this.changes.push({ type: "queue-deleted", name, ifEmpty });
    for (const each of this.#topology.bindingsTo(name)) this.unbind(each);
    return this;
  }

  /** Removes an exchange and its bindings. */
  exchange(name: string): this {
    if (this.#exchangesGone.has(name)) return this;
    this.#exchangesGone.add(name);
    for (const each of this.#topology.bindingsFrom(name)) {
      this.#removeBinding(each);
    }
    for (const each of this.#topology.bindingsToExchange(name)) {
      this.unbind(each);
    }
    this.changes.push({ type: "exchange-deleted", name });
    return this;
  }

  /** Removes a binding; an auto-delete exchange goes with its last one. */
  unbind(binding: Binding): this {
    if (!this.#removeBinding(binding)) return this;
    const { source } = binding;
    const record = this.#topology.exchange(source);
    if (record?.declaration.autoDelete !== true) return this;
    for (const each of this.#topology.bindingsFrom(source)) {
      if (!this.#gone.has(each)) return this;
    }
    return this.exchange(source);
  }

  /** Removes some consumers of a queue; an auto-delete queue goes with its last one. */
  consumers(
    record: QueueRecord,
    goes: (consumer: ConsumerRecord) => boolean,
  ): this {
    const { name, autoDelete } = record.declaration;
    const going = record.consumers.filter(goes);
    for (const consumer of going) {
      this.changes.push({ type: "consumer-removed", queue: name, consumer });
    }
    const last = going.length > 0 && going.length === record.consumers.length;
    return autoDelete && last ? this.queue(name, false) : this;
  }

  #removeBinding(binding: Binding): boolean {
    if (this.#gone.has(binding)) return false;
    this.#gone.add(binding);
    this.changes.push({ type: "unbound", binding });
    return true;
  }
}
