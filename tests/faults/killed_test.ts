import { findTransport } from "../../transports/load.ts";
import { CONFORMANCE_CASES } from "../conformance/mod.ts";
import { apart } from "../support/apart.ts";
import { startKilled } from "../support/killed.ts";
import { ALL, onEach } from "../support/targets.ts";

/** Of those whose leases are not the connection's. */
const LEASING: ReadonlySet<string> = new Set([
  "couchdb",
  "mongodb",
  "redis",
  "sqs",
]);

// The first of them is run with the rest of the suite.
for (
  const test of CONFORMANCE_CASES.filter(({ kills, slow }) => kills && slow)
) {
  onEach(
    test.name,
    async (given, { name }) => {
      const url = apart(given);
      const { createTransport } = await findTransport(name).load();
      const transportOptions = LEASING.has(name)
        ? { visibilityTimeout: 2000 }
        : {};
      await test.run({
        transport: createTransport(),
        url,
        transportOptions,
        startKilled: (errand) =>
          startKilled({ transport: name, url, transportOptions, errand }),
        [Symbol.asyncDispose]: () => Promise.resolve(),
      });
    },
    undefined,
    undefined,
    () => ALL ? undefined : "run it by deno task faults",
  );
}
