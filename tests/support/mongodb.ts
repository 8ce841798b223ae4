/** Stores on the tests' MongoDB, and its documents as they lie there. */

import { type Db, MongoClient } from "mongodb";
import { type Clock, SYSTEM_CLOCK } from "../../async/clock.ts";
import { dial } from "../../transports/mongodb/client.ts";
import { Context, lifelineOf } from "../../transports/mongodb/context.ts";
import { readMongodbOptions } from "../../transports/mongodb/options.ts";
import type { Fields } from "../../transports/mongodb/port.ts";
import { MongodbStore } from "../../transports/mongodb/store.ts";
import type {
  Channel,
  Publishing,
  TransportConnection,
} from "../../transports/transport.ts";
import { createStoreTransport } from "../../transports/store/mod.ts";
import { parseUrl } from "../../url/mod.ts";

/** The URL of the server, or the reason why there is none. */
export const MONGODB_URL: string | undefined = Deno.env.get(
  "DASHI_TEST_MONGODB_URL",
);

/** Registers a test that needs the server, in a database of its own; `why` says what else is missing. */
export function onMongodb(
  name: string,
  run: (database: Database) => Promise<void>,
  why?: string,
): void {
  const reason = why ??
    (MONGODB_URL !== undefined
      ? undefined
      : Deno.env.get("DASHI_TEST_MONGODB_REASON") ??
        "run it by deno task test, which provides MongoDB");
  Deno.test({
    name: reason === undefined ? name : `${name} (${reason})`,
    ignore: reason !== undefined,
    async fn() {
      const database = await Database.open(MONGODB_URL ?? "");
      try {
        await run(database);
      } finally {
        await database[Symbol.asyncDispose]();
      }
    },
  });
}

/** How a store is opened. */
export interface OpenOptions {
  readonly owner?: string;
  readonly clock?: Clock;
  readonly transportOptions?: Readonly<Record<string, unknown>>;
  readonly onCommand?: (name: string, command: Fields) => void;
}

/** The arguments and the parts that a test opens a store with. */
export interface Opened {
  readonly store: MongodbStore;
  readonly connection: TransportConnection;
  readonly channel: Channel;
}

/** A database of a test's own. */
export class Database implements AsyncDisposable {
  readonly url: string;
  readonly #client: MongoClient;
  readonly #connections: TransportConnection[] = [];

  private constructor(url: string, client: MongoClient) {
    this.url = url;
    this.#client = client;
  }

  /** Makes one beside the database of a URL. */
  static async open(near: string): Promise<Database> {
    const name = `dashi_${crypto.randomUUID().slice(0, 8)}`;
    const url = near.replace(/\/\w*$/, `/${name}`);
    return new Database(url, await new MongoClient(url).connect());
  }

  /** The documents, by the driver. */
  get documents(): Db {
    return this.#client.db();
  }

  /** Reads a collection. */
  async find(collection: string, filter: Fields = {}): Promise<Fields[]> {
    return await this.documents.collection(collection).find(filter).toArray();
  }

  /** Inserts documents as somebody else would. */
  async insert(collection: string, ...documents: Fields[]): Promise<void> {
    await this.documents.collection(collection).insertMany(
      documents.map((each) => ({ ...each })),
    );
  }

  /** Opens a store and a channel on it. */
  async connect(options: OpenOptions = {}): Promise<Opened> {
    const { clock = SYSTEM_CLOCK, owner = crypto.randomUUID() } = options;
    let opened: MongodbStore | undefined;
    const transport = createStoreTransport({
      name: "mongodb",
      open: async (url, connectOptions) => {
        const { dial: dialOptions, settings } = readMongodbOptions(
          url,
          connectOptions,
        );
        const client = await dial(dialOptions, {
          password: undefined,
          connectTimeout: 10_000,
          operationTimeout: 10_000,
          heartbeat: 10_000,
          signal: new AbortController().signal,
          onLost: () => {},
          onCommand: options.onCommand,
        });
        // If a test sets the time, the server has the same time.
        if (clock !== SYSTEM_CLOCK) {
          client.readTime = () => Promise.resolve(clock.wall());
        }
        const lifeline = lifelineOf(clock, 10_000);
        const context = new Context(client, clock, settings, lifeline);
        opened = new MongodbStore(context, owner);
        await opened.open({});
        return opened;
      },
    });
    const connection = await transport.connect(parseUrl(this.url), {
      heartbeat: 10_000,
      transportOptions: options.transportOptions ?? {},
      operationTimeout: 10_000,
      owner,
      clock,
    });
    this.#connections.push(connection);
    if (opened === undefined) throw new Error("No store was opened");
    const channel = await connection.openChannel();
    return { store: opened, connection, channel };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const each of this.#connections) await each[Symbol.asyncDispose]();
    await this.documents.dropDatabase();
    await this.#client.close();
  }
}

/** A queue's declaration. */
export function queueOf(
  name: string,
  args: Readonly<Record<string, string | number>> = {},
): Parameters<Channel["declareQueue"]>[0] {
  return {
    name,
    durable: true,
    exclusive: false,
    autoDelete: false,
    arguments: args,
  };
}

/** A message to a queue. */
export function messageTo(
  queue: string,
  text = "",
  properties: Publishing["properties"] = {},
): Publishing {
  return {
    exchange: "",
    routingKey: queue,
    mandatory: false,
    delay: 0,
    properties,
    body: new TextEncoder().encode(text),
  };
}
