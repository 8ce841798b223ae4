import type { CallOptions } from "../../model/call_options.ts";
import type { Topology } from "../../virtual/topology.ts";
import { secondsSince } from "../store/inspection.ts";
import type {
  InspectionStore,
  PeekedItem,
  StoredCounts,
} from "../store/store.ts";
import type { Context } from "./context.ts";
import { hiddenName, readMessage } from "./documents.ts";
import type { Fields } from "./port.ts";
import type { MongodbTables } from "./tables.ts";

/** So many queues are counted at once, by some commands each. */
const AT_ONCE = 8;

/** Looks into the queues of a database: each number is a count over an index. */
export class MongodbInspection implements InspectionStore {
  readonly #context: Context;
  readonly #tables: MongodbTables;

  /** Makes one for a connection. */
  constructor(context: Context, tables: MongodbTables) {
    this.#context = context;
    this.#tables = tables;
  }

  async tables(options?: CallOptions): Promise<Topology> {
    const { client, settings: { names } } = this.#context;
    await this.#tables.read({ type: "owner", name: "" }, options);
    const routes = await this.#context.call(
      "list the bindings",
      options,
      () => client.find(names.routing, {}, {}),
    );
    const { view } = this.#tables;
    const exchanges = [...view.topology.exchanges()]
      .map(({ declaration }) => declaration.name);
    for (const { exchange } of routes) exchanges.push(String(exchange));
    view.setRoutesFrom(new Set(exchanges), routes);
    return view.topology;
  }

  /** The bindings name the queues of Kombu's processes. */
  async *names(limits: () => CallOptions): AsyncIterable<readonly string[]> {
    const topology = await this.tables(limits());
    yield [...topology.queues()].map(({ declaration }) => declaration.name);
  }

  async look(
    queues: readonly string[],
    options?: CallOptions,
  ): Promise<readonly StoredCounts[]> {
    const all: StoredCounts[] = [];
    for (let from = 0; from < queues.length; from += AT_ONCE) {
      const some = queues.slice(from, from + AT_ONCE);
      all.push(
        ...await Promise.all(some.map((each) => this.#look(each, options))),
      );
    }
    return all;
  }

  async peek(
    queue: string,
    max: number,
    options?: CallOptions,
  ): Promise<readonly PeekedItem[]> {
    const found = await this.#first(queue, max, {}, options);
    return found.map((document) => {
      const { deliveries } = document;
      const { message, redelivered } = readMessage(document);
      const deliveryCount = typeof deliveries === "number" ? deliveries : 0;
      return {
        message,
        redelivered: redelivered || deliveryCount > 0,
        deliveryCount,
      };
    });
  }

  async #look(queue: string, options?: CallOptions): Promise<StoredCounts> {
    const now = new Date(this.#context.now());
    const delayed = hiddenName(queue, "delayed");
    const [all, expired, dead, due, later, unacked, [first]] = await Promise
      .all([
        this.#count(queue, { queue }, options),
        this.#count(queue, { queue, expire_at: { $lte: now } }, options),
        this.#count(queue, { queue, dead_at: { $lte: now } }, options),
        this.#count(
          queue,
          { queue: delayed, priority: { $lte: now.getTime() } },
          options,
        ),
        this.#count(
          queue,
          { queue: delayed, priority: { $gt: now.getTime() } },
          options,
        ),
        this.#count(queue, { queue: hiddenName(queue, "unacked") }, options),
        this.#first(queue, 1, { _id: 1 }, options),
      ]);
    return {
      ready: Math.max(0, all - expired - dead) + due,
      delayed: later,
      unacked,
      oldestAge: secondsSince(
        timeOf(first?._id),
        now.getTime(),
      ),
      bytes: undefined,
    };
  }

  /** The documents whose turn comes first. */
  async #first(
    queue: string,
    limit: number,
    projection: Readonly<Record<string, 1>>,
    options?: CallOptions,
  ): Promise<readonly Fields[]> {
    const { client, settings: { names } } = this.#context;
    const now = new Date(this.#context.now());
    const isNotOver = { $not: { $lte: now } };
    return await this.#context.call(
      `peek at queue "${queue}"`,
      options,
      () =>
        client.find(
          names.messages,
          { queue, expire_at: isNotOver, dead_at: isNotOver },
          { sort: { priority: 1, _id: 1 }, limit, projection },
        ),
    );
  }

  async #count(
    queue: string,
    filter: Fields,
    options?: CallOptions,
  ): Promise<number> {
    const { client, settings: { names } } = this.#context;
    return await this.#context.call(
      `count the messages of queue "${queue}"`,
      options,
      () => client.count(names.messages, filter),
    );
  }
}

/** When an `ObjectId` was made, to the second, ms since 1970: its first four bytes. */
function timeOf(id: unknown): number | undefined {
  const text = String(id);
  return /^[0-9a-f]{24}$/.test(text)
    ? parseInt(text.slice(0, 8), 16) * 1000
    : undefined;
}
