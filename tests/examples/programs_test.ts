// deno-lint-ignore-file no-top-level-await -- what is missing must be known before the tests are named
/** The programs of `examples/` are those that the pages show, and do what these say. */

import { assert, assertEquals } from "@std/assert";
import { hasRedis, startRedis } from "../brokers/redis.ts";
import { findRabbitmq } from "../brokers/rabbitmq.ts";
import { nodeOfRunner } from "../brokers/rabbitmq_node.ts";
import { providePython } from "../interop/python.ts";
import { amqpPlace } from "../support/amqp_place.ts";
import {
  PAGES,
  programsOf,
  readPage,
  ROOT,
  sessionsOf,
  type Step,
  textOf,
} from "./programs.ts";
import { play } from "./session.ts";

const SESSIONS: ReadonlyMap<string, readonly Step[]> = new Map(
  PAGES.flatMap((page) => [...sessionsOf(readPage(page))]),
);

/** The programs of which two run at once, or whose order is the broker's. */
const UNORDERED: Readonly<Record<string, readonly string[]>> = {
  RabbitMQ: ["kombu/worker"],
  Redis: ["kombu/worker", "work_queue"], // a killed worker's job comes back later
  memory: [],
};

/** The programs that need a broker, for a second process is to find what the first left. */
const SHARED: readonly string[] = ["kombu/worker", "work_queue"];

/** Dates are others each time. */
const dateless = (line: string) =>
  line.replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/, "DATE");

for (const page of PAGES) {
  Deno.test(`${page} shows the programs of examples/ as they are`, () => {
    const programs = programsOf(readPage(page));
    assert(programs.size > 0);
    for (const [path, code] of programs) assertEquals(code, textOf(path), path);
  });
}

Deno.test("examples/README.md lists all examples, and each is shown or tested", () => {
  const text = readPage("examples/README.md");
  for (const { name } of Deno.readDirSync(new URL("examples/", ROOT))) {
    if (name !== "README.md") assert(text.includes(`](${name}`), name);
  }
});

const python = await providePython();

/** Plays all sessions at once, and holds them to the pages. */
async function playAll(
  broker: string,
  urlFor: (name: string) => string,
): Promise<void> {
  const names = [...SESSIONS.keys()].filter((name) =>
    (broker !== "memory" || !SHARED.includes(name)) &&
    (name !== "kombu/worker" || "python" in python)
  );
  const wanted = names.map((name) => {
    const steps = SESSIONS.get(name) ?? [];
    const isKilled = steps.some(({ command }) => command.includes("kill -9"));
    return {
      name,
      lines: linesOf(broker, name, steps.flatMap(({ lines }) => lines)),
      stderr: "",
      killed: isKilled ? 1 : 0,
      failed: 0,
    };
  });
  const played = await Promise.all(names.map(async (name) => {
    const { lines, stderr, codes } = await play(SESSIONS.get(name) ?? [], {
      url: urlFor(name),
      ..."python" in python ? python : {},
    });
    return {
      name,
      lines: linesOf(broker, name, lines),
      stderr,
      killed: codes.filter((code) => code === 137).length,
      failed: codes.filter((code) => code !== 0 && code !== 137).length,
    };
  }));
  assertEquals(played, wanted);
}

function linesOf(
  broker: string,
  name: string,
  lines: readonly string[],
): readonly string[] {
  const all = lines.map(dateless);
  return UNORDERED[broker]?.includes(name) ? all.sort() : all;
}

Deno.test("the programs print on memory what the pages say", async () => {
  await playAll("memory", () => "memory://");
});

Deno.test({
  name: "the programs print on RabbitMQ what the pages say",
  ignore: nodeOfRunner() === undefined && findRabbitmq() === undefined,
  fn: async () => {
    await using place = await amqpPlace();
    await playAll("RabbitMQ", () => place.url);
  },
});

Deno.test({
  name: "the programs print on Redis what the pages say",
  ignore: !hasRedis(),
  fn: async () => {
    const server = await startRedis();
    try {
      // What a killed process held comes back after half a minute without this, which
      // holds for all who use the database.
      await playAll(
        "Redis",
        (name) =>
          name === "work_queue"
            ? `${server.url.replace(/0$/, "1")}?visibility_timeout=2`
            : server.url,
      );
    } finally {
      await server.stop();
    }
  },
});
