// deno-lint-ignore-file no-top-level-await -- what the database can do must be known before its cases are named
import { assertEquals } from "@std/assert";
import { kvTransport } from "../../examples/kv_transport.ts";
import { connect } from "../conformance/broker.ts";
import { publishing, rejectsWith, textOf } from "../conformance/support.ts";
import { registerConformance, SLOW } from "../support/register.ts";

const ROOT = new URL("../../", import.meta.url);

const folder = await Deno.makeTempDir({ prefix: "dashi-kv-" });
globalThis.addEventListener(
  "unload",
  () => Deno.removeSync(folder, { recursive: true }),
);

const harness = {
  transport: kvTransport,
  url: `kv://${folder}/suite`,
  largestBody: 47_000,
  [Symbol.asyncDispose]: () => Promise.resolve(),
};

await registerConformance("examples/kv_transport.ts", {
  ...harness,
  slow: SLOW,
  // The engine passes all of them over records in memory.
  only: /body|order|redeliver|lease|expire|dead letter|get\(\)/,
});

/** Says what it gets, and never settles it. */
const TAKER = `
  import { createConnection } from "@dashi/mq";
  import { kvTransport } from "ROOT_HERE/examples/kv_transport.ts";
  const connection = createConnection("URL_HERE", {
    transport: kvTransport,
    transportOptions: { lease: 500 },
  });
  for await (const { payload } of connection.consumer("shared")) {
    console.log(payload);
  }
`;

Deno.test("two processes share a file: what is published in one wakes the other, and what a killed one took comes again", async () => {
  const own = {
    ...harness,
    url: `kv://${folder}/shared`,
    transportOptions: { lease: 500 },
  };
  await using connection = await connect(own);
  const channel = await connection.openChannel();
  await channel.declareQueue({
    name: "shared",
    durable: true,
    exclusive: false,
    autoDelete: false,
    arguments: {},
  });
  const program = `${folder}/taker.ts`;
  await Deno.writeTextFile(
    program,
    TAKER.replace("ROOT_HERE", ROOT.href.slice(0, -1))
      .replace("URL_HERE", own.url),
  );
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", "--config", `${ROOT.pathname}deno.json`]
      .concat(program),
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const reader = child.stdout.getReader();
  await channel.publish(publishing("", "shared", '"first"', {
    properties: { contentType: "application/json" },
  }));
  const { value } = await reader.read();
  assertEquals(new TextDecoder().decode(value).trim(), "first");
  child.kill("SIGKILL");
  await child.status;
  await reader.cancel();

  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  await channel.consume("shared", (delivery) => {
    resolve(textOf(delivery));
  }, { prefetch: 1 });
  assertEquals(await promise, '"first"');
});

Deno.test("a file in a folder that is not there is a connection that may be had later", async () => {
  await rejectsWith(
    connect({ ...harness, url: `kv://${folder}/missing/file` }),
    "connection-failed",
    "/missing/file",
  );
});
