import type { Limits } from "../../async/limits.ts";
import type { CallOptions } from "../../model/call_options.ts";
import { TimeoutError } from "../../model/errors.ts";
import type { Publishing } from "../../model/message.ts";
import type { PublishOutcome } from "../transport.ts";
import {
  type Broadcasting,
  type Route,
  route,
  routeDeadLetter,
} from "../../virtual/route.ts";
import type { Topology } from "../../virtual/topology.ts";
import type { StoreWithTopology } from "./local_topology.ts";
import type {
  StoreItem,
  TopologyKey,
  TopologyStore,
  TopologyView,
} from "./store.ts";

/** The destinations of a message, by the routes as they were at `version`. */
export interface Routed {
  readonly version: string;
  readonly queues: readonly Target[];
  /** The fanout exchanges that the message is broadcast on. */
  readonly broadcasts: readonly string[];
  /** The exchanges on which `put` also announces a message, in the same step. */
  readonly announced: readonly string[];
  /** The outcome of `publish` on success: made once for each route. */
  readonly outcome: PublishOutcome;
  /** By the default exchange to a queue that is not known, where another program may take from it all the same. */
  readonly unknown?: Routed | undefined;
}

interface Target {
  readonly queue: string;
  /** The queue's own `x-message-ttl`. */
  readonly ttl: number | undefined;
}

interface View {
  readonly topology: Topology;
  /** Of its routes. */
  readonly version: string;
  /** By routing key. */
  readonly known: Map<string, Routed>;
}

const NOWHERE: PublishOutcome = { type: "accepted", queues: 0 };

/** Routes of one exchange that are remembered; beyond that they are all forgotten, so that random keys do not fill memory. */
const MAX_ROUTES = 10_000;

/**
 * Finds the queues for a message on a cached view of the tables. The store tells
 * when the view is old; then it is forgotten, read and asked again.
 */
export class Router {
  readonly #store: StoreWithTopology;
  readonly #topology: TopologyStore;
  readonly #limits: Limits;
  readonly #deadline: () => number;
  readonly #views = new Map<string, View>();
  /** Views on their way: one read for all callers. */
  readonly #reading = new Map<string, Promise<View>>();
  /** How many messages wait for a view: those that come later go behind them. */
  readonly #waiting = new Map<string, number>();
  readonly #broadcasting: Broadcasting;
  /** The last queue that was published to by its name, and the name of its view: the next message goes there, too. */
  #lastQueue = "";
  #lastName = viewNameOf("");

  /** Makes a router over a store's tables; `deadline` says until when a read of them may last that begins now. */
  constructor(
    store: StoreWithTopology,
    limits: Limits,
    deadline: () => number,
  ) {
    this.#store = store;
    this.#topology = store.topology;
    this.#limits = limits;
    this.#deadline = deadline;
    const { broadcasts } = store;
    this.#broadcasting = {
      broadcasts: () => broadcasts !== undefined,
      puts: broadcasts?.putsInto?.bind(broadcasts),
    };
  }

  /** Looks for a route that is known already. */
  find(message: Publishing): Routed | undefined {
    if (hasRoutingHeaders(message)) return undefined;
    const name = message.exchange === ""
      ? this.#nameOf(message.routingKey)
      : message.exchange;
    if (this.#waiting.has(name)) return undefined;
    return this.#view(name)?.known.get(message.routingKey);
  }

  /**
   * Routes a message, reading the tables if they are not at hand, and sends it on
   * its way: messages of one view in the order in which they came.
   */
  async route<T>(
    message: Publishing,
    options: CallOptions | undefined,
    send: (routed: Routed) => Promise<T>,
  ): Promise<T> {
    const name = viewName(message);
    const known = this.#waiting.has(name) ? undefined : this.#view(name);
    if (known !== undefined) return await send(this.#routed(known, message));
    this.#waiting.set(name, (this.#waiting.get(name) ?? 0) + 1);
    let view: View;
    try {
      view = await this.#limits.wait(
        this.#read(name, message),
        options,
        () =>
          new TimeoutError(
            "Cannot publish a message: the tables could not be read in time",
            { outcome: "not-sent" },
          ),
      );
    } finally {
      this.#leave(name);
    }
    return await send(this.#routed(view, message));
  }

  /** Returns the version that the store checks a route against; nothing if the tables are local, for then it was checked here. */
  checkOf({ version }: Routed): string | undefined {
    return this.#topology.routes === undefined ? version : undefined;
  }

  /** Routes a message by tables that hold for it alone. */
  routeBy(read: TopologyView, message: Publishing): Routed {
    const { topology } = read;
    const view = { topology, version: routesOf(read), known: new Map() };
    return this.#decide(view, message);
  }

  #nameOf(queue: string): string {
    if (queue !== this.#lastQueue) {
      this.#lastQueue = queue;
      this.#lastName = viewNameOf(queue);
    }
    return this.#lastName;
  }

  /** A view that is at hand, unless it is known to be old. */
  #view(name: string): View | undefined {
    const view = this.#views.get(name);
    const { routes } = this.#topology;
    if (routes === undefined || view?.version === routes) return view;
    this.#views.delete(name);
    return undefined;
  }

  #leave(name: string): void {
    const left = (this.#waiting.get(name) ?? 0) - 1;
    if (left > 0) this.#waiting.set(name, left);
    else {
      this.#waiting.delete(name);
      this.#reading.delete(name);
    }
  }

  #routed(view: View, message: Publishing): Routed {
    const known = view.known.get(message.routingKey);
    if (known !== undefined && !hasRoutingHeaders(message)) return known;
    try {
      return this.#decide(view, message);
    } catch (error) {
      // A queue or exchange that is missing now may be declared before the next message.
      this.#views.delete(viewName(message));
      throw error;
    }
  }

  /**
   * Routes a dead letter to every queue that is bound, by fanout exchanges too: what is
   * broadcast reaches listeners only, and a dead letter must not be lost. If
   * broadcasts are also queued for absent consumers, the broker knows more queues than this
   * connection does, unless this connection queues them itself. Its route is not
   * remembered, for publishers may not take it through an internal exchange.
   */
  async routeDeadLetter(
    message: Publishing,
    options?: CallOptions,
  ): Promise<Routed> {
    const expands = this.#store.broadcasts !== undefined &&
      !this.#store.capabilities.has("queued-fanout");
    const read = await this.#topology.read(viewKey(message), options);
    const { topology } = read;
    const version = routesOf(read);
    const { broadcasts, puts } = this.#broadcasting;
    const found = routeDeadLetter(topology, message, {
      broadcasts: expands ? () => false : broadcasts,
      puts: puts && (() => true),
    });
    if (found === undefined) {
      return {
        version,
        queues: [],
        broadcasts: [],
        announced: [],
        outcome: NOWHERE,
      };
    }
    const routed = this.#resolve({ topology, version }, message, found);
    // A dead letter is rather put where somebody may take it than lost.
    return routed.unknown ?? routed;
  }

  /** Says whether a queue may have been bound since: where nothing is put, the store cannot tell by itself. */
  async isOld(
    message: Publishing,
    routed: Routed,
    options?: CallOptions,
  ): Promise<boolean> {
    const view = await this.#topology.read(viewKey(message), options);
    const { topology } = view;
    return routesOf(view) !== routed.version ||
      (message.exchange === "" &&
        topology.queue(message.routingKey) !== undefined);
  }

  /**
   * Forgets the view that a message was routed on: it was old. One that was read since
   * stays, so that of many messages on their way the first has it read for all.
   */
  forget(message: Publishing, routed: Routed): void {
    const name = viewName(message);
    if (this.#views.get(name)?.version !== routed.version) return;
    this.#views.delete(name);
    this.#reading.delete(name);
  }

  #read(name: string, message: Publishing): Promise<View> {
    const known = this.#reading.get(name);
    if (known !== undefined) return known;
    const reading = this.#store
      .topology.read(viewKey(message), { deadline: this.#deadline() })
      .then((read) => {
        const view = {
          topology: read.topology,
          version: routesOf(read),
          known: new Map(),
        };
        if (this.#views.size >= MAX_ROUTES) this.#views.clear();
        this.#views.set(name, view);
        return view;
      });
    this.#reading.set(name, reading);
    return reading;
  }

  #decide(view: View, message: Publishing): Routed {
    const { topology, known } = view;
    const found = route(topology, message, this.#broadcasting);
    const routed = this.#resolve(view, message, found);
    if (found.cacheable) {
      if (known.size >= MAX_ROUTES) known.clear();
      known.set(message.routingKey, routed);
    }
    return routed;
  }

  #resolve(
    { topology, version }: Omit<View, "known">,
    message: Publishing,
    found: Route,
  ): Routed {
    const { broadcasts } = found;
    const announces = this.#broadcasting.puts !== undefined;
    const routedTo = (names: readonly string[]): Routed => {
      const apart = names.length === 0 || !announces;
      return {
        version,
        queues: names.map((queue) => ({
          queue,
          ttl: topology.queue(queue)?.traits.messageTtl,
        })),
        broadcasts: apart ? broadcasts : [],
        announced: apart ? [] : broadcasts,
        outcome: {
          type: "accepted",
          queues: broadcasts.length > 0 && !announces
            ? undefined
            : names.length,
        },
      };
    };
    const routed = routedTo([...found.queues]);
    if (message.exchange !== "" || found.queues.size > 0) return routed;
    const { findQueue } = this.#topology;
    const { capabilities } = this.#store;
    // An empty queue leaves no trace on such brokers: `put` makes it.
    const unknown = routedTo([message.routingKey]);
    if (!capabilities.has("known-queues")) return unknown;
    return findQueue === undefined ? routed : { ...routed, unknown };
  }
}

/** The mark of the routes of a view. */
function routesOf({ routes, version }: TopologyView): string {
  return routes ?? version;
}

/**
 * Makes the copies of a message.
 *
 * @param message The message.
 * @param routed The routed message's destinations.
 * @returns One item for each queue.
 */
export function itemsFor(message: Publishing, routed: Routed): StoreItem[] {
  const [first] = routed.queues;
  // Most go to one queue: a list of one, and no function beside it.
  return first !== undefined && routed.queues.length === 1
    ? [itemFor(message, first)]
    : routed.queues.map(itemFor.bind(undefined, message));
}

function itemFor(message: Publishing, { queue, ttl }: Target): StoreItem {
  const { expiration } = message.properties;
  return {
    queue,
    message,
    ttl: expiration === undefined || (ttl !== undefined && ttl < expiration)
      ? ttl
      : expiration,
  };
}

function viewKey(message: Publishing): TopologyKey {
  return message.exchange === ""
    ? { type: "queue", name: message.routingKey, uses: false }
    : { type: "exchange", name: message.exchange };
}

/** The default exchange has a view for each queue: all its routing is that the key is a queue's name. */
function viewName(message: Publishing): string {
  return message.exchange === ""
    ? viewNameOf(message.routingKey)
    : message.exchange;
}

function viewNameOf(queue: string): string {
  return `queue:${queue}`;
}

function hasRoutingHeaders(message: Publishing): boolean {
  const headers = message.properties.headers;
  return headers !== undefined &&
    (headers.CC !== undefined || headers.BCC !== undefined);
}
