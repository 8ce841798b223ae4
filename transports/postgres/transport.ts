import { Limits } from "../../async/limits.ts";
import { mostSilence } from "../../async/silence.ts";
import type { BrokerUrl } from "../../url/broker_url.ts";
import { formatUrl } from "../../url/format.ts";
import {
  connectionLost,
  endedMeanwhile,
  notAnswered,
} from "../connection_errors.ts";
import { SqlStore } from "../sql/store.ts";
import { Works } from "../sql/works.ts";
import { createStoreTransport } from "../store/connection.ts";
import type { Store } from "../store/store.ts";
import type { ConnectOptions, Transport } from "../transport.ts";
import { POSTGRES } from "../url_defaults.ts";
import { errorText } from "../../model/error_text.ts";
import { dial, OwnSession, type PostgresClient } from "./client.ts";
import { PostgresDatabase } from "./database.ts";
import { dialError } from "./errors.ts";
import { readPostgresOptions } from "./options.ts";

/**
 * A transaction whose client stands still is ended after half a lease, and within these limits,
 * ms: those who wait for its locks keep what they hold, whose leases they cannot renew meanwhile.
 */
const [MIN_IDLE, MAX_IDLE] = [5000, 60_000];

/**
 * Makes the PostgreSQL transport.
 *
 * @returns The transport.
 *
 * @example Its name
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createTransport } from "@dashi/mq/postgres";
 *
 * assertEquals(createTransport().name, "postgres");
 * ```
 */
export function createTransport(): Transport {
  return createStoreTransport({ name: "postgres", defaults: POSTGRES, open });
}

async function open(url: BrokerUrl, options: ConnectOptions): Promise<Store> {
  const { clock, owner, operationTimeout, heartbeat, signal, deadline } =
    options;
  const settings = readPostgresOptions(url, options);
  const broker = formatUrl(url);
  const password = url.password ?? await options.password?.();
  const { promise: lost, resolve } = Promise.withResolvers<Error>();
  const open: PostgresClient[] = [];
  const opening: Promise<unknown>[] = [];
  const giveUp = new AbortController();
  const address = {
    ...settings,
    password,
    name: options.name ?? "dashi",
    timeout: deadline === undefined
      ? operationTimeout
      : Math.max(deadline - clock.now(), 1),
  };
  const openOne = async () => {
    const client = await dial({
      ...address,
      patience: mostSilence(heartbeat, operationTimeout),
      mostIdle: Math.min(Math.max(settings.lease / 2, MIN_IDLE), MAX_IDLE),
      signal: giveUp.signal,
      onLost: (error) =>
        resolve(connectionLost(broker, errorText(error), { cause: error })),
    });
    open.push(client);
    if (giveUp.signal.aborted) client.destroy();
    return client;
  };
  const limits = new Limits(clock);
  try {
    return await limits.wait(
      (async () => {
        const both = [openOne(), openOne()] as const;
        opening.push(...both);
        const [client, listener] = await Promise.all(both);
        const { schema, poll, lease, maxResponseSize } = settings;
        const own = new OwnSession({ ...address, timeout: operationTimeout });
        const database = new PostgresDatabase(client, listener, own, {
          broker,
          clock,
          schema,
          poll,
          heartbeat,
          maxResponseSize,
          lost,
          onClosed: () => works.end(),
        });
        const works = new Works(database, clock);
        await database.open();
        const store = new SqlStore(database, works, {
          clock,
          owner,
          operationTimeout,
          lease,
        });
        await store.open({ signal, deadline });
        return store;
      })().catch((error) => {
        throw dialError(broker, error);
      }),
      { signal, deadline },
      () => notAnswered(`connect to "${broker}"`, "not-sent"),
    );
  } catch (error) {
    giveUp.abort();
    for (const client of open) client.destroy();
    // The socket of the one that did not fail is closed, and its timers are stopped.
    await Promise.allSettled(opening);
    throw error;
  } finally {
    limits.end(() => endedMeanwhile(undefined));
  }
}
