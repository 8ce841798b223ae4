import { assert } from "@std/assert";
import { DATABASES } from "./databases.ts";
import { killPrograms } from "./kills.ts";

const broker = Deno.env.get("DASHI_TEST_REDIS_URL");
const KILLS = Number(Deno.env.get("DASHI_TEST_OUTBOX_KILLS") ?? 4);

for (const { name, reason, use } of DATABASES) {
  const why = reason ??
    (broker === undefined
      ? Deno.env.get("DASHI_TEST_REDIS_REASON") ??
        "run it by deno task test, which provides Redis"
      : undefined);
  Deno.test({
    name:
      `${name}: programs are killed between the commit and the publish: each committed row arrives, no other, the first arrivals in order${
        why === undefined ? "" : ` (${why})`
      }`,
    ignore: why !== undefined,
    sanitizeOps: false,
    sanitizeResources: false,
    fn: () =>
      use(async (database) => {
        const schema = new URL(database.url).searchParams.get("schema");
        const counts = await killPrograms(database, {
          kills: KILLS,
          broker: broker ?? "",
          setup: schema === null ? undefined : `SET search_path = ${schema}`,
        });
        assert(counts.committed > 0, JSON.stringify(counts));
        // deno-lint-ignore no-console -- counted, and no failure
        console.log(JSON.stringify({ database: name, ...counts }));
      }),
  });
}
