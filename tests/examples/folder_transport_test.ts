// deno-lint-ignore-file no-top-level-await -- what the broker can do must be known before its cases are named
import { assert, assertEquals } from "@std/assert";
import { SYSTEM_CLOCK } from "../../async/clock.ts";
import { folderTransport } from "../../examples/folder_transport.ts";
import { connect } from "../conformance/broker.ts";
import { publishing, rejectsWith, textOf } from "../conformance/support.ts";
import { LOADS, registerConformance } from "../support/register.ts";

const ROOT = new URL("../../", import.meta.url);

const folder = await Deno.makeTempDir({ prefix: "dashi-folder-" });
globalThis.addEventListener(
  "unload",
  () => Deno.removeSync(folder, { recursive: true }),
);

const harness = {
  transport: folderTransport,
  url: `folder://${folder}`,
  [Symbol.asyncDispose]: () => Promise.resolve(),
};

await registerConformance("examples/folder_transport.ts", {
  ...harness,
  slow: LOADS,
});

Deno.test("the suite removes all that it declared", () => {
  assertEquals([...Deno.readDirSync(folder)], []);
});

/** Gets a message, says so, and never settles it. */
const HOLDER = `
  import { createConnection } from "@dashi/mq";
  import { folderTransport } from "ROOT_HERE/examples/folder_transport.ts";
  const connection = createConnection("URL_HERE", { transport: folderTransport });
  for await (const { payload } of connection.consumer("killed")) console.log(payload);
`;

Deno.test("a message outlives the processes that sent and took it, and comes again after its lease", async () => {
  await using connection = await connect(harness);
  const channel = await connection.openChannel();
  await channel.publish(publishing("", "killed", '"once"', {
    properties: { contentType: "application/json" },
  }));
  const program = await Deno.makeTempFile({ suffix: ".ts" });
  await Deno.writeTextFile(
    program,
    HOLDER.replace("ROOT_HERE", ROOT.href.slice(0, -1))
      .replace("URL_HERE", harness.url),
  );
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", "--config", `${ROOT.pathname}deno.json`]
      .concat(program),
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const reader = child.stdout.getReader();
  const { value } = await reader.read();
  assertEquals(new TextDecoder().decode(value).trim(), "once");
  child.kill("SIGKILL");
  await child.status;
  await reader.cancel();
  await Deno.remove(program);

  assertEquals(await channel.get("killed"), undefined);
  await using later = await connect(harness, {
    clock: { ...SYSTEM_CLOCK, wall: () => Date.now() + 31_000 },
  });
  const delivery = await (await later.openChannel()).get("killed");
  assertEquals(textOf(delivery), '"once"');
  assert(delivery?.redelivered);
  assertEquals(delivery.deliveryCount, 1);
  await channel.deleteQueue("killed");
});

Deno.test("eight connections take 200 messages, and each comes once", async () => {
  await using connection = await connect(harness);
  const channel = await connection.openChannel();
  const texts = Array.from({ length: 200 }, (_, i) => String(i));
  await Promise.all(
    texts.map((text) => channel.publish(publishing("", "raced", text))),
  );
  const taken = await Promise.all(Array.from({ length: 8 }, async () => {
    await using racer = await connect(harness);
    const channel = await racer.openChannel();
    const taken: (string | undefined)[] = [];
    for (;;) {
      const delivery = await channel.get("raced", { noAck: true });
      if (delivery === undefined) return taken;
      taken.push(textOf(delivery));
    }
  }));
  assertEquals(taken.flat().sort(), texts.sort());
  await channel.deleteQueue("raced");
});

Deno.test("a file that is no envelope is delivered as malformed, a draft is not", async () => {
  await using connection = await connect(harness);
  const channel = await connection.openChannel();
  await channel.publish(publishing("", "garbage", "good"));
  const place = `${folder}/garbage/0.000000000000001.000000000000000.x`;
  await Deno.writeTextFile(`${place}.0.0`, "not JSON");
  await Deno.writeTextFile(`${folder}/garbage/draft-x`, "half of");
  const delivery = await channel.get("garbage");
  assertEquals(textOf(delivery), "not JSON");
  assert(delivery?.malformed !== undefined);
  assertEquals(textOf(await channel.get("garbage")), "good");
  assertEquals(await channel.get("garbage"), undefined);
  await channel.deleteQueue("garbage");
});

Deno.test("a queue's name is no way out of the folder", async () => {
  await Deno.mkdir(`${folder}/names`);
  await using connection = await connect({
    ...harness,
    url: `${harness.url}/names`,
  });
  const channel = await connection.openChannel();
  for (const name of ["..", "../../x", "/etc", "a.b", "ü*?"]) {
    await channel.publish(publishing("", name, name));
    assertEquals(textOf(await channel.get(name, { noAck: true })), name);
    assertEquals(await channel.deleteQueue(name), 0);
  }
  assertEquals([...Deno.readDirSync(`${folder}/names`)], []);
});

Deno.test("a folder that is not there is a connection that may be had later", async () => {
  const error = await rejectsWith(
    connect({ ...harness, url: `${harness.url}/missing` }),
    "connection-lost",
    "/missing",
    "ENOENT",
  );
  assert("retryable" in error && error.retryable);
});
