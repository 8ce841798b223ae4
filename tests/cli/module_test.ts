import { assertEquals, assertMatch } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { askUi, ownHeaders, startUi } from "../support/ui.ts";
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

Deno.test("dashi ui reads an encrypted message by --module, and publishes one", async () => {
  const url = `sqlite:${await Deno.makeTempDir()}/secrets.db`;
  await using connection = createConnection(url);
  const { default: middlewares } = await import("./own_middlewares.ts");
  for (const each of middlewares) connection.use(each);
  const secrets = new Queue("secrets");
  await connection.send(secrets, { id: 7 });
  await using ui = await startUi([url], { module: MODULE });
  const ask = async (path: string, more: object) => {
    const { status, text } = await askUi(ui.port, path, {
      method: "POST",
      headers: ownHeaders(ui),
      body: JSON.stringify({ broker: 0, queue: "secrets", ...more }),
    });
    assertEquals(status, 200, text);
    return JSON.parse(text);
  };
  const { messages: [seen] } = await ask("/messages", {});
  assertMatch(JSON.stringify(seen), /"id\W+7/);
  await ask("/publish", { payload: '{"id":8}' });
  const [, published] = await connection.queue(secrets).receive({ max: 2 });
  assertEquals(published?.payload, { id: 8 });
});
