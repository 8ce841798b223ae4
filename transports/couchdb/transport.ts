import { createRecordsTransport } from "../records/transport.ts";
import type { Transport } from "../transport.ts";
import { COUCHDB } from "../url_defaults.ts";
import { CouchdbClient } from "./client.ts";
import { readDialOptions } from "./options.ts";
import { CouchdbRecords } from "./records.ts";

/**
 * Makes the CouchDB transport.
 *
 * @returns The transport.
 *
 * @example Its name
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createTransport } from "@dashi/mq/couchdb";
 *
 * assertEquals(createTransport().name, "couchdb");
 * ```
 */
export function createTransport(): Transport {
  return createRecordsTransport({
    name: "couchdb",
    defaults: COUCHDB,
    async open(url, options) {
      const { clock, signal, deadline } = options;
      const dial = readDialOptions(url, options);
      const password = url.password ?? await options.password?.();
      const limits = { signal, deadline };
      const client = await CouchdbClient.open(dial, password, clock, limits);
      return new CouchdbRecords(client, dial);
    },
  });
}
