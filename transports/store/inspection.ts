import type { Binding } from "../../model/binding.ts";
import type { CallOptions } from "../../model/call_options.ts";
import { checkName } from "../../model/checks.ts";
import { NotFoundError } from "../../model/errors.ts";
import type { ExchangeDeclaration } from "../../model/exchange.ts";
import type { Topology } from "../../virtual/topology.ts";
import type { Inspection, Peeked, QueueInfo } from "../inspection.ts";
import { withQueue } from "./known_queues.ts";
import type { StoreWithTopology } from "./local_topology.ts";
import { isMalformed, unread } from "./quarantine.ts";
import type { InspectionStore, PeekedItem, StoredCounts } from "./store.ts";

/** So many queues are looked at in one call of a store. */
const PAGE = 50;

/** All that is declared is reached from here, and no queue counts as used. */
const NOBODY = { type: "owner", name: "" } as const;

const EMPTY: StoredCounts = {
  ready: 0,
  delayed: 0,
  unacked: 0,
  oldestAge: undefined,
  bytes: undefined,
};

/**
 * Says how old something is.
 *
 * @param moment When it began, ms since 1970; `undefined` if that is not known.
 * @param now The time, by the same calendar.
 * @returns Seconds, 0 or more; `undefined` if it is not known.
 */
export function secondsSince(
  moment: number | undefined,
  now: number,
): number | undefined {
  return moment === undefined || Number.isNaN(moment)
    ? undefined
    : Math.max(0, (now - moment) / 1000);
}

/** Looks into a store: at its queues by its part, at what is declared by the tables. */
export class StoreInspection implements Inspection {
  readonly peek?: NonNullable<Inspection["peek"]>;
  readonly #store: StoreWithTopology;
  readonly #part: InspectionStore;

  /** Makes one over a store that has the part. */
  constructor(store: StoreWithTopology, part: InspectionStore) {
    this.#store = store;
    this.#part = part;
    const peek = part.peek?.bind(part);
    if (peek === undefined) return;
    this.peek = async (queue, max, options) => {
      checkName("queue", queue);
      await this.#requireQueue(queue, `peek at queue "${queue}"`, options);
      const found = await peek(queue, max, options);
      return found?.map((each) => peeked(queue, each));
    };
  }

  async *queues(
    limits: () => CallOptions,
  ): AsyncIterable<readonly QueueInfo[]> {
    const topology = await this.#read(limits());
    const held = await this.#part.tally?.(limits());
    const told = new Set<string>();
    for (const { declaration } of topology.queues()) told.add(declaration.name);
    yield* this.#pages([...told], topology, held, limits);
    for await (const names of this.#names(limits)) {
      const others = names.filter((each) => !told.has(each));
      for (const each of others) told.add(each);
      yield* this.#pages([...new Set(others)], topology, held, limits);
    }
  }

  async queue(name: string, options?: CallOptions): Promise<QueueInfo> {
    checkName("queue", name);
    const action = `look at queue "${name}"`;
    const topology = await this.#requireQueue(name, action, options);
    const held = await this.#part.tally?.(options);
    const [counts] = await this.#part.look([name], options);
    if (counts === undefined && this.#knowsQueues) throw missing(action);
    return this.#infoOf(name, topology, counts ?? EMPTY, held);
  }

  async exchanges(
    options?: CallOptions,
  ): Promise<readonly ExchangeDeclaration[]> {
    const topology = await this.#tables(options);
    return [...topology.exchanges()].map(({ declaration }) => declaration);
  }

  async bindings(options?: CallOptions): Promise<readonly Binding[]> {
    const topology = await this.#tables(options);
    return [...topology.exchanges()].flatMap(({ declaration }) => [
      ...topology.bindingsFrom(declaration.name),
    ]);
  }

  /** The queues that the tables at hand may lack. */
  async *#names(
    limits: () => CallOptions,
  ): AsyncIterable<readonly string[]> {
    const { names, tables } = this.#part;
    if (names !== undefined) yield* names.call(this.#part, limits);
    else if (tables !== undefined) {
      const topology = await tables.call(this.#part, limits());
      yield [...topology.queues()].map(({ declaration }) => declaration.name);
    }
  }

  async *#pages(
    names: readonly string[],
    topology: Topology,
    held: ReadonlyMap<string, number> | undefined,
    limits: () => CallOptions,
  ): AsyncIterable<readonly QueueInfo[]> {
    for (let from = 0; from < names.length; from += PAGE) {
      const page = names.slice(from, from + PAGE);
      const all = await this.#part.look(page, limits());
      yield page.flatMap((name, i) => {
        const counts = all[i];
        return counts === undefined
          ? [] // it was deleted meanwhile
          : [this.#infoOf(name, topology, counts, held)];
      });
    }
  }

  #infoOf(
    name: string,
    topology: Topology,
    counts: StoredCounts,
    held: ReadonlyMap<string, number> | undefined,
  ): QueueInfo {
    const record = topology.queue(name);
    return {
      name,
      declaration: record?.foreign === false ? record.declaration : undefined,
      ...counts,
      unacked: held === undefined ? counts.unacked : held.get(name) ?? 0,
      consumers: this.#store.capabilities.has("shared-topology")
        ? record?.consumers.length ?? 0
        : undefined,
    };
  }

  /** Reads the tables as far as they name queues. */
  async #read(options?: CallOptions): Promise<Topology> {
    return (await this.#store.topology.read(NOBODY, options)).topology;
  }

  /** Reads the tables, with all that other programs have bound. */
  #tables(options?: CallOptions): Promise<Topology> {
    return this.#part.tables?.(options) ?? this.#read(options);
  }

  async #requireQueue(
    name: string,
    action: string,
    options?: CallOptions,
  ): Promise<Topology> {
    return await withQueue(this.#store, name, options, async () => {
      const topology = await this.#read(options);
      if (topology.queue(name) === undefined && this.#knowsQueues) {
        throw missing(action);
      }
      return topology;
    });
  }

  get #knowsQueues(): boolean {
    return this.#store.capabilities.has("known-queues");
  }
}

function missing(action: string): NotFoundError {
  return new NotFoundError(`Cannot ${action}: there is no such queue`);
}

function peeked(
  queue: string,
  { message, redelivered, deliveryCount }: PeekedItem,
): Peeked {
  return isMalformed(message)
    ? { queue, redelivered, deliveryCount, ...unread(queue, message) }
    : {
      queue,
      exchange: message.exchange,
      routingKey: message.routingKey,
      redelivered,
      deliveryCount,
      properties: message.properties,
      body: message.body,
    };
}
