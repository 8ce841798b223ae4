import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { createConnection, NotFoundError } from "@dashi/mq";
import { onTerminal, started } from "./running.ts";

for (
  const [broker, url] of [
    ["memory", `memory://${crypto.randomUUID()}`],
    ["Redis", Deno.env.get("DASHI_TEST_REDIS_URL")],
    ["Redis Cluster", Deno.env.get("DASHI_TEST_REDIS_CLUSTER_URL")],
    ["RabbitMQ", Deno.env.get("DASHI_TEST_AMQP_URL")],
  ] as const
) {
  const name = url === undefined ? " (there is no broker)" : "";
  Deno.test({
    name:
      `dashi bench measures each part, and deletes its queue: ${broker}${name}`,
    ignore: url === undefined,
    fn: () => measure(url ?? ""),
  });
  if (broker === "memory") continue; // its queue ends with the process
  Deno.test({
    name:
      `dashi bench deletes its queue when it is interrupted: ${broker}${name}`,
    ignore: url === undefined,
    fn: () => interrupt(url ?? ""),
  });
}

async function measure(url: string): Promise<void> {
  const args = ["bench", "--messages", "30", "--size", "10", "--json"];
  const { code, out, err } = await onTerminal(args, url, 80);
  assertEquals(code, 0);
  const rows = out.trim().split("\n").map((each) => JSON.parse(each));
  assertEquals(
    rows.map(({ part, messages }) => [part, messages]),
    [["publish", 30], ["consume", 30], ["one by one", 30]],
  );
  for (const { perSecond, p50, p99 } of rows) {
    assert(perSecond > 0 && p50 <= p99, JSON.stringify(rows));
  }
  assertMatch(err, /30 messages of 10 bytes, 100 at once/);
  await isGone(url, nameIn(err));
}

async function interrupt(url: string): Promise<void> {
  const child = started(["bench", "--messages", "100000000"], {
    DASHI_URL: url,
  });
  const [out, reader] = [child.stdout.cancel(), child.stderr.getReader()];
  let told = "";
  while (!told.includes("\n")) {
    const { value, done } = await reader.read();
    if (done) break;
    told += new TextDecoder().decode(value);
  }
  const name = nameIn(told);
  await using connection = createConnection(url);
  const count = async () => (await connection.queueStatus(name)).messageCount;
  while (await count().catch(() => 0) === 0) { /* it has not begun */ }
  child.kill("SIGINT");
  const [{ code }] = await Promise.all([child.status, reader.cancel(), out]);
  assertEquals(code, 130);
  await isGone(url, name);
}

function nameIn(told: string): string {
  return /queue "([^"]+)"/.exec(told)?.[1] ?? "";
}

async function isGone(url: string, name: string): Promise<void> {
  await using connection = createConnection(url);
  assertMatch(name, /^dashi-bench-/);
  await assertRejects(() => connection.check(name), NotFoundError);
}
