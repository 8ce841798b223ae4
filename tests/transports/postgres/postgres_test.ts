// deno-lint-ignore-file no-top-level-await -- what the database can do must be known before its cases are named
import { createTransport } from "../../../transports/postgres/mod.ts";
import { POSTGRES, startPostgres } from "../../brokers/postgres.ts";
import { registerConformance, SLOW } from "../../support/register.ts";

await registerConformance("postgres", {
  transport: createTransport(),
  slow: SLOW,
  url: Deno.env.get("DASHI_TEST_POSTGRES_URL"),
  shortLease: { visibilityTimeout: 2000 },
  reason: Deno.env.get("DASHI_TEST_POSTGRES_REASON") ??
    "run it by deno task test, which provides PostgreSQL",
  startOwn: POSTGRES.isInstalled() ? startPostgres : undefined,
});
