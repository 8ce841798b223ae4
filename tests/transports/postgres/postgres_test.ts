// deno-lint-ignore-file no-top-level-await -- what the database can do must be known before its cases are named
import { withClient } from "../../support/postgres_client.ts";
import { createTransport } from "../../../transports/postgres/mod.ts";
import { POSTGRES, startPostgres } from "../../brokers/postgres.ts";
import { registerConformance, SLOW } from "../../support/register.ts";

const url = Deno.env.get("DASHI_TEST_POSTGRES_URL");

await registerConformance("postgres", {
  transport: createTransport(),
  hasOwnClock: true,
  slow: SLOW,
  url,
  shortLease: { visibilityTimeout: 2000 },
  transact: (work) =>
    withClient(url ?? "", async (client) => {
      await client.query("BEGIN");
      try {
        const result = await work(client);
        await client.query("COMMIT");
        return result;
      } catch (error) {
        await client.query("ROLLBACK");
        throw error;
      }
    }),
  reason: Deno.env.get("DASHI_TEST_POSTGRES_REASON") ??
    "run it by deno task test, which provides PostgreSQL",
  startOwn: POSTGRES.isInstalled() ? startPostgres : undefined,
});
