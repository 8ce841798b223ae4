import type { CallOptions } from "../../model/call_options.ts";
import type { Topology } from "../../virtual/topology.ts";
import { mapAtOnce } from "../../async/each.ts";
import { secondsSince } from "../store/inspection.ts";
import type {
  InspectionStore,
  PeekedItem,
  StoredCounts,
} from "../store/store.ts";
import type { Context } from "./context.ts";
import { hiddenName, keyPlace, readMessage, visibleName } from "./documents.ts";
import { OUT, waitingFilter } from "./lane_documents.ts";
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

  /** The bindings name the exchanges and queues of Kombu's processes, too. */
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

  look(
    queues: readonly string[],
    options?: CallOptions,
  ): Promise<readonly StoredCounts[]> {
    return mapAtOnce(queues, AT_ONCE, (each) => this.#look(each, options));
  }

  async peek(
    queue: string,
    max: number,
    options?: CallOptions,
  ): Promise<readonly PeekedItem[]> {
    const found = this.#isOrdered(queue)
      ? await this.#nextOf(queue, max, options)
      : await this.#first(queue, max, {}, options);
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
    const keyed = this.#isOrdered(queue)
      ? await this.#lookAtKeys(queue, options)
      : undefined;
    const times = [timeOf(first?._id), keyed?.oldest].filter((each) =>
      each !== undefined
    );
    return {
      ready: Math.max(0, all - expired - dead) + due + (keyed?.ready ?? 0),
      delayed: later + (keyed?.delayed ?? 0),
      unacked: unacked + (keyed?.unacked ?? 0),
      oldestAge: secondsSince(
        times.length === 0 ? undefined : Math.min(...times),
        now.getTime(),
      ),
      bytes: undefined,
    };
  }

  /** The same of the messages that have keys. */
  async #lookAtKeys(queue: string, options?: CallOptions): Promise<{
    readonly ready: number;
    readonly delayed: number;
    readonly unacked: number;
    readonly oldest: number | undefined;
  }> {
    const { client, settings: { names } } = this.#context;
    const over = { $lte: new Date(this.#context.now()) };
    const waiting = waitingFilter(queue);
    const out = { ...waiting, priority: OUT };
    const [all, expired, dead, unacked, delayed, [first]] = await Promise.all([
      this.#count(queue, waiting, options),
      this.#count(queue, { ...waiting, expire_at: over }, options),
      this.#count(queue, { ...waiting, dies_at: over }, options),
      this.#count(queue, { ...out, holder: { $gt: "" } }, options),
      this.#count(queue, { ...out, holder: null }, options),
      this.#context.call(
        `look into queue "${queue}"`,
        options,
        () =>
          client.find(names.messages, waiting, {
            sort: { priority: 1 },
            limit: 1,
            projection: { _id: 1 },
          }),
      ),
    ]);
    const ready = Math.max(0, all - expired - dead);
    return { ready, delayed, unacked, oldest: timeOf(first?._id) };
  }

  /** The documents of an ordered queue whose turn comes first: a round of the keys after the other. */
  async #nextOf(
    queue: string,
    max: number,
    options?: CallOptions,
  ): Promise<readonly Fields[]> {
    const { client, settings: { names } } = this.#context;
    const ring = await this.#context.call(
      `peek at queue "${queue}"`,
      options,
      () =>
        client.find(names.messages, { queue: hiddenName(queue, "ring") }, {
          sort: { priority: 1, _id: 1 },
          limit: max,
          projection: { key: 1 },
        }),
    );
    // Without key there may be some that have no turn yet.
    const places = [
      ...new Set([...ring.map(({ key }) => String(key)), ""]),
    ].map((key) => key === "" ? queue : keyPlace(queue, key));
    const share = Math.ceil(max / places.length);
    const lanes = await Promise.all(
      places.map((each) => this.#first(each, share, {}, options)),
    );
    let left = max - lanes.reduce((sum, { length }) => sum + length, 0);
    for (const [i, place] of places.entries()) {
      const { length = 0 } = lanes[i] ?? [];
      if (left <= 0 || length < share) continue;
      const more = await this.#first(place, share + left, {}, options);
      lanes[i] = more;
      left -= more.length - length;
    }
    const found: Fields[] = [];
    for (let turn = 0; turn < max && found.length < max; turn++) {
      for (const lane of lanes) {
        const document = lane[turn];
        if (document !== undefined) found.push(document);
      }
    }
    return found.slice(0, max);
  }

  #isOrdered(queue: string): boolean {
    return this.#tables.view.topology.queue(queue)?.traits.ordered === true;
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
          {
            queue,
            expire_at: isNotOver,
            dead_at: isNotOver,
            ...(queue === visibleName(queue) ? {} : { dies_at: isNotOver }),
          },
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
