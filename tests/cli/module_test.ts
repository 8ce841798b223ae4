import { assertEquals, assertMatch } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { onTerminal } from "./running.ts";

/** A module as a user has one. */
const MODULE = new URL("./own_middlewares.ts", import.meta.url).pathname;

Deno.test("dashi reads an encrypted message by --module, and says so without", async () => {
  const url = `memory://${crypto.randomUUID()}`;
  await using connection = createConnection(url);
  const { default: middlewares } = await import("./own_middlewares.ts");
  for (const each of middlewares) connection.use(each);
  await connection.send(new Queue("secrets"), { id: 7 });
  const without = await onTerminal(["--json", "peek", "secrets"], url, 80);
  const { error, payload } = JSON.parse(without.out);
  assertEquals(payload, undefined);
  assertMatch(error, /encryption or claimCheck.*use.*--module FILE/);
  const read = ["--json", "--module", MODULE, "peek", "secrets"];
  const { code, out } = await onTerminal(read, url, 80);
  assertEquals([code, JSON.parse(out).payload], [0, { id: 7 }]);
});
