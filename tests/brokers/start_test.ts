import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { firstEphemeralPort, freePort } from "./ports.ts";
import { Program, StartError, startServer } from "./program.ts";
import { hasRedis, startRedis } from "./redis.ts";
import { run } from "./server.ts";

Deno.test("a server's port is not one that an outgoing connection may take", () => {
  const ports = Array.from({ length: 50 }, freePort);
  assertEquals(new Set(ports).size, 50);
  for (const port of ports) assert(port < firstEphemeralPort(), `${port}`);
});

/** A program that says something and ends, or never serves. */
function program(folder: string, script: string, timeout = 60_000): Program {
  return new Program({
    title: "The program",
    command: "/bin/sh",
    args: ["-c", script],
    log: `${folder}/log`,
    timeout,
    isReady: () => Promise.resolve(false),
  });
}

Deno.test("a server that ends while it starts is noticed, with what it last said, and tried on two more ports", async () => {
  const ports: number[] = [];
  const folders: string[] = [];
  const error = await assertRejects(
    () =>
      startServer("test", async (port, folder) => {
        ports.push(port);
        folders.push(folder);
        await program(folder, "echo the address is in use; exit 3").start();
      }),
    StartError,
  );
  assertMatch(error.message, /ended while it started, with code 3/);
  assertMatch(error.message, /it last said: the address is in use/);
  assertEquals(new Set(ports).size, 3);
  for (const folder of folders) {
    await assertRejects(() => Deno.stat(folder), Deno.errors.NotFound);
  }
});

Deno.test("a server that never serves is ended, and not tried again", async () => {
  let tries = 0;
  const error = await assertRejects(
    () =>
      startServer("test", async (_, folder) => {
        tries++;
        await program(folder, "echo thinking; exec sleep 60", 300).start();
      }),
    StartError,
  );
  assertMatch(
    error.message,
    /did not answer within 0.3 s; it last said: think/,
  );
  assertEquals(tries, 1);
});

Deno.test({
  name: "Redis on a port that is taken says so at once",
  ignore: !hasRedis(),
  fn: async () => {
    const taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    try {
      const { port } = taken.addr;
      const error = await assertRejects(() => startRedis({ port }), StartError);
      assertMatch(error.message, /ended while it started.*already in use/i);
    } finally {
      taken.close();
    }
  },
});

Deno.test("a program that ends before it has read its input is told by what it said", async () => {
  const error = await assertRejects(
    () =>
      run(
        "/bin/sh",
        ["-c", "exec 0<&-; echo no connection >&2; exit 1"],
        {},
        "x".repeat(1_000_000),
      ),
    Error,
  );
  assertMatch(error.message, /no connection$/);
});

/** A container engine that writes down when each of its commands begins and ends. */
const ENGINE = `#!/bin/sh
echo "begin $*" >>"$0.log"
sleep 0.1
echo "end $*" >>"$0.log"
`;

/** Provides two brokers that are no programs here, and prints what the tests are told of them. */
const PROVIDE = `
import { provideBrokers } from "./tests/brokers/mod.ts";
const servicePort = Number(Deno.args[0]);
const brokers = await provideBrokers(() => {}, ["one", "two"].map((service) => ({
  name: service.toUpperCase(),
  title: service,
  service,
  serviceUrl: "redis://127.0.0.1:" + servicePort,
  servicePort,
  packages: [],
  tests: /^$/,
  isInstalled: () => false,
  version: () => "",
  install: () => Promise.reject(new Error("it cannot be installed")),
  start: () => Promise.reject(new Error("it cannot be started")),
})));
await brokers.stop();
console.log(JSON.stringify(brokers.env));
`;

/** Runs that beside a container engine, and returns what that was asked, and what was printed. */
async function provideBeside(
  containers: string,
): Promise<readonly [asked: readonly string[], env: Record<string, string>]> {
  const folder = await Deno.makeTempDir({ prefix: "dashi-engine-" });
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const accepting = (async () => {
    for await (const connection of listener) connection.close();
  })();
  const engine = `${folder}/docker`;
  try {
    await Deno.writeTextFile(`${engine}.log`, "");
    await Deno.writeTextFile(engine, ENGINE, { mode: 0o755 });
    const told = await run(
      "env",
      ["-C", new URL("../..", import.meta.url).pathname, Deno.execPath()]
        .concat("eval", PROVIDE, String(listener.addr.port)),
      {
        PATH: `${folder}:${Deno.env.get("PATH")}`,
        DASHI_TEST_CONTAINERS: containers,
      },
    );
    const asked = (await Deno.readTextFile(`${engine}.log`)).trim().split("\n");
    return [asked, JSON.parse(told)];
  } finally {
    listener.close();
    await accepting;
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("containers are made one after the other, for they share a network", async () => {
  const [asked, env] = await provideBeside("");
  const made = asked.filter((line) => line.includes("compose create"));
  assertEquals(made.map((line) => line.split(" ")[0]), [
    "begin",
    "end",
    "begin",
    "end",
  ]);
  assertEquals(Object.keys(env).sort(), [
    "DASHI_TEST_ONE_URL",
    "DASHI_TEST_TWO_URL",
  ]);
});

Deno.test("DASHI_TEST_CONTAINERS=no has no container where there is an engine", async () => {
  const [asked, env] = await provideBeside("no");
  assertEquals(asked, [""]);
  assertEquals(env, {
    DASHI_TEST_ONE_REASON: "it cannot be installed",
    DASHI_TEST_TWO_REASON: "it cannot be installed",
  });
});
