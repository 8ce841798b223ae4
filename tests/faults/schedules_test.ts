/** A schedule that ticks each second, whose processes are killed one after another. */

import { assert, assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { apart } from "../support/apart.ts";
import { ALL, LATER, onEach } from "../support/targets.ts";
import type { ScheduleWork } from "./schedules_child.ts";

const CHILD = new URL("schedules_child.ts", import.meta.url).pathname;
const CONFIG = new URL("../../deno.json", import.meta.url).pathname;

/** How long processes are killed, and how often, ms. */
const DURATION = ALL ? 300_000 : 8000;
const EVERY = ALL ? 5000 : 3000;

/** Of those whose leases are not the connection's: what a killed process held comes back soon. */
const SHORT: Readonly<Record<string, unknown>> = { visibilityTimeout: 2000 };
const LEASING: ReadonlySet<string> = new Set(["couchdb", "mongodb", "redis"]);

function start(work: ScheduleWork): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", "--config", CONFIG, CHILD].concat(
      JSON.stringify(work),
    ),
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
}

/** Resolves when it takes part. */
async function ready(child: Deno.ChildProcess): Promise<void> {
  const reader = child.stdout.getReader();
  await reader.read();
  await reader.cancel();
}

async function kill(child: Deno.ChildProcess): Promise<void> {
  child.kill("SIGKILL");
  if (!child.stdout.locked) await child.stdout.cancel();
  await child.status;
}

/** Whether every tick from the first on is there, and one after a moment. */
function isWhole(counts: ReadonlyMap<number, number>, wanted: number): boolean {
  const ticks = [...counts.keys()];
  const [first, last] = [Math.min(...ticks), Math.max(...ticks)];
  return last >= wanted && (last - first) / 1000 + 1 === ticks.length;
}

const sleep = (delay: number) =>
  new Promise((resolve) => setTimeout(resolve, delay));

const NAME =
  `three processes publish a schedule, one is killed every ${EVERY} ms for ${DURATION} ms, and no tick is left out (row 18)`;

onEach(
  NAME,
  (url, { name }) => judge(name, apart(url), LEASING.has(name) ? SHORT : {}),
);

Deno.test({
  name: `sqlite: ${NAME}${ALL ? "" : ` (${LATER})`}`,
  ignore: !ALL,
  fn: async () => {
    const folder = await Deno.makeTempDir({ prefix: "dashi-ticks-" });
    try {
      await judge("sqlite", `sqlite:${folder}/ticks.db`, SHORT);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

async function judge(
  name: string,
  url: string,
  transportOptions: Readonly<Record<string, unknown>>,
): Promise<void> {
  const id = crypto.randomUUID();
  const queue = new Queue(`dashi-ticks-${id}`);
  const table = `f-${id}`;
  const work = { url, queue: queue.name, table, transportOptions };
  const connection = createConnection(url, { onUnhandled: () => {} });
  await connection.declare(queue);
  let kills = 0;
  const counts = new Map<number, number>();
  let wanted = Infinity;
  let slowest = 0;
  const told = () => {
    const twice = [...counts.values()].filter((count) => count > 1).length;
    return `${counts.size} ticks, ${kills} kills, ${twice} came twice, the latest ${slowest} ms late`;
  };
  const enough = Promise.withResolvers<void>();
  let late: ReturnType<typeof setTimeout> | undefined;
  // Ticks whose token a killed process still held come when its lease is over, and a
  // machine that is busy makes up for all of them in its own time.
  const wait = () => {
    clearTimeout(late);
    late = setTimeout(
      () => enough.reject(new Error(`Ticks are left out: ${told()}`)),
      60_000,
    );
  };
  const consumer = connection.consumer(queue);
  const running = consumer.run(({ headers, properties }) => {
    const at = String(headers["x-scheduled-at"]);
    assertEquals(properties.messageId, `tick@${at}`);
    const tick = Date.parse(at);
    const isNews = !counts.has(tick);
    if (isNews) slowest = Math.max(slowest, Date.now() - tick);
    counts.set(tick, (counts.get(tick) ?? 0) + 1);
    // Those that nobody waits for come without end.
    if (isNews && tick < wanted && late !== undefined) wait();
    if (isWhole(counts, wanted)) enough.resolve();
  });
  const children = [start(work), start(work), start(work)];
  try {
    await Promise.all(children.map(ready));
    const end = Date.now() + DURATION;
    while (Date.now() + EVERY < end) {
      await sleep(EVERY);
      const at = kills++ % children.length;
      const killed = children[at];
      assert(killed !== undefined);
      await kill(killed);
      children[at] = start(work);
    }
    wanted = Date.now() + 1000;
    wait();
    await enough.promise.finally(() => clearTimeout(late));
  } finally {
    await Promise.all(children.map(kill));
    await consumer.close();
    await running;
    const channel = await connection.channel();
    await channel.deleteQueue(queue.name);
    await channel.deleteQueue(`dashi.schedules.${table}`);
    await connection.close();
  }
  assert(counts.size >= kills * EVERY / 1000, told());
  if (ALL) {
    // deno-lint-ignore no-console -- the figures are what the long run is for
    console.log(`${name}: ${told()}`);
  }
}
