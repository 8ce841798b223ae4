import {
  type Collection,
  type Db,
  type FindCursor,
  MongoClient,
  type MongoClientOptions,
  ObjectId,
  type TopologyDescriptionChangedEvent,
  type WriteConcernSettings,
} from "mongodb";
import { mostSilence } from "../../async/silence.ts";
import { nodeTlsOptions } from "../../model/tls_options.ts";
import { DriverFailure, type Failure, failureOf } from "./errors.ts";
import type { DialOptions } from "./options.ts";
import type {
  ClaimOptions,
  Fields,
  FindOptions,
  MongodbClient,
  Tail,
  Updated,
  UpdateStatement,
} from "./port.ts";
import { boundedConnection } from "./answers_client.ts";
import { hello, versionOf } from "./server_client.ts";

/** The callbacks that a dial is given beside its options. */
export interface DialHooks {
  readonly password: string | undefined;
  /** Milliseconds for the first server to be found. */
  readonly connectTimeout: number;
  /** Milliseconds for what the server is asked, at most. */
  readonly operationTimeout: number;
  /** Milliseconds between two looks at the servers. */
  readonly heartbeat: number;
  /** Ends the dial. */
  readonly signal: AbortSignal;
  /** Called once when there is no server to write to any more. Must not throw. */
  readonly onLost: (failure: Failure) => void;
  /** Called with the name of each command that is sent, and with it. Must not throw. */
  readonly onCommand?: ((name: string, command: Fields) => void) | undefined;
}

/** Servers that take writes, by the driver's names. */
const WRITABLE: ReadonlySet<string> = new Set([
  "Standalone",
  "RSPrimary",
  "Mongos",
  "LoadBalancer",
]);

/**
 * Connects once.
 *
 * @returns The client; rejects with the driver's error, for {@linkcode failureOf}.
 */
export async function dial(
  options: DialOptions,
  hooks: DialHooks,
): Promise<MongodbClient> {
  const client = new MongoClient(options.uri, clientOptions(options, hooks));
  // Before connecting: an event that nobody hears is an exception.
  client.on("error", () => {});
  const driver = new Driver(
    client,
    client.db(options.database),
    options,
    hooks,
  );
  const close = () => cutOff(client);
  hooks.signal.addEventListener("abort", close, { once: true });
  const { promise: nobody, reject } = Promise.withResolvers<never>();
  // The driver would ask again and again: whether to is the library's to say.
  const look = ({ newDescription }: TopologyDescriptionChangedEvent) => {
    const servers = [...newDescription.servers.values()];
    const errors = servers.map(({ type, error }) =>
      type === "Unknown" && error
    );
    if (errors.length > 0 && errors.every(Boolean)) reject(errors[0]);
  };
  client.on("topologyDescriptionChanged", look);
  try {
    await Promise.race([client.connect().then(() => driver.begin()), nobody]);
    hooks.signal.throwIfAborted();
    return driver;
  } catch (error) {
    close();
    throw error;
  } finally {
    client.off("topologyDescriptionChanged", look);
    hooks.signal.removeEventListener("abort", close);
  }
}

/** The driver sends `endSessions` first, and waits for the answer: its sockets are closed under it. */
function cutOff(client: MongoClient): void {
  const topology: unknown = Reflect.get(client, "topology");
  client.close().catch(() => {});
  if (topology instanceof Object) {
    Reflect.get(topology, "close")?.call(topology);
  }
}

function clientOptions(
  options: DialOptions,
  hooks: DialHooks,
): MongoClientOptions {
  const { username, tls } = options;
  const { heartbeat, operationTimeout } = hooks;
  const most = Math.max(Math.ceil(hooks.connectTimeout), 1);
  return {
    ...(username === undefined
      ? {}
      : { auth: { username, password: hooks.password ?? "" } }),
    ...given("authSource", options.authSource),
    ...given("authMechanism", options.authMechanism),
    ...given("replicaSet", options.replicaSet),
    ...given("directConnection", options.directConnection),
    ...given("appName", options.appName),
    // Without the option the scheme decides: `mongodb+srv` implies TLS.
    ...(tls === undefined ? {} : { tls: tls !== false }),
    ...(typeof tls === "object" ? nodeTlsOptions(tls) : {}),
    maxPoolSize: options.maxPoolSize,
    serverSelectionTimeoutMS: most,
    // A socket that is silent for two heartbeats and a second is lost, of looks at the servers too.
    connectTimeoutMS: heartbeat > 0
      ? Math.min(most, Math.max(Math.ceil(heartbeat) + 1000, 2000))
      : most,
    socketTimeoutMS: Math.ceil(mostSilence(heartbeat, operationTimeout)),
    heartbeatFrequencyMS: Math.max(heartbeat || 10_000, 500),
    // The library publishes again by itself, and says so; reads decide writes.
    retryWrites: false,
    retryReads: false,
    readPreference: "primary",
    monitorCommands: hooks.onCommand !== undefined,
    // The driver's own, and not among its documented ones.
    ...{ connectionType: boundedConnection(options.maxResponseSize) },
    ignoreUndefined: true,
  };
}

/** The driver takes no `undefined`. */
function given<K extends string, V>(
  name: K,
  value: V | undefined,
): { [P in K]?: V } {
  const options: { [P in K]?: V } = {};
  if (value !== undefined) options[name] = value;
  return options;
}

class Driver implements MongodbClient {
  readonly #client: MongoClient;
  readonly #database: Db;
  readonly #majority: WriteConcernSettings;
  readonly #hooks: DialHooks;
  readonly #collections = new Map<string, Collection>();
  #lost = false;
  #closed = false;

  constructor(
    client: MongoClient,
    database: Db,
    options: DialOptions,
    hooks: DialHooks,
  ) {
    this.#client = client;
    this.#database = database;
    this.#majority = {
      w: options.w,
      wtimeoutMS: Math.ceil(hooks.operationTimeout),
    };
    this.#hooks = hooks;
  }

  /** Listens for the server's end. */
  begin(): void {
    const { onCommand } = this.#hooks;
    if (onCommand !== undefined) {
      this.#client.on("commandStarted", ({ commandName, command }) => {
        onCommand(commandName, command);
      });
    }
    this.#client.on("topologyDescriptionChanged", ({ newDescription }) => {
      const writable = [...newDescription.servers.values()].find(({ type }) =>
        WRITABLE.has(type)
      );
      if (writable !== undefined) return;
      const [server] = newDescription.servers.values();
      const cause = newDescription.error ?? server?.error ??
        new Error("there is no primary any more");
      this.#lose(failureOf(cause));
    });
  }

  async readTime(): Promise<number | undefined> {
    const { localTime } = await this.#watch(hello(this.#database));
    return localTime instanceof Date ? localTime.getTime() : undefined;
  }

  readVersion(): Promise<string | undefined> {
    return this.#watch(versionOf(this.#database));
  }

  newId(): unknown {
    return new ObjectId();
  }

  find(name: string, filter: Fields, options: FindOptions): Promise<Fields[]> {
    const { sort, limit = 0, projection = {} } = options;
    return this.#watch(
      this.#collection(name).find(filter, {
        ...given("sort", sort),
        projection,
        limit,
        ...(limit > 0 ? { singleBatch: true, batchSize: limit } : {}),
      }).toArray(),
    );
  }

  count(name: string, filter: Fields): Promise<number> {
    return this.#watch(this.#collection(name).countDocuments(filter));
  }

  async insert(name: string, documents: readonly Fields[]): Promise<void> {
    await this.#watch(
      this.#collection(name).insertMany([...documents], {
        writeConcern: this.#majority,
      }),
    );
  }

  async update(
    name: string,
    statements: readonly UpdateStatement[],
    options: { readonly safe: boolean },
  ): Promise<Updated> {
    const writeConcern = options.safe ? this.#majority : { w: 1 };
    const result = await this.#watch(
      this.#collection(name).bulkWrite(
        statements.map(({ filter, update, many = false, upsert = false }) =>
          many
            ? { updateMany: { filter, update } }
            : { updateOne: { filter, update, upsert } }
        ),
        { writeConcern, ordered: true },
      ),
    );
    return { matched: result.matchedCount, upserted: result.upsertedCount };
  }

  async remove(name: string, filters: readonly Fields[]): Promise<number> {
    const result = await this.#watch(
      this.#collection(name).bulkWrite(
        filters.map((filter) => ({ deleteMany: { filter } })),
        { writeConcern: this.#majority, ordered: true },
      ),
    );
    return result.deletedCount;
  }

  async claim(
    name: string,
    filter: Fields,
    sort: Readonly<Record<string, 1 | -1>>,
    update: Fields,
    { upsert = false, safe = false }: ClaimOptions = {},
  ): Promise<Fields | undefined> {
    const document = await this.#watch(
      this.#collection(name).findOneAndUpdate(filter, update, {
        sort,
        upsert,
        returnDocument: "after",
        writeConcern: safe ? this.#majority : { w: 1 },
      }),
    );
    return document ?? undefined;
  }

  async ensureIndex(
    name: string,
    keys: Readonly<Record<string, 1>>,
    options: Fields = {},
  ): Promise<void> {
    await this.#watch(this.#collection(name).createIndex(keys, options));
  }

  tail(name: string, filter: Fields): Tail {
    const collection = this.#collection(name);
    let cursor: FindCursor | undefined;
    /** The last document that was read, or was there at first. */
    let last: string | undefined;
    const read = async (): Promise<readonly Fields[]> => {
      // A cursor dies where there is nothing: then all is read anew.
      const isNew = cursor === undefined || cursor.closed;
      if (isNew) {
        cursor = collection.find(filter, { tailable: true, awaitData: false });
      }
      const found: Fields[] = [];
      for (;;) {
        const document = await cursor?.tryNext();
        if (document === null || document === undefined) break;
        found.push(document);
      }
      const place = isNew
        ? found.findIndex(({ _id }) => String(_id) === last) + 1
        : 0;
      const fresh = found.slice(place);
      last = String(fresh.at(-1)?._id ?? last);
      return fresh;
    };
    return {
      begin: async () => {
        const [newest] = await this.#watch(
          collection.find(filter, { sort: { $natural: -1 }, limit: 1 })
            .toArray(),
        );
        if (newest !== undefined) last = String(newest._id);
        await this.#watch(read());
      },
      read: () => this.#watch(read()),
      close: async () => await cursor?.close().catch(() => {}),
    };
  }

  async ensureCapped(name: string, size: number): Promise<void> {
    const isThere = async () => {
      const found = await this.#watch(
        this.#database.listCollections({ name }, { nameOnly: true }).toArray(),
      );
      return found.length > 0;
    };
    if (await isThere()) return;
    try {
      await this.#watch(
        this.#database.createCollection(name, { capped: true, size }),
      );
    } catch (error) {
      // Somebody else, Kombu perhaps, was faster.
      if (!await isThere()) throw error;
    }
  }

  get native(): MongoClient {
    return this.#client;
  }

  destroy(): void {
    this.#closed = true;
    cutOff(this.#client);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    return this.#client.close().catch(() => {});
  }

  #collection(name: string): Collection {
    let collection = this.#collections.get(name);
    if (collection === undefined) {
      collection = this.#database.collection(name);
      this.#collections.set(name, collection);
    }
    return collection;
  }

  /** A failed call may be the first sign that the server is gone. */
  async #watch<T>(call: Promise<T>): Promise<T> {
    try {
      return await call;
    } catch (error) {
      // One that was lost is closed afterwards: what waited there is to be tried again.
      const found = failureOf(error);
      const failure: Failure = this.#closed && !this.#lost
        ? { ...found, kind: "closed" }
        // A login has worked before: with the next connection it may again.
        : found.kind === "authentication"
        ? { ...found, kind: "lost" }
        : found;
      if (failure.kind === "lost") this.#lose(failure);
      throw new DriverFailure(failure);
    }
  }

  #lose(failure: Failure): void {
    if (this.#lost || this.#closed) return;
    this.#lost = true;
    this.#hooks.onLost({ ...failure, kind: "lost" });
  }
}
