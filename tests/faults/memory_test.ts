// deno-lint-ignore-file no-console -- what was measured is told
import { assert, assertEquals } from "@std/assert";
import { ALL, onEach } from "../support/targets.ts";
import { type Growth, type Mark, NOISE } from "./growth_child.ts";
import type { Load } from "./memory_child.ts";

/** A pool, or the runtime, holds some more or less at times; what leaks is left by each cycle. */
const STRAY = 5;

const MIB = 1024 * 1024;

/** How often is published to a broker that is paused. */
const COUNT = ALL ? 200_000 : 20_000;

onEach(
  `${COUNT} publishes to a broker that is paused leave no more on the heap than what may be in flight (row 10)`,
  async (url) => {
    const { bytes, settled } = await run<Load>(
      "memory_child.ts",
      url,
      String(COUNT),
    );
    assertEquals(settled, COUNT);
    assert(bytes < 1000 * 1024 + 20 * MIB, `${bytes} bytes`);
  },
);

/** How often is connected, published and closed; and how often a connection is cut. */
const CYCLES = ALL ? 10_000 : 50;
const RECONNECTS = ALL ? 1000 : 50;

/** Slower brokers get as often as fits into so many seconds. */
const SECONDS = 60;

const LONG: ReadonlySet<string> = new Set([
  "memory",
  "amqp",
  "amqp-client",
  "redis",
]);

for (
  const [mode, count, what] of [
    ["cycles", CYCLES, "connecting, publishing and closing"],
    ["reconnects", RECONNECTS, "forced reconnects"],
  ] as const
) {
  const title = (most: string) =>
    `${what}, ${most}, leave heap, handles and listeners flat (row 30)`;
  Deno.test({
    name: `memory: ${title(`${count} times`)}${
      ALL ? "" : " (run it by deno task faults)"
    }`,
    ignore: !ALL,
    fn: () => assertFlat(mode, "memory://growth", count),
  });
  onEach(
    title(
      ALL
        ? `${count} times, on slow brokers as often as in ${SECONDS} s`
        : `${count} times`,
    ),
    (url, { name }) =>
      assertFlat(mode, url, count, LONG.has(name) ? undefined : SECONDS),
  );
}

/** The second half of what is done over and over leaves no more than the first. */
async function assertFlat(
  mode: string,
  url: string,
  count: number,
  seconds?: number,
): Promise<void> {
  const growth = await run<Growth>(
    "growth_child.ts",
    mode,
    url,
    String(count),
    ...(seconds === undefined ? [] : [String(seconds)]),
  );
  const { half, end, connections } = growth;
  if (ALL) console.log(describe(growth));
  if (seconds === undefined) assert(growth.count >= count, describe(growth));
  assert(end.bytes - half.bytes < NOISE, describe(growth));
  assert(end.resources <= half.resources + STRAY, describe(growth));
  assert(end.handles <= half.handles + STRAY, describe(growth));
  assertEquals(end.listeners, half.listeners);
  // Each was a new one.
  if (connections !== undefined) assert(connections >= growth.count);
}

function describe({ count, seconds, begin, half, end }: Growth): string {
  const show = (what: (mark: Mark) => string | number) =>
    [begin, half, end].map(what).join(", ");
  return `${count} times in ${
    seconds.toFixed(0)
  } s; at the beginning, half and end: ${
    show(({ bytes }) => (bytes / MIB).toFixed(2))
  } MiB, sockets ${show((mark) => mark.resources)}, files ${
    show((mark) => mark.handles)
  }, listeners ${show((mark) => mark.listeners)}`;
}

/** Runs a program of its own, and reads what it prints. */
async function run<T>(file: string, ...args: readonly string[]): Promise<T> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--v8-flags=--expose-gc",
      new URL(file, import.meta.url).pathname,
      ...args,
    ],
    stdin: "null",
  }).output();
  assertEquals(code, 0, new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}
