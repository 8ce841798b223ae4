import { assertEquals } from "@std/assert";
import { createConnection } from "@dashi/mq";
import { apart } from "../support/apart.ts";
import { onEach } from "../support/targets.ts";
import type { KillerWork } from "./killer_child.ts";
import { graveOf } from "./killer_queues.ts";

type Call = readonly [payload: string, attempt: number];

/** Runs a process until it ends, or all is over; tells of each call. */
async function consume(
  work: KillerWork,
  over: AbortSignal,
  onCall: (call: Call) => void,
): Promise<void> {
  const script = new URL("./killer_child.ts", import.meta.url).pathname;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", script, JSON.stringify(work)],
    stdout: "piped",
    stderr: "null",
    signal: over,
  }).spawn();
  let rest = "";
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) onCall(JSON.parse(line));
  }
  await child.status;
}

/** Of those whose leases are not the connection's: what a killed process held comes back soon. */
const SHORT: Readonly<Record<string, unknown>> = { visibilityTimeout: 5000 };
const LEASING: ReadonlySet<string> = new Set(["couchdb", "mongodb", "redis"]);

async function bury(
  url: string,
  count: number,
  given: Pick<KillerWork, "how" | "backoff" | "transportOptions">,
): Promise<void> {
  const name = `dashi-killer-${crypto.randomUUID()}`;
  const connection = createConnection(url, {
    transportOptions: given.transportOptions,
  });
  const [dead, queue] = graveOf(name);
  const over = new AbortController();
  try {
    const producer = connection.producer<string>({
      routingKey: name,
      declare: [dead, queue],
    });
    for (let i = 0; i < count; i++) {
      await producer.publish(
        i === Math.floor(count / 3) ? "killer" : `innocent ${i}`,
      );
    }
    const calls: Call[] = [];
    const innocents = new Set<string>();
    let [isDead, isLate] = [false, false];
    const end = () => {
      if (isDead && innocents.size === count - 1) over.abort();
    };
    const late = setTimeout(() => {
      isLate = true;
      over.abort();
    }, 120_000);
    const burying = connection.consumer<string>(dead);
    const letters: string[] = [];
    const buried = burying.run(({ payload }) => {
      letters.push(payload);
      isDead = true;
      end();
    });
    while (!over.signal.aborted) {
      await consume({ url, queue: name, ...given }, over.signal, (call) => {
        calls.push(call);
        if (call[0] !== "killer") innocents.add(call[0]);
        end();
      });
    }
    clearTimeout(late);
    await burying.close();
    await buried;
    assertEquals([isLate, isDead, innocents.size], [false, true, count - 1]);
    assertEquals(new Set(letters), new Set(["killer"]));
    const killed = calls.filter(([payload]) => payload === "killer");
    assertEquals(killed.length, 3);
    const others = calls.filter(([payload]) => payload !== "killer");
    assertEquals(new Set(others.map(([, attempt]) => attempt)), new Set([1]));
  } finally {
    over.abort();
    const channel = await connection.channel();
    for (const each of [name, dead.name]) await channel.deleteQueue(each);
    await channel.deleteExchange(name);
    await connection.close();
  }
}

onEach(
  "one killer among a hundred messages is a dead letter after its attempts, and the others are handled with all of theirs",
  (url, { name }) =>
    bury(apart(url), 100, {
      how: "killed",
      backoff: 0,
      transportOptions: LEASING.has(name) ? SHORT : {},
    }),
);

onEach(
  "a message whose handler throws where nobody catches it, and whose retries wait, is a dead letter after its attempts, and the others are handled with all of theirs",
  (url, { name }) =>
    bury(apart(url), 12, {
      how: "uncaught",
      backoff: 1000,
      transportOptions: LEASING.has(name) ? SHORT : {},
    }),
);
