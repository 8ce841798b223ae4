import type { Binding } from "../../model/binding.ts";
import {
  foreignExchange,
  foreignQueue,
  Topology,
} from "../../virtual/topology.ts";
import type { Fields } from "./port.ts";
import { applyRecord, guessType, isGone, readRoute } from "./records.ts";

/** The state that a view was decided on, to be compared with a later one. */
export interface Mark {
  /** How many changes there were, of consumers too. */
  readonly changes: number;
  /** How many of them were of routes. */
  readonly routes: number;
  /** For each exchange that routing went through, what its bindings looked like. */
  readonly prints: ReadonlyMap<string, string>;
}

/** The tables as this connection knows them, and marks of how new they are. */
export class View {
  #topology = new Topology();
  /** Exchanges and queues that we have records of; others were found in Kombu's collection. */
  readonly #own = new Set<string>();
  readonly #marks = new Map<string, Mark>();
  /** The newest mark of each key. */
  readonly #newest = new Map<string, string>();
  #count = 0;

  /** The tables. Read only. */
  get topology(): Topology {
    return this.#topology;
  }

  /** Forgets everything: it is to be read again. */
  clear(): void {
    this.#topology = new Topology();
    this.#own.clear();
    this.#marks.clear();
    this.#newest.clear();
  }

  /** Takes in records of ours. */
  addRecords(records: readonly Fields[]): void {
    // Bindings need their exchange, whichever of the two was written last.
    const inOrder = [...records].sort((a, b) => orderOf(a) - orderOf(b));
    for (const record of inOrder) {
      const { kind, name } = record;
      const id = `${kind} ${name}`;
      if (!isGone(record)) this.#own.add(id);
      else this.#own.delete(id);
      applyRecord(this.#topology, record);
    }
  }

  /** Takes in all bindings that Kombu's collection has of these exchanges. */
  setRoutesFrom(exchanges: Iterable<string>, routes: readonly Fields[]): void {
    const bySource = groupBy(routes, "exchange");
    for (const name of exchanges) {
      const found = bySource.get(name) ?? [];
      this.#guessExchange(name, found);
      this.#replace(
        [...this.#topology.bindingsFrom(name)].filter(this.#isShared),
        found,
      );
    }
  }

  /** Takes in all bindings that Kombu's collection has to these queues. */
  setRoutesTo(queues: Iterable<string>, routes: readonly Fields[]): void {
    const byQueue = groupBy(routes, "queue");
    for (const name of queues) {
      const found = byQueue.get(name) ?? [];
      this.#replace(
        [...this.#topology.bindingsTo(name)].filter(this.#isShared),
        found,
      );
    }
  }

  /** Notes whether a queue that we have no record of is there. */
  setForeignQueue(name: string, isThere: boolean): void {
    if (this.hasRecord("queue", name)) return;
    const isKnown = this.#topology.queue(name) !== undefined;
    if (isThere && !isKnown) {
      this.#topology.apply(foreignQueue(name));
    } else if (!isThere && isKnown) {
      this.#topology.apply({ type: "queue-deleted", name, ifEmpty: false });
    }
  }

  /** Says whether one of our processes declared it. */
  hasRecord(kind: "exchange" | "queue", name: string): boolean {
    return this.#own.has(`${kind} ${name}`);
  }

  /** Names a mark; as before if nothing has changed. Each name has one. */
  remember(name: string, mark: Mark): string {
    const newest = this.#newest.get(name);
    const known = newest === undefined ? undefined : this.#marks.get(newest);
    if (newest !== undefined && known !== undefined && isEqual(known, mark)) {
      return newest;
    }
    if (newest !== undefined) this.#marks.delete(newest);
    const version = String(++this.#count);
    this.#marks.set(version, mark);
    this.#newest.set(name, version);
    return version;
  }

  /** Finds a mark by its name; `undefined` if there is a newer one. */
  recall(version: string): Mark | undefined {
    return this.#marks.get(version);
  }

  readonly #isShared = (binding: Binding): boolean =>
    binding.destination.kind === "queue" &&
    this.#topology.exchange(binding.source)?.declaration.type !== "headers";

  #guessExchange(name: string, routes: readonly Fields[]): void {
    if (this.hasRecord("exchange", name) || name.startsWith("amq.")) return;
    if (routes.length > 0) {
      this.#topology.apply(foreignExchange(name, guessType(routes)));
    } else if (this.#topology.exchange(name) !== undefined) {
      this.#topology.apply({ type: "exchange-deleted", name });
    }
  }

  #replace(known: readonly Binding[], routes: readonly Fields[]): void {
    const left = new Set(known);
    for (const fields of routes) {
      const binding = readRoute(fields);
      const { source, destination } = binding;
      if (this.#topology.exchange(source) === undefined) {
        this.#guessExchange(source, [fields]);
      }
      this.setForeignQueue(destination.name, true);
      const same = this.#topology.findBinding(binding);
      if (same === undefined) this.#topology.apply({ type: "bound", binding });
      else left.delete(same);
    }
    for (const binding of left) {
      this.#topology.apply({ type: "unbound", binding });
    }
  }
}

function orderOf(record: Fields): number {
  if (record.kind !== "binding") return 1;
  return isGone(record) ? 0 : 2;
}

/** Says what bindings look like, by their documents' ids. */
export function printOf(routes: readonly Fields[]): string {
  let last = "";
  for (const { _id } of routes) {
    const id = String(_id);
    if (id > last) last = id;
  }
  return `${routes.length} ${last}`;
}

/** Sorts documents by a field. */
export function groupBy(
  documents: readonly Fields[],
  field: string,
): ReadonlyMap<string, readonly Fields[]> {
  return Map.groupBy(documents, (each) => String(each[field]));
}

function isEqual(a: Mark, b: Mark): boolean {
  if (a.changes !== b.changes || a.routes !== b.routes) return false;
  if (a.prints.size !== b.prints.size) return false;
  for (const [name, print] of a.prints) {
    if (b.prints.get(name) !== print) return false;
  }
  return true;
}
