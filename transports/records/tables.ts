import { atNextTurn } from "../../async/turn.ts";
import { Line } from "../../async/line.ts";
import { parseJson, stringifyJson } from "../../codec/mod.ts";
import type { Binding } from "../../model/binding.ts";
import type { CallOptions } from "../../model/call_options.ts";
import { DecodeError } from "../../model/errors.ts";
import type { ExchangeDeclaration } from "../../model/exchange.ts";
import type { QueueDeclaration } from "../../model/queue.ts";
import {
  type ConsumerRecord,
  Topology,
  type TopologyChange,
} from "../../virtual/topology.ts";
import { otherLayout } from "../connection_errors.ts";
import { isOfConsumer } from "../store/changes.ts";
import type { Lifeline } from "../store/lifeline.ts";
import type { TopologyView } from "../store/store.ts";
import { isBinding, isDeclaration, isTable } from "../store/stored_shapes.ts";
import type { Database } from "./database.ts";
import { TOPOLOGY_ID } from "./ids.ts";

/** The demands of a queue's arguments. */
export interface QueueTraits {
  /** The highest priority that it tells apart. */
  readonly maxPriority: number;
  /** Whether what expires there goes somewhere. */
  readonly deadLetters: boolean;
  /** The generation of the topology that declared it: another one for another queue of the name. */
  readonly born: number | undefined;
}

interface Stored {
  readonly exchanges: readonly ExchangeDeclaration[];
  readonly queues: readonly {
    readonly declaration: QueueDeclaration;
    readonly owner?: string | null;
    readonly born?: number | undefined;
    readonly consumers: readonly ConsumerRecord[];
  }[];
  readonly bindings: readonly Binding[];
}

/** The topology, its version, and a mark that stays the same while consumers come and go. */
type SharedView = TopologyView & { readonly routes: string };

/** Looks under way at once: a database that answers none is not asked ever more often. */
const AT_ONCE = 4;

/** Before anything is declared. */
const NO_VERSION = "0";

/**
 * The version of the layout of all records, which the topology's record carries; without
 * one it is the first, as 0.1.0 wrote it. A later layout has another number here, and
 * keeps its topology in another field than `tables`: then 0.1.0 refuses it, too.
 */
const LAYOUT = 1;

/**
 * The topology, in one record that all connections share: its revision is the
 * version. It is small, changes seldom, and is read only if it has another revision, so
 * that to look whether it changed moves a few bytes.
 */
export class Tables {
  readonly #database: Database;
  readonly #lifeline: Lifeline;
  readonly #line = new Line();
  #view: SharedView = {
    topology: new Topology(),
    version: NO_VERSION,
    routes: NO_VERSION,
  };
  #expiring: readonly QueueDeclaration[] = [];
  /** By queue, the generation that declared it. */
  #born: ReadonlyMap<string, number | undefined> = new Map();
  #looking: Promise<TopologyView> | undefined;
  /** How many looks have left and are not answered. */
  #underWay = 0;
  /** Begins the look that waits for one of them. */
  #next: (() => void) | undefined;

  /** Makes one over a database. */
  constructor(database: Database, lifeline: Lifeline) {
    this.#database = database;
    this.#lifeline = lifeline;
  }

  /** The topology as it was seen last. */
  get view(): SharedView {
    return this.#view;
  }

  /** The queues that expire when they are not used, as they were seen last. */
  get expiring(): readonly QueueDeclaration[] {
    return this.#expiring;
  }

  /** Looks at the topology: all calls of one turn together. */
  look(options?: CallOptions): Promise<TopologyView> {
    return this.#lifeline.wait(
      "read the declarations",
      options,
      this.#looking ??= this.#lookLater(),
    );
  }

  /** Writes changes that were planned on a version; `false` if it is no longer the last one. */
  apply(
    changes: readonly TopologyChange[],
    version: string,
  ): Promise<boolean> {
    return this.#line.enter(() => this.#apply(changes, version));
  }

  /** Reads a queue's arguments. */
  traits(queue: string): QueueTraits {
    const declared = this.#view.topology.queue(queue)?.declaration.arguments;
    const most = declared?.["x-max-priority"];
    return {
      maxPriority: typeof most === "number" ? Math.min(most, 9) : 0,
      deadLetters: declared?.["x-dead-letter-exchange"] !== undefined,
      born: this.#born.get(queue),
    };
  }

  /** A call after it has left the turn asks anew: what it sees is not older than the call. */
  #lookLater(): Promise<TopologyView> {
    return new Promise((resolve, reject) => {
      const begin = () => {
        this.#next = this.#looking = undefined;
        this.#underWay++;
        this.#read().finally(() => {
          this.#underWay--;
          this.#next?.();
        }).then(resolve, reject);
      };
      atNextTurn(() => {
        if (this.#underWay < AT_ONCE) begin();
        else this.#next = begin;
      });
    });
  }

  async #read(): Promise<TopologyView> {
    const asked = this.#view;
    const found = await this.#database.readUnless(
      "read the declarations",
      TOPOLOGY_ID,
      asked.version,
    );
    if (found === "same") return asked;
    if (found === undefined) {
      // Another look may have been answered meanwhile, by a newer state.
      if (this.#view === asked) this.#set(NOTHING, NO_VERSION, NO_VERSION);
      return this.#view;
    }
    const { revision, fields: { tables, layout, routes } } = found;
    refuseOtherLayout(layout);
    if (typeof tables !== "string") {
      throw new DecodeError(
        `Cannot read the declarations: the record "${TOPOLOGY_ID}" is not of this library; name another database`,
      );
    }
    const { version } = this.#view;
    if (revision !== version && isNewer(revision, version)) {
      // 0.1.0 writes no mark: then each of its changes may concern a route.
      const mark = typeof routes === "string" ? routes : revision;
      this.#set(parseTables(tables), revision, mark);
    }
    return this.#view;
  }

  async #apply(
    changes: readonly TopologyChange[],
    version: string,
  ): Promise<boolean> {
    if (version !== this.#view.version) return false;
    // A copy: a view that was handed out stays as it was.
    const topology = topologyOf(storedOf(this.#view.topology, this.#born));
    const born = new Map(this.#born);
    for (const change of changes) {
      // To declare what is there makes no other queue of it.
      if (change.type === "queue-deleted") born.delete(change.name);
      else if (
        change.type === "queue-declared" &&
        topology.queue(change.queue.name) === undefined
      ) born.set(change.queue.name, generation(version) + 1);
      topology.apply(change);
    }
    const stored = storedOf(topology, born);
    const routes = changes.every(isOfConsumer)
      ? this.#view.routes
      : String(generation(version) + 1);
    const written = await this.#database.write({
      id: TOPOLOGY_ID,
      revision: version === NO_VERSION ? undefined : version,
      fields: { layout: LAYOUT, routes, tables: stringifyJson(stored) },
      action: "write the declarations",
    });
    switch (written.type) {
      case "conflict":
        return false;
      case "refused":
        throw written.error;
      case "written":
        this.#expiring = expiringOf(stored);
        this.#born = born;
        this.#view = { topology, version: written.revision, routes };
        return true;
    }
  }

  #set(stored: Stored, version: string, routes: string): void {
    this.#view = { topology: topologyOf(stored), version, routes };
    this.#expiring = expiringOf(stored);
    this.#born = new Map(
      stored.queues.map((
        { declaration, born },
      ) => [declaration.name, born]),
    );
  }
}

const NOTHING: Stored = { exchanges: [], queues: [], bindings: [] };

function refuseOtherLayout(layout: unknown): void {
  if (layout === undefined || layout === LAYOUT) return;
  throw otherLayout("its records", layout, LAYOUT);
}

function generation(revision: string): number {
  return Number.parseInt(revision, 10);
}

/** Answers may overtake each other. A record that was removed begins anew, further on. */
function isNewer(revision: string, than: string): boolean {
  return than === NO_VERSION || generation(revision) >= generation(than);
}

function expiringOf({ queues }: Stored): readonly QueueDeclaration[] {
  return queues.map(({ declaration }) => declaration)
    .filter((each) => typeof each.arguments["x-expires"] === "number");
}

function parseTables(text: string): Stored {
  const stored = parseJson(text);
  if (isStored(stored)) return stored;
  throw new DecodeError(
    "Cannot read the declarations: it is cut off, or not of this library",
  );
}

/** Looks at all of it: what is missing would be missed by whoever routes by it. */
function isStored(value: unknown): value is Stored {
  const { exchanges, queues, bindings } = Object(value);
  return areAll(exchanges, isDeclaration) && areAll(queues, isQueue) &&
    areAll(bindings, isBinding);
}

function isQueue(value: unknown): boolean {
  const { declaration, consumers } = Object(value);
  return isDeclaration(declaration) && areAll(consumers, isTable);
}

function areAll(list: unknown, are: (each: unknown) => boolean): boolean {
  return Array.isArray(list) && list.every(are);
}

function storedOf(
  topology: Topology,
  born: ReadonlyMap<string, number | undefined>,
): Stored {
  // Field by field: what is declared may be an object of a class that has more.
  const exchanges = [...topology.exchanges()].map(({ declaration: each }) => ({
    name: each.name,
    type: each.type,
    durable: each.durable,
    autoDelete: each.autoDelete,
    internal: each.internal,
    arguments: each.arguments,
  }));
  return {
    exchanges,
    queues: [...topology.queues()].map(({ declaration, owner, consumers }) => ({
      declaration: {
        name: declaration.name,
        durable: declaration.durable,
        exclusive: declaration.exclusive,
        autoDelete: declaration.autoDelete,
        arguments: declaration.arguments,
      },
      owner: owner ?? null,
      born: born.get(declaration.name),
      consumers,
    })),
    bindings: exchanges.flatMap(({ name }) =>
      [...topology.bindingsFrom(name)].map((each) => ({
        source: each.source,
        destination: each.destination,
        routingKey: each.routingKey,
        arguments: each.arguments,
      }))
    ),
  };
}

function topologyOf({ exchanges, queues, bindings }: Stored): Topology {
  const topology = new Topology();
  for (const exchange of exchanges) {
    topology.apply({ type: "exchange-declared", exchange });
  }
  for (const { declaration, owner, consumers } of queues) {
    topology.apply({
      type: "queue-declared",
      queue: declaration,
      owner: owner ?? undefined,
    });
    for (const consumer of consumers) {
      topology.apply({
        type: "consumer-added",
        queue: declaration.name,
        consumer,
      });
    }
  }
  for (const binding of bindings) topology.apply({ type: "bound", binding });
  return topology;
}
