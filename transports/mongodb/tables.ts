import { Line } from "../../async/line.ts";
import type { CallOptions } from "../../model/call_options.ts";
import { exchangesAround } from "../../virtual/exchanges_around.ts";
import type { TopologyChange } from "../../virtual/topology.ts";
import { isNotEmpty, isOfConsumer } from "../store/changes.ts";
import type {
  ChangeResult,
  QueueSearch,
  TopologyKey,
  TopologyView,
} from "../store/store.ts";
import { Changes } from "./changes.ts";
import type { Context } from "./context.ts";
import { boundQueues, isUsed } from "./foreign_queues.ts";
import { hiddenFilter, readyFilters } from "./lane_documents.ts";
import { type Version, Versions } from "./versions.ts";
import { groupBy, type Mark, printOf, View } from "./view.ts";

/** A view that was not read for so long may have missed deletions, ms. Records of that stay for twice as long. */
const FULL_READ = 3600_000;

/** The shared declarations. */
export class MongodbTables {
  readonly #context: Context;
  readonly #versions: Versions;
  readonly #view = new View();
  /** The change up to which the view knows all records. */
  #synced = -1;
  #syncedAt = -Infinity;
  #syncing: Promise<Version> | undefined;
  readonly #line = new Line();
  readonly #reading = new Map<string, Promise<TopologyView>>();

  /** Makes them for one connection of an owner, unread. */
  constructor(context: Context, owner: string) {
    this.#context = context;
    this.#versions = new Versions(context, owner);
  }

  /** The tables as far as they are known. */
  get view(): View {
    return this.#view;
  }

  /** Makes the document that counts, where there is none; a layout that we do not know ends it here, before anything else is written. */
  async begin(options: CallOptions): Promise<void> {
    await this.#versions.open(options);
  }

  /** Makes indexes. */
  async open(options: CallOptions): Promise<void> {
    const { client, settings: { names, ttl } } = this.#context;
    await this.#context.call("open the tables", options, async () => {
      await Promise.all([
        client.ensureIndex(names.routing, { queue: 1, exchange: 1 }),
        client.ensureIndex(names.routing, { exchange: 1 }),
        client.ensureIndex(names.topology, { at: 1 }),
        ...(ttl
          ? [names.routing, names.queues].map((name) =>
            client.ensureIndex(name, { expire_at: 1 }, {
              expireAfterSeconds: 0,
            })
          )
          : []),
      ]);
    });
  }

  /** Reads the declarations around a key; the calls of one turn of the event loop share a read. */
  read(key: TopologyKey, options?: CallOptions): Promise<TopologyView> {
    const name = `${key.type} ${key.name}`;
    let reading = this.#reading.get(name);
    if (reading === undefined) {
      reading = Promise.resolve().then(() => {
        this.#reading.delete(name);
        return this.#read([key], name);
      });
      reading.catch(() => {}); // its callers may all have gone
      this.#reading.set(name, reading);
    }
    const shared = reading;
    return this.#context.call("read the tables", options, () => shared);
  }

  /** Reads the declarations around several keys, for changes that are made in one step. */
  readTogether(
    keys: readonly TopologyKey[],
    options?: CallOptions,
  ): Promise<TopologyView> {
    return this.#context.call(
      "read the tables",
      options,
      () => this.#read(keys, TOGETHER),
    );
  }

  async #read(
    keys: readonly TopologyKey[],
    name: string,
  ): Promise<TopologyView> {
    const version = await this.#sync();
    const prints = await this.#readRoutes(keys);
    const mark = { ...version, prints };
    return {
      topology: this.#view.topology,
      version: this.#view.remember(name, mark),
    };
  }

  /** Looks for a queue, and for those of Kombu's. */
  async findQueue(name: string, options?: CallOptions): Promise<QueueSearch> {
    const { topology } = await this.read({ type: "queue", name }, options);
    if (topology.queue(name) !== undefined) return FOUND;
    const names = await boundQueues(this.#context, options);
    return { isThere: false, names };
  }

  /** Says which of these views are old. */
  async findStale(
    versions: ReadonlySet<string>,
    options?: CallOptions,
  ): Promise<ReadonlySet<string>> {
    const stale = new Set<string>();
    const marks = new Map<string, Mark>();
    const exchanges = new Set<string>();
    for (const version of versions) {
      const mark = this.#view.recall(version);
      if (mark === undefined) stale.add(version);
      else {
        marks.set(version, mark);
        for (const name of mark.prints.keys()) exchanges.add(name);
      }
    }
    const { client, settings: { names } } = this.#context;
    const [{ routes }, found] = await Promise.all([
      this.#versions.read(options),
      exchanges.size === 0
        ? []
        : this.#context.call("read the bindings", options, () =>
          client.find(names.routing, { exchange: { $in: [...exchanges] } }, {
            projection: { exchange: 1 },
          })),
    ]);
    const groups = groupBy(found, "exchange");
    const prints = new Map<string, string>();
    for (const name of exchanges) {
      prints.set(name, printOf(groups.get(name) ?? []));
    }
    for (const [version, mark] of marks) {
      const isOld = mark.routes !== routes ||
        [...mark.prints].some(([name, print]) => prints.get(name) !== print);
      if (isOld) stale.add(version);
    }
    return stale;
  }

  /** Makes changes that were planned on a view. */
  async apply(
    changes: readonly TopologyChange[],
    version: string,
    options?: CallOptions,
  ): Promise<ChangeResult> {
    const mark = this.#view.recall(version);
    if (mark === undefined) return { type: "stale" };
    const isThere = (queue: string) => this.#countFirst(queue, options);
    if (await isNotEmpty(changes, isThere)) return { type: "not-empty" };
    const lock = crypto.randomUUID();
    if (!await this.#versions.lock(lock, mark, options)) {
      return { type: "stale" };
    }
    const planned = new Changes(
      changes,
      this.#view.topology,
      mark.changes + 1,
      this.#context,
    );
    try {
      const messageCount = await this.#write(planned);
      return { type: "applied", messageCount };
    } finally {
      // Even if something failed half-way: who planned on the old state plans again.
      await this.#versions.unlock(lock, !changes.every(isOfConsumer));
    }
  }

  /** Says which of these queues somebody has deleted: a consumer of one has written its record. */
  async findMissing(queues: readonly string[]): Promise<readonly string[]> {
    await this.#sync();
    return queues.filter((name) => !this.#view.hasRecord("queue", name));
  }

  /** Removes records of what was deleted long ago. */
  async forgetGone(options?: CallOptions): Promise<void> {
    const { client, settings: { names } } = this.#context;
    const before = new Date(this.#context.now() - 2 * FULL_READ);
    await this.#context.call(
      "forget old records",
      options,
      () => client.remove(names.topology, [{ gone: { $lt: before } }]),
    );
  }

  /** Says whether a queue that nobody of ours declared is there all the same. */
  async #findForeign(
    name: string,
    hasRoutes: boolean,
    options?: CallOptions,
  ): Promise<void> {
    if (this.#view.hasRecord("queue", name)) return;
    const isThere = hasRoutes || await isUsed(this.#context, name, options);
    this.#view.setForeignQueue(name, isThere);
  }

  /** Returns 1 if there are messages, else 0. */
  async #countFirst(queue: string, options?: CallOptions): Promise<number> {
    const { client, settings: { names } } = this.#context;
    const found = await this.#context.call(
      `look into queue "${queue}"`,
      options,
      () =>
        client.find(
          names.messages,
          this.#isOrdered(queue)
            ? { $or: readyFilters(queue, true) }
            : { queue },
          { limit: 1, projection: { _id: 1 } },
        ),
    );
    return found.length;
  }

  #isOrdered(queue: string): boolean {
    return this.#view.topology.queue(queue)?.traits.ordered === true;
  }

  /** Calls of one turn of the event loop share one read, which begins after all of them. */
  #sync(options?: CallOptions): Promise<Version> {
    this.#syncing ??= Promise.resolve().then(() => {
      this.#syncing = undefined;
      // One after the other: a read that ends late would bring back what was.
      return this.#line.enter(() => this.#readRecords());
    });
    const syncing = this.#syncing;
    syncing.catch(() => {});
    return this.#context.call("read the tables", options, () => syncing);
  }

  async #readRecords(): Promise<Version> {
    const { client, clock, settings: { names } } = this.#context;
    // First: what is newer than it is read again, and nothing is missed.
    const version = await this.#versions.read();
    const began = clock.now();
    if (version.changes === this.#synced) {
      this.#syncedAt = began;
      return version;
    }
    const isFirst = began - this.#syncedAt > FULL_READ;
    const records = await client.find(
      names.topology,
      // At first, queues that were deleted long ago do not matter.
      isFirst ? { at: { $gt: -1 }, gone: null } : { at: { $gt: this.#synced } },
      {},
    );
    if (isFirst) this.#view.clear();
    this.#view.addRecords(records);
    this.#synced = version.changes;
    this.#syncedAt = began;
    return version;
  }

  async #readRoutes(
    keys: readonly TopologyKey[],
  ): Promise<ReadonlyMap<string, string>> {
    const { topology } = this.#view;
    const named: string[] = [];
    const queues: string[] = [];
    const bound = new Set<string>();
    for (const { type, name } of keys) {
      if (type === "exchange") named.push(name);
      else if (type === "queue") {
        queues.push(name);
        bound.add(name);
      } else for (const each of topology.queuesOf(name)) bound.add(each);
    }
    const exchanges = exchangesAround(topology, named);
    const prints = exchanges.size === 0
      ? NO_PRINTS
      : await this.#readRoutesFrom(exchanges);
    await this.#readRoutesTo([...bound]);
    await Promise.all(queues.map((name) => {
      const hasRoutes = [...topology.bindingsTo(name)].length > 0;
      return this.#findForeign(name, hasRoutes);
    }));
    return prints;
  }

  async #readRoutesFrom(
    exchanges: ReadonlySet<string>,
    options?: CallOptions,
  ): Promise<ReadonlyMap<string, string>> {
    const { client, settings: { names } } = this.#context;
    const found = await this.#context.call(
      "read the bindings",
      options,
      () =>
        client.find(names.routing, { exchange: { $in: [...exchanges] } }, {}),
    );
    this.#view.setRoutesFrom(exchanges, found);
    const groups = groupBy(found, "exchange");
    return new Map(
      [...exchanges].map((name) => [name, printOf(groups.get(name) ?? [])]),
    );
  }

  async #readRoutesTo(
    queues: readonly string[],
    options?: CallOptions,
  ): Promise<void> {
    if (queues.length === 0) return;
    const { client, settings: { names } } = this.#context;
    const found = await this.#context.call(
      "read the bindings",
      options,
      () => client.find(names.routing, { queue: { $in: [...queues] } }, {}),
    );
    this.#view.setRoutesTo(queues, found);
    // Such an exchange goes with its last binding: which that is must be known.
    const { topology } = this.#view;
    const going = queues
      .flatMap((queue) => [...topology.bindingsTo(queue)])
      .map(({ source }) => source)
      .filter((name) => topology.exchange(name)?.declaration.autoDelete);
    const last = exchangesAround(topology, going);
    if (last.size > 0) await this.#readRoutesFrom(last, options);
  }

  async #write(planned: Changes): Promise<number> {
    const { client, settings: { names } } = this.#context;
    const write = (call: () => Promise<unknown>) =>
      this.#context.call("change the tables", undefined, call);
    const { records, routes, unroutes, queues } = planned;
    await Promise.all([
      records.length === 0
        ? undefined
        : write(() => client.update(names.topology, records, { safe: true })),
      routes.length === 0
        ? undefined
        : write(() => client.update(names.routing, routes, { safe: true })),
      unroutes.length === 0
        ? undefined
        : write(() => client.remove(names.routing, unroutes)),
    ]);
    let messageCount = 0;
    for (const queue of queues) {
      const isOrdered = this.#isOrdered(queue);
      const ready = await this.#context.call(
        `delete queue "${queue}"`,
        undefined,
        () => client.remove(names.messages, readyFilters(queue, isOrdered)),
      );
      messageCount += ready;
      await write(() =>
        Promise.all([
          client.remove(names.messages, [hiddenFilter(queue, isOrdered)]),
          client.remove(names.queues, [{ _id: queue }]),
        ])
      );
    }
    return messageCount;
  }
}

const FOUND: QueueSearch = { isThere: true, names: [] };

/** The name of the mark of a view around several keys: there is one such read at a time. */
const TOGETHER = "together";

const NO_PRINTS: ReadonlyMap<string, string> = new Map();
