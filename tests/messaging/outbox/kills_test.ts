import { assert } from "@std/assert";
import { DATABASES } from "./databases.ts";
import { killPrograms } from "./kills.ts";

const KILLS = Deno.env.get("DASHI_TEST_OUTBOX_KILLS");

/** The brokers that are relayed to, and the database whose rows go there in each run of the tests. */
const TARGETS = [
  { target: "REDIS", broker: "Redis", usual: "postgres" },
  { target: "AMQP", broker: "RabbitMQ", usual: "sqlite" },
] as const;

for (const { name, reason, use } of DATABASES) {
  for (const { target, broker, usual } of TARGETS) {
    const url = Deno.env.get(`DASHI_TEST_${target}_URL`);
    const why = reason ??
      (url === undefined
        ? Deno.env.get(`DASHI_TEST_${target}_REASON`) ??
          `run it by deno task test, which provides ${broker}`
        : KILLS === undefined && name !== usual
        ? "run by deno task outbox"
        : undefined);
    Deno.test({
      name:
        `${name} to ${broker}: programs are killed between the commit and the publish: each committed row arrives, no other, the first arrivals in order${
          why === undefined ? "" : ` (${why})`
        }`,
      ignore: why !== undefined,
      sanitizeOps: false,
      sanitizeResources: false,
      fn: () =>
        use(async (database) => {
          const schema = new URL(database.url).searchParams.get("schema");
          const counts = await killPrograms(database, {
            kills: Number(KILLS ?? 4),
            broker: url ?? "",
            setup: schema === null ? undefined : `SET search_path = ${schema}`,
          });
          assert(counts.committed > 0, JSON.stringify(counts));
          // deno-lint-ignore no-console -- counted, and no failure
          console.log(JSON.stringify({ database: name, broker, ...counts }));
        }),
    });
  }
}
