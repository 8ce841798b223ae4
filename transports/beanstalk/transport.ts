import { createStoreTransport } from "../store/connection.ts";
import type { Transport } from "../transport.ts";
import { BEANSTALK } from "../url_defaults.ts";
import { BeanstalkStore } from "./store.ts";

/**
 * Makes the beanstalkd transport.
 *
 * @returns The transport.
 */
export function createTransport(): Transport {
  return createStoreTransport({
    name: "beanstalk",
    defaults: BEANSTALK,
    open: (url, options) => BeanstalkStore.open(url, options),
  });
}
