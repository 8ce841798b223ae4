// deno-lint-ignore-file no-top-level-await -- what the database can do must be known before its cases are named
/** The engine over a database that has nothing but what the contract demands. */

import { memoryRecordsTransport } from "../../support/memory_records.ts";
import { registerConformance, SLOW } from "../../support/register.ts";

const transport = memoryRecordsTransport();

await registerConformance("records", {
  transport,
  url: "memory-records:///suite",
  slow: SLOW,
});
