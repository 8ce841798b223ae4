import type { BrokerUrl } from "../../url/broker_url.ts";
import { formatUrl } from "../../url/format.ts";
import { createStoreTransport } from "../store/connection.ts";
import { Lifeline } from "../store/lifeline.ts";
import type { Store } from "../store/store.ts";
import type { ConnectOptions, Transport } from "../transport.ts";
import { BEANSTALK } from "../url_defaults.ts";
import type { LinkContext } from "./link.ts";
import { readSettings } from "./options.ts";
import { greet } from "./server.ts";
import { BeanstalkStore } from "./store.ts";

/**
 * Makes the beanstalkd transport.
 *
 * @returns The transport.
 *
 * @example Its name
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createTransport } from "@dashi/mq/beanstalk";
 *
 * assertEquals(createTransport().name, "beanstalk");
 * ```
 */
export function createTransport(): Transport {
  return createStoreTransport({ name: "beanstalk", defaults: BEANSTALK, open });
}

async function open(url: BrokerUrl, options: ConnectOptions): Promise<Store> {
  const { heartbeat, operationTimeout, hasOthers = false, clock } = options;
  const lifeline = new Lifeline({ clock });
  const context: LinkContext = {
    broker: formatUrl(url),
    settings: readSettings(url, options),
    heartbeat,
    operationTimeout,
    hasOthers,
    clock,
    lifeline,
  };
  try {
    return new BeanstalkStore(context, await greet(context, options));
  } catch (error) {
    await lifeline.close(() => Promise.resolve());
    throw error;
  }
}
