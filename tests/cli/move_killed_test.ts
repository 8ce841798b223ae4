import { assert, assertEquals, assertMatch } from "@std/assert";
import { until } from "../conformance/support.ts";
import { apart } from "../support/apart.ts";
import { ALL } from "../support/targets.ts";
import { killedMove } from "./killed_move.ts";
import { BROKERS, Pair } from "./moving.ts";

const COUNT = 3000;
/** So many are on their way at once: the most that may be there twice. */
const IN_FLIGHT = 256;

const DIRECTIONS = [
  ["RabbitMQ", "Redis", ""],
  ["Redis", "RabbitMQ", " (it waits 30 s for a lease: deno task faults)"],
] as const;

for (const [a, b, slow] of DIRECTIONS) {
  const [from, to] = [a, b].map((each) => apart(BROKERS[each] ?? ""));
  const reason = !from || !to ? " (there is no broker)" : ALL ? "" : slow;
  Deno.test({
    name:
      `dashi move from ${a} to ${b}, killed in the middle and run again, loses nothing${reason}`,
    ignore: reason !== "",
    fn: () => killedInTheMiddle(from ?? "", to ?? ""),
  });
}

async function killedInTheMiddle(from: string, to: string): Promise<void> {
  // Slow enough that it is not done before it is killed.
  const { before, moved, lost, duplicated, code, err } = await killedMove(
    from,
    to,
    COUNT,
    COUNT / 10,
    ["--rate", "400/s"],
  );
  assertEquals([code, lost], [0, 0], err);
  assert(before < COUNT, `${before} were moved before it was killed`);
  assert(duplicated <= IN_FLIGHT, `${duplicated} are there twice`);
  assertEquals(before + moved, COUNT + duplicated);
}

Deno.test("dashi move that is interrupted finishes what is on its way, and ends with 130", async () => {
  await using pair = new Pair(
    "memory://interrupted-a",
    "memory://interrupted-b",
  );
  await pair.open();
  await pair.fill(1000);
  const { code, rows, err } = await pair.move(["--rate", "500/s"], {
    onInterrupt: (interrupt) =>
      void until(async () => {
        const status = await pair.target.queueStatus(pair.name).catch(() => {});
        return (status?.messageCount ?? 0) > 100;
      }, "some are moved").then(interrupt),
  });
  assertEquals(code, 130);
  assertMatch(err, /interrupted.*run it again/);
  const { moved, done } = rows.at(-1);
  assert(done && moved > 100 && moved < 1000, `${moved}`);
  assertEquals((await pair.target.queueStatus(pair.name)).messageCount, moved);
  const { messageCount } = await pair.source.queueStatus(pair.name);
  assertEquals(messageCount, 1000 - moved);
  const rest = await pair.move();
  assertEquals([rest.code, rest.rows.at(-1).moved], [0, 1000 - moved]);
  assertEquals((await pair.arrived()).size, 1000);
});
