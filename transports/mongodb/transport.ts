import { Limits } from "../../async/limits.ts";
import type { BrokerUrl } from "../../url/broker_url.ts";
import { formatUrl } from "../../url/format.ts";
import { createStoreTransport } from "../store/connection.ts";
import type { Store } from "../store/store.ts";
import type { ConnectOptions, Transport } from "../transport.ts";
import { connectionLost, notAnswered } from "../connection_errors.ts";
import { MONGODB } from "../url_defaults.ts";
import { dial } from "./client.ts";
import { Context } from "./context.ts";
import { dialError, failureOf } from "./errors.ts";
import { readMongodbOptions } from "./options.ts";
import type { MongodbClient } from "./port.ts";
import { MongodbStore } from "./store.ts";

/**
 * Makes the MongoDB transport.
 *
 * @returns The transport.
 */
export function createTransport(): Transport {
  return createStoreTransport({ name: "mongodb", defaults: MONGODB, open });
}

async function open(url: BrokerUrl, options: ConnectOptions): Promise<Store> {
  const { dial: dialOptions, settings } = readMongodbOptions(url, options);
  const { clock, owner, operationTimeout, deadline, signal } = options;
  const broker = formatUrl(url);
  const password = url.password ?? await options.password?.();
  const giveUp = new AbortController();
  let store: MongodbStore | undefined;
  const { promise: losing, reject: lose } = Promise.withResolvers<never>();
  losing.catch(() => {}); // told by the store, too
  const dialled = dial(dialOptions, {
    password,
    signal: giveUp.signal,
    connectTimeout: deadline === undefined
      ? operationTimeout
      : Math.min(Math.max(deadline - clock.now(), 1), operationTimeout),
    operationTimeout,
    heartbeat: options.heartbeat,
    onLost: ({ text, cause }) => {
      const error = connectionLost(broker, text, { cause });
      lose(error);
      store?.lose(error);
    },
  }).catch((error: unknown) => {
    throw dialError(broker, failureOf(error));
  });
  const limits = new Limits(clock);
  const late = () => notAnswered(`connect to "${broker}"`, "not-sent");
  let client: MongodbClient | undefined;
  let context: Context | undefined;
  try {
    client = await limits.wait(dialled, { deadline, signal }, late);
    context = new Context(client, clock, settings, operationTimeout);
    store = new MongodbStore(context, owner);
    // The driver would wait for a server that comes back, and what is given back has its own time.
    await limits.wait(
      Promise.race([store.open({ deadline, signal }), losing]),
      { deadline, signal },
      late,
    );
    return store;
  } catch (error) {
    giveUp.abort();
    // Whoever comes late is shown out.
    dialled.then((late) => late[Symbol.asyncDispose]()).catch(() => {});
    await client?.[Symbol.asyncDispose]();
    context?.end();
    throw error;
  } finally {
    limits.clear();
  }
}
