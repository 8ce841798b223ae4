import { assert, assertEquals, assertMatch } from "@std/assert";
import { Queue } from "@dashi/mq";
import { until } from "../conformance/support.ts";
import { BROKERS, Pair } from "./moving.ts";
import { started } from "./running.ts";

Deno.test("dashi move with --dedupe puts what the target has had nowhere", async () => {
  await using pair = new Pair("memory://again-a", "memory://again-b");
  await pair.open();
  await pair.fill(5);
  const dedupe = ["--dedupe", "3600"];
  const first = await pair.move([...dedupe, "--limit", "3"]);
  assertEquals([first.code, first.rows.at(-1).moved], [0, 3]);
  // As if the program had been killed before it could ack them.
  await pair.fill(5);
  await pair.source.send(pair.name, "without an id", { messageId: "" });
  const { code, rows } = await pair.move(dedupe);
  const { moved, duplicates } = rows.at(-1);
  assertEquals([code, moved, duplicates], [0, 8, 5]);
  const arrived = await pair.arrived();
  assertEquals(arrived.size, 6);
  assert([...arrived.values()].every((count) => count === 1));
});

Deno.test({
  name:
    `dashi move with --dedupe moves nothing where no message is known again${
      BROKERS.RabbitMQ ? "" : " (there is no RabbitMQ)"
    }`,
  ignore: !BROKERS.RabbitMQ,
  fn: async () => {
    await using pair = new Pair("memory://again-c", BROKERS.RabbitMQ ?? "");
    await pair.open();
    await pair.fill(2);
    const { code, out, err } = await pair.move(["--dedupe", "3600"]);
    assertEquals([code, out], [1, ""]);
    assertMatch(err, /--dedupe.*capability "dedupe"/);
    assertEquals((await pair.source.queueStatus(pair.name)).messageCount, 2);
  },
});

for (const broker of ["memory", "Redis", "RabbitMQ"]) {
  const url = BROKERS[broker];
  for (const durable of [true, false]) {
    const kind = durable ? "a lasting" : "a transient";
    Deno.test({
      name:
        `dashi move leaves ${kind} auto-delete queue of ${broker} with what it does not move${
          url ? "" : " (there is no broker)"
        }`,
      ignore: !url,
      fn: () => leaveSome(url ?? "", durable),
    });
  }
}

async function leaveSome(url: string, durable: boolean): Promise<void> {
  await using pair = new Pair(url, "memory://auto-delete");
  await pair.open(new Queue(pair.name, { autoDelete: true, durable }));
  await pair.fill(50);
  const some = await pair.move(["--limit", "10"]);
  assertEquals([some.code, some.rows.at(-1).moved], [0, 10], some.err);
  assertEquals((await pair.source.queueStatus(pair.name)).messageCount, 40);
  const rest = await pair.move();
  assertEquals([rest.code, rest.rows.at(-1).moved], [0, 40], rest.err);
  assertEquals((await pair.arrived()).size, 50);
}

Deno.test({
  name: `dashi move, interrupted as a process, finishes what is on its way${
    BROKERS.Redis && BROKERS.RabbitMQ ? "" : " (there is no broker)"
  }`,
  ignore: !BROKERS.Redis || !BROKERS.RabbitMQ,
  fn: () => interrupted(BROKERS.Redis ?? "", BROKERS.RabbitMQ ?? ""),
});

async function interrupted(from: string, to: string): Promise<void> {
  const count = 1000;
  await using pair = new Pair(from, to);
  await pair.open();
  await pair.fill(count);
  const child = started(["move", pair.name, "--rate", "100/s"], {
    DASHI_URL: from,
    DASHI_TO_URL: to,
  });
  const output = child.output();
  await until(async () => {
    const status = await pair.target.queueStatus(pair.name).catch(() => {});
    return (status?.messageCount ?? 0) > count / 10;
  }, "some are moved");
  child.kill("SIGINT");
  const { code, stdout, stderr } = await output;
  const err = new TextDecoder().decode(stderr);
  assertEquals(code, 130, err);
  assertMatch(err, /interrupted/);
  const rows = new TextDecoder().decode(stdout).trim().split("\n");
  const { moved, done } = JSON.parse(rows.at(-1) ?? "");
  assert(done && moved < count, `${moved}`);
  const left = await pair.source.queueStatus(pair.name);
  assertEquals(left.messageCount, count - moved);
  const arrived = await pair.arrived();
  assertEquals(arrived.size, moved);
}

Deno.test("dashi move, interrupted while its rate has it wait, gives back what waits, and ends", async () => {
  const url = BROKERS.Redis ?? "memory://rate-from";
  await using pair = new Pair(url, "memory://rate-to");
  await pair.open();
  await pair.fill(5);
  const { code, rows, err } = await pair.move(["--rate", "1/h"], {
    onInterrupt: (interrupt) => {
      until(async () => {
        const status = await pair.target.queueStatus(pair.name);
        return status.messageCount === 1 &&
          (await pair.source.queueStatus(pair.name)).messageCount === 3;
      }, "the second waits for its turn").then(interrupt);
    },
  });
  assertEquals(code, 130, err);
  const { moved, ready, unacked } = rows.at(-1);
  assertEquals([moved, ready, unacked], [1, 4, 0]);
  assertMatch(err, /^dashi: interrupted[^\n]*\n$/);
});
