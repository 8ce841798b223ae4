import { assertEquals } from "@std/assert";
import { createConnection, Exchange, Queue } from "@dashi/mq";
import { onEach } from "../support/targets.ts";

type Call = readonly [payload: string, attempt: number];

/** Runs a process until it ends, or all is over; tells of each call. */
async function consume(
  [url, queue]: readonly [string, string],
  over: AbortSignal,
  onCall: (call: Call) => void,
): Promise<void> {
  const script = new URL("./killer_child.ts", import.meta.url).pathname;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", script, url, queue],
    stdout: "piped",
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

onEach(
  "one killer among a hundred messages is a dead letter after its attempts, and the others are handled with all of theirs",
  async (url) => {
    const name = `dashi-killer-${crypto.randomUUID()}`;
    const connection = createConnection(url);
    const exchange = new Exchange(name, { type: "direct" });
    const dead = new Queue(`${name}-dead`, { exchange, routingKey: "dead" });
    const queue = new Queue(name, {
      deadLetterExchange: exchange,
      deadLetterRoutingKey: "dead",
    });
    const over = new AbortController();
    try {
      const producer = connection.producer<string>({
        routingKey: name,
        declare: [dead, queue],
      });
      for (let i = 0; i < 100; i++) {
        await producer.publish(i === 30 ? "killer" : `innocent ${i}`);
      }
      const calls: Call[] = [];
      const innocents = new Set<string>();
      let [isDead, isLate] = [false, false];
      const end = () => {
        if (isDead && innocents.size === 99) over.abort();
      };
      const late = setTimeout(() => {
        isLate = true;
        over.abort();
      }, 90_000);
      const burying = connection.consumer<string>(dead);
      const buried = burying.run(({ payload }) => {
        assertEquals(payload, "killer");
        isDead = true;
        end();
      });
      while (!over.signal.aborted) {
        await consume([url, name], over.signal, (call) => {
          calls.push(call);
          if (call[0] !== "killer") innocents.add(call[0]);
          end();
        });
      }
      clearTimeout(late);
      await burying.close();
      await buried;
      assertEquals([isLate, isDead, innocents.size], [false, true, 99]);
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
  },
  ["connection"],
  "it takes three visibility timeouts and more",
  ({ name }) =>
    name === "redis"
      ? "what a killed process held comes back after half a minute, three times"
      : undefined,
);
