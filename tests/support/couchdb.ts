/** Tests of the CouchDB transport's own. */

import { SYSTEM_CLOCK } from "../../async/clock.ts";
import { CouchdbClient } from "../../transports/couchdb/client.ts";
import { readDialOptions } from "../../transports/couchdb/options.ts";
import { CouchdbRecords } from "../../transports/couchdb/records.ts";
import { parseUrl } from "../../url/mod.ts";

/** Opens the records of a database, without the engine over them. */
export async function openRecords(url: string): Promise<CouchdbRecords> {
  const parsed = parseUrl(url);
  const dial = readDialOptions(parsed, {
    heartbeat: 10_000,
    transportOptions: {},
    operationTimeout: 10_000,
    owner: "me",
    clock: SYSTEM_CLOCK,
  });
  const client = await CouchdbClient.open(
    dial,
    parsed.password,
    SYSTEM_CLOCK,
    {},
  );
  return new CouchdbRecords(client, dial);
}
