import type { Binding } from "../../../model/binding.ts";
import type { ExchangeDeclaration } from "../../../model/exchange.ts";
import { exchangesAround } from "../../../virtual/exchanges_around.ts";
import {
  type QueueTraits,
  queueTraits,
} from "../../../virtual/queue_arguments.ts";
import {
  type ConsumerRecord,
  foreignExchange,
  foreignQueue,
  Topology,
  type TopologyChange,
} from "../../../virtual/topology.ts";
import type { TopologyKey } from "../../store/store.ts";
import { bindingOf, BindingSet } from "./binding_set.ts";
import type { Layout, Versions } from "../layout.ts";
import { PastQueues } from "./past_queues.ts";
import { fieldsAfter } from "./write_pieces.ts";
import {
  byText,
  planWrites,
  type QueueField,
  read,
  readList,
  type Writes,
} from "./writes.ts";

const NO_TRAITS = queueTraits({});

/** Fields of the hash, with values. */
type Fields = Iterable<readonly [field: string, value: string]>;

/**
 * A copy of the declarations in the database, as far as we know them: a hash of our own for
 * what Kombu's layout has no place for, and Kombu's sets of bindings, which are what counts
 * for them: a binding that somebody removed there is gone.
 */
export class Mirror {
  readonly #layout: Layout;
  #topology = new Topology();
  #fields = new Map<string, string>();
  readonly #sets = new Map<string, BindingSet>();
  /** By exchange, the exchanges that it leads to, and by how many bindings: those alone are looked for, however many queues there are. */
  readonly #next = new Map<string, Map<string, number>>();
  #version = "";
  #routes = "";
  #doubts = 0;
  #fanouts = 0;
  readonly past: PastQueues = new PastQueues();
  readonly #takesLists: boolean;

  /** Makes a mirror that has seen nothing; `takesLists` says that our consumers do not listen for themselves. */
  constructor(layout: Layout, takesLists: boolean) {
    this.#layout = layout;
    this.#takesLists = takesLists;
  }

  /** The tables. */
  get topology(): Topology {
    return this.#topology;
  }

  /** Which state of the hash it has seen; empty before the first. */
  get version(): string {
    return this.#version;
  }

  /** Which state of the routes it has seen: consumers that come and go leave it as it is. */
  get routes(): string {
    return this.#routes;
  }

  /** How often a set was found to be another than we know: a view that is older rests on what is not so. */
  get doubts(): number {
    return this.#doubts;
  }

  /** A count of the changes around fanout exchanges: of their bindings, and of the consumers behind them. */
  get fanouts(): number {
    return this.#fanouts;
  }

  /** The size of an exchange's set as it was last seen, or -1. */
  sizeOf(exchange: string): number {
    return this.#sets.get(exchange)?.size ?? -1;
  }

  /** An exchange's set may be another, though it has the same size. */
  doubt(exchange: string): void {
    const known = this.#sets.get(exchange);
    if (known === undefined) return;
    known.size = -1;
    this.#doubts++;
  }

  /** An exchange's set was changed by one of ours, which the version tells. */
  #askAgain(exchange: string): void {
    const known = this.#sets.get(exchange);
    if (known !== undefined) known.size = -1;
  }

  /** Nothing is certain any more. */
  doubtAll(): void {
    for (const known of this.#sets.values()) known.size = -1;
    this.#version = "";
    this.#doubts++;
  }

  /** The exchanges whose bindings matter around exchanges and queues, and for what owners have. */
  around(all: readonly TopologyKey[]): readonly string[] {
    const found = new Set<string>();
    for (const { type, name } of all) {
      if (type === "exchange") found.add(name);
      else if (type === "queue") this.#addSources(name, found);
      else {
        for (const queue of this.#topology.queuesOf(name)) {
          this.#addSources(queue, found);
        }
      }
    }
    // What messages are led to, and what goes with the last binding.
    const next = (exchange: string) => this.#next.get(exchange)?.keys() ?? [];
    return [...exchangesAround(this.#topology, found, next)]
      .filter((exchange) => exchange !== "");
  }

  /** Adds the exchanges that lead to a queue. */
  #addSources(queue: string, found: Set<string>): void {
    for (const source of this.#listed(`sources ${queue}`)) found.add(source);
    for (const { source } of this.#topology.bindingsTo(queue)) {
      found.add(source);
    }
  }

  /** Takes over the whole hash. */
  readAll(versions: Versions, fields: Fields): void {
    const before = this.#topology;
    [this.#topology, this.#fields] = [new Topology(), new Map()];
    this.#fanouts++;
    this.#sets.clear();
    this.#next.clear();
    this.readSome(versions, fields);
    for (const { declaration: { name } } of before.queues()) {
      if (this.#topology.queue(name) === undefined) {
        this.past.add(name, before);
      }
    }
  }

  /** Returns what a queue's arguments say; of one that is not known, what none say. */
  traitsOf(queue: string): QueueTraits {
    return this.#topology.queue(queue)?.traits ?? NO_TRAITS;
  }

  /** Whether a queue is there that ours have declared. */
  isDeclared(queue: string): boolean {
    return this.#topology.queue(queue)?.foreign === false;
  }

  /** Returns a queue's `x-expires`, ms, also if it went. */
  expiresOf(queue: string): number | undefined {
    return this.traitsOf(queue).expires ?? this.past.expiresOf(queue);
  }

  /** Takes over fields of the hash that have changed; an empty value is one that went. */
  readSome({ version, routes }: Versions, fields: Fields): void {
    this.#apply(fields);
    this.#version = version;
    this.#routes = routes;
  }

  #apply(fields: Fields): void {
    const order = ["exchange", "queue", "consumers", "bindings", "sources"];
    const changed = [...fields].map(([field, value]) => {
      const [kind = ""] = field.split(" ", 1);
      if (kind === "set") this.#askAgain(field.slice(kind.length + 1));
      return { field, value, kind, rank: order.indexOf(kind) };
    }).filter(({ rank }) => rank >= 0).sort((a, b) => a.rank - b.rank);
    for (const { field, value, kind } of changed) {
      const before = this.#fields.get(field);
      if (before === value) continue;
      if (value !== "") this.#fields.set(field, value);
      else this.#fields.delete(field);
      this.#applyField(kind, field.slice(kind.length + 1), before, value);
    }
  }

  #applyField(
    kind: string,
    name: string,
    before: string | undefined,
    value: string,
  ): void {
    switch (kind) {
      case "exchange":
        this.#fanouts++;
        // Its bindings go with it: one that is declared anew has those that its set has then.
        if (value === "") this.#forgetSet(name);
        return this.#topology.apply(
          value === "" ? { type: "exchange-deleted", name } : {
            type: "exchange-declared",
            exchange: read<ExchangeDeclaration>(value),
          },
        );
      case "queue":
        if (value === "") {
          this.past.add(name, this.#topology);
          return this.#topology.apply({
            type: "queue-deleted",
            name,
            ifEmpty: false,
          });
        }
        this.past.remove(name);
        return this.#topology.apply({
          type: "queue-declared",
          ...read<QueueField>(value),
        });
      case "consumers":
        for (const { source } of this.#topology.bindingsTo(name)) {
          this.#noteFanout(source);
        }
        return this.#change<ConsumerRecord>(
          before,
          value,
          (consumer, isNew) => ({
            type: isNew ? "consumer-added" : "consumer-removed",
            queue: name,
            consumer,
          }),
        );
      case "bindings":
        this.#noteFanout(name);
        return this.#change<Binding>(before, value, (binding, isNew) => {
          this.#noteNext(binding, isNew ? 1 : -1);
          return { type: isNew ? "bound" : "unbound", binding };
        });
    }
  }

  #noteFanout(exchange: string): void {
    const record = this.#topology.exchange(exchange);
    if (record?.declaration.type === "fanout") this.#fanouts++;
  }

  #noteNext({ source, destination }: Binding, more: number): void {
    if (destination.kind !== "exchange") return;
    const next = this.#next.get(source) ?? new Map<string, number>();
    const count = (next.get(destination.name) ?? 0) + more;
    if (count > 0) next.set(destination.name, count);
    else next.delete(destination.name);
    if (next.size > 0) this.#next.set(source, next);
    else this.#next.delete(source);
  }

  /** Applies a change for each entry that a list has lost or won. Most grow at their end: then that is read alone. */
  #change<T>(
    before: string | undefined,
    value: string,
    change: (entry: T, isNew: boolean) => TopologyChange,
  ): void {
    const grows = before !== undefined &&
      value.startsWith(`${before.slice(0, -1)},`);
    const was = byText<T>(grows ? "" : before ?? "");
    const is = byText<T>(grows ? `[${value.slice(before.length)}` : value);
    for (const [text, entry] of was) {
      if (!is.has(text)) this.#topology.apply(change(entry, false));
    }
    for (const [text, entry] of is) {
      if (!was.has(text)) this.#topology.apply(change(entry, true));
    }
  }

  /** Takes over an exchange's set of bindings. */
  readSet(exchange: string, members: readonly string[]): void {
    const known = this.#setOf(exchange);
    const found = new Set(members);
    for (const text of [...known.texts()]) {
      if (!found.has(text)) this.#removeMember(exchange, text);
    }
    if (this.#topology.exchange(exchange) === undefined && found.size > 0) {
      this.#guessExchange(exchange, members);
    }
    for (const text of found) this.#addMember(exchange, text);
    known.size = members.length;
  }

  #forgetSet(exchange: string): void {
    for (const text of [...this.#sets.get(exchange)?.texts() ?? []]) {
      this.#removeMember(exchange, text);
    }
    this.#sets.delete(exchange);
  }

  #setOf(exchange: string): BindingSet {
    let known = this.#sets.get(exchange);
    if (known === undefined) {
      this.#sets.set(exchange, known = new BindingSet(this.#layout));
    }
    return known;
  }

  #addMember(exchange: string, text: string): void {
    const member = this.#setOf(exchange).add(text);
    if (member === undefined) return;
    this.#noteFanout(exchange);
    this.guessQueue(member.queue);
    const binding = bindingOf(exchange, member);
    this.#topology.apply({ type: "bound", binding });
  }

  #removeMember(exchange: string, text: string): void {
    const member = this.#setOf(exchange).remove(text);
    if (member === undefined) return;
    this.#noteFanout(exchange);
    const binding = bindingOf(exchange, member);
    this.#topology.apply({ type: "unbound", binding });
  }

  /** Kombu's sets do not tell an exchange's type, but that the bindings of topic ones have a pattern. */
  #guessExchange(name: string, members: readonly string[]): void {
    const isTopic = members.some((each) =>
      (this.#layout.parseMember(each)?.pattern ?? "") !== ""
    );
    this.#topology.apply(foreignExchange(name, isTopic ? "topic" : "direct"));
  }

  /** Notes that a queue is there that no field tells of. */
  guessQueue(name: string): void {
    if (this.#topology.queue(name) !== undefined) return;
    this.#topology.apply(foreignQueue(name));
  }

  /** Works out the writes for planned changes, and changes nothing yet. */
  plan(changes: readonly TopologyChange[]): Writes {
    return planWrites(changes, {
      layout: this.#layout,
      takesLists: this.#takesLists,
      field: (name) => this.fieldOf(name),
      typeOf: (exchange) => this.#topology.exchange(exchange)?.declaration.type,
      isAutoDelete: (queue) =>
        this.#topology.queue(queue)?.declaration.autoDelete === true,
      isDeclared: this.isDeclared.bind(this),
      count: (exchange, queue) =>
        [...this.#topology.bindingsTo(queue)]
          .filter(({ source }) => source === exchange).length,
      members: (exchange, binding) => this.#setOf(exchange).textsOf(binding),
    });
  }

  /**
   * Notes that planned changes were made; the sizes are of sets that they touched. Without
   * versions others have changed something in between, which is still to be read.
   */
  done(
    versions: Versions | undefined,
    writes: Writes,
    sizes: ReadonlyMap<string, number>,
  ): void {
    const fields = fieldsAfter(writes, this.fieldOf.bind(this));
    if (versions === undefined) this.#apply(fields);
    else this.readSome(versions, fields);
    for (const [exchange, text] of writes.added) {
      this.#addMember(exchange, text);
    }
    for (const [exchange, text] of writes.removed) {
      this.#removeMember(exchange, text);
    }
    for (const [exchange, size] of sizes) {
      const known = this.#setOf(exchange);
      // If the sizes differ, somebody else changed the set too.
      known.size = size === known.seen ? size : -1;
    }
  }

  /** The queues that ours have bound to an exchange. */
  queuesBehind(exchange: string): readonly string[] {
    return [...this.#topology.queues()]
      .map(({ declaration }) => declaration.name)
      .filter((name) => this.#listed(`sources ${name}`).includes(exchange));
  }

  /** The value of a field of the shared hash, as it was last seen; empty if there is none. */
  fieldOf(name: string): string {
    return this.#fields.get(name) ?? "";
  }

  #listed(field: string): readonly string[] {
    return readList(this.fieldOf(field));
  }
}
