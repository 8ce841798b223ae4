import type { BrokerUrl } from "../../url/broker_url.ts";
import { formatUrl } from "../../url/format.ts";
import { createStoreTransport } from "../store/connection.ts";
import type { Store } from "../store/store.ts";
import type { ConnectOptions, Transport } from "../transport.ts";
import { connectionLost, notAnswered } from "../connection_errors.ts";
import { MONGODB } from "../url_defaults.ts";
import { dial } from "./client.ts";
import { Context, lifelineOf } from "./context.ts";
import { dialError, failureOf } from "./errors.ts";
import { readMongodbOptions } from "./options.ts";
import type { MongodbClient } from "./port.ts";
import { MongodbStore } from "./store.ts";

/**
 * Makes the MongoDB transport.
 *
 * @returns The transport.
 *
 * @example Its name
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createTransport } from "@dashi/mq/mongodb";
 *
 * assertEquals(createTransport().name, "mongodb");
 * ```
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
  const lifeline = lifelineOf(clock, operationTimeout);
  const dialled = dial(dialOptions, {
    password,
    signal: giveUp.signal,
    connectTimeout: deadline === undefined
      ? operationTimeout
      : Math.min(Math.max(deadline - clock.now(), 1), operationTimeout),
    operationTimeout,
    heartbeat: options.heartbeat,
    onLost: ({ text, cause }) =>
      lifeline.lose(connectionLost(broker, text, { cause })),
  }).catch((error: unknown) => {
    throw dialError(broker, failureOf(error));
  });
  const wait = <T>(promise: Promise<T>) =>
    lifeline.limits.wait(
      promise,
      { deadline, signal },
      () => notAnswered(`connect to "${broker}"`, "not-sent"),
    );
  let client: MongodbClient | undefined;
  try {
    client = await wait(dialled);
    const context = new Context(client, clock, settings, lifeline);
    const store = new MongodbStore(context, owner);
    // The driver would wait for a server that comes back, and what is given back has its own time.
    const losing = lifeline.closed.then((reason) => {
      if (reason.type === "lost") throw reason.error;
    });
    losing.catch(() => {}); // told by the store, too
    await wait(Promise.race([store.open({ deadline, signal }), losing]));
    return store;
  } catch (error) {
    giveUp.abort();
    // One that comes late is closed, too.
    dialled.then((late) => late[Symbol.asyncDispose]()).catch(() => {});
    await lifeline.close(async () => await client?.[Symbol.asyncDispose]());
    throw error;
  }
}
