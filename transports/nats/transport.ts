import { errorText } from "../../model/error_text.ts";
import { PreconditionFailedError } from "../../model/errors.ts";
import type { BrokerUrl } from "../../url/broker_url.ts";
import { connectionLost, notAnswered } from "../connection_errors.ts";
import { createStoreTransport } from "../store/connection.ts";
import { OWNER_TTL } from "../store/leases.ts";
import { Lifeline } from "../store/lifeline.ts";
import type { Store } from "../store/store.ts";
import type { ConnectOptions, Transport } from "../transport.ts";
import { NATS } from "../url_defaults.ts";
import { NatsClient } from "./client.ts";
import { dialError } from "./errors.ts";
import { readNatsOptions } from "./options.ts";
import { type Left, NatsStore } from "./store.ts";

/**
 * Makes the NATS transport.
 *
 * @returns The transport.
 *
 * @example Its name
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createTransport } from "@dashi/mq/nats";
 *
 * assertEquals(createTransport().name, "nats");
 * ```
 */
export function createTransport(): Transport {
  const left = new Leftovers();
  return createStoreTransport({
    name: "nats",
    defaults: NATS,
    open: (url, options) => open(url, options, left),
  });
}

/**
 * What the connections of a session held when they were lost, by the session's name: the
 * next gives it back at once, for the server would wait for the end of its lease.
 */
class Leftovers {
  readonly #left = new Map<
    string,
    { readonly all: readonly Left[]; readonly until: number }
  >();

  /** Leaves what goes back by itself at a time on the clock; forgets what has gone. */
  leave(owner: string, all: readonly Left[], now: number, until: number) {
    for (const [each, { until }] of this.#left) {
      if (until <= now) this.#left.delete(each);
    }
    if (all.length > 0) this.#left.set(owner, { all, until });
  }

  take(owner: string): readonly Left[] {
    const all = this.#left.get(owner)?.all ?? [];
    this.#left.delete(owner);
    return all;
  }
}

async function open(
  url: BrokerUrl,
  options: ConnectOptions,
  left: Leftovers,
): Promise<Store> {
  const { clock, owner, operationTimeout, heartbeat, deadline } = options;
  const settings = readNatsOptions(url, options);
  const { broker } = settings;
  const lifeline = new Lifeline({ clock, operationTimeout });
  const password = url.password ?? await options.password?.(options);
  let client: NatsClient | undefined;
  const giveUp = new AbortController();
  const opening = async () => {
    client = await NatsClient.open({
      ...settings,
      password,
      name: options.name ?? "dashi",
      timeout: deadline === undefined
        ? operationTimeout
        : Math.max(deadline - clock.now(), 1),
      heartbeat,
      clock,
      signal: giveUp.signal,
    });
    if (giveUp.signal.aborted) client.destroy();
    if (!client.isAtLeast(2, 11)) {
      throw new PreconditionFailedError(
        `Cannot connect to "${broker}": the server is NATS ${client.version}, and what is kept here needs the times to live of 2.11 and later`,
        { outcome: "not-sent" },
      );
    }
    void client.closed.then((error) =>
      lifeline.lose(
        connectionLost(
          broker,
          error === undefined ? "the server closed it" : errorText(error),
          error === undefined ? {} : { cause: error },
        ),
      )
    );
    const store = new NatsStore({
      client,
      settings,
      clock,
      lifeline,
      owner,
      heartbeat,
    });
    lifeline.onEnd((reason) => {
      if (reason.type !== "lost") return;
      const now = clock.now();
      left.leave(owner, store.left, now, now + settings.lease);
    });
    await store.open(OWNER_TTL, left.take(owner));
    return store;
  };
  try {
    return await lifeline.limits.wait(
      opening().catch((error) => {
        throw dialError(broker, error);
      }),
      options,
      () => notAnswered(`connect to "${broker}"`, "not-sent"),
    );
  } catch (error) {
    giveUp.abort();
    client?.destroy();
    await lifeline.close(() => Promise.resolve());
    throw error;
  }
}
