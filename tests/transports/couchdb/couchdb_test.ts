// deno-lint-ignore-file no-top-level-await -- what the broker can do must be known before its cases are named
import { createTransport } from "../../../transports/couchdb/mod.ts";
import { isInstalled, startCouchdb } from "../../brokers/couchdb.ts";
import { registerConformance, SLOW } from "../../support/register.ts";

await registerConformance("couchdb", {
  transport: createTransport(),
  hasOwnClock: true,
  slow: SLOW,
  url: Deno.env.get("DASHI_TEST_COUCHDB_URL"),
  shortLease: { visibilityTimeout: 2000 },
  reason: Deno.env.get("DASHI_TEST_COUCHDB_REASON") ??
    "run it by deno task test, which provides CouchDB",
  startOwn: isInstalled() ? startCouchdb : undefined,
});
