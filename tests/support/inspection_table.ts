/** The table of docs/inspection.md, and whether a broker tells what it says. */

import { assert, assertEquals } from "@std/assert";
import { type Connection, Queue, type QueueInfo } from "@dashi/mq";
import { until } from "../brokers/server.ts";

/** The fields in the order of the table's rows. */
const FIELDS = [
  "ready",
  "delayed",
  "unacked",
  "consumers",
  "oldestAge",
  "bytes",
  "published",
  "consumed",
] as const satisfies readonly (keyof QueueInfo)[];

/** Reads a broker's column: for each field `✓`, nothing, or the mark of those that need a timestamp. */
async function columnOf(broker: string): Promise<readonly string[]> {
  const page = new URL("../../docs/inspection.md", import.meta.url);
  const text = await Deno.readTextFile(page);
  const [, part = ""] = text.split(/<!-- (?:end of )?numbers.*-->/);
  const [head = [], , ...rows] = part.trim().split("\n").map((line) =>
    line.split("|").map((each) => each.trim())
  );
  const column = head.findIndex((each) => each.replace("¹", "") === broker);
  assert(column > 0, broker);
  assertEquals(rows.length, FIELDS.length);
  return rows.map((row) => row[column] ?? "");
}

/** Checks that a broker tells those numbers that the table says it tells. */
export async function checkNumbers(
  connection: Connection,
  broker: string,
): Promise<void> {
  const column = await columnOf(broker);
  const queues = ["with", "without"].map((name) =>
    new Queue(`dashi-${name}-${crypto.randomUUID()}`)
  );
  const [timed, plain] = queues;
  assert(timed !== undefined && plain !== undefined);
  const timestamp = new Date(Date.now() - 60_000);
  try {
    await connection.send(timed, 1, { timestamp });
    await connection.send(plain, 1);
    const told = async (queue: Queue) => {
      const info = await connection.inspect().queue(queue);
      return FIELDS.map((field) => info[field] !== undefined);
    };
    const expected = (hasTimestamp: boolean) =>
      column.map((cell) => cell === "✓" || (cell === "²" && hasTimestamp));
    for (const [queue, has] of [[timed, true], [plain, false]] as const) {
      const wanted = expected(has);
      let found: readonly boolean[] = [];
      // RabbitMQ gathers them after a while.
      await until(`${FIELDS} as in the table`, 30_000, async () => {
        found = await told(queue);
        return !wanted.some((each, i) => each && !found[i]);
      });
      assertEquals(found, wanted, `${FIELDS}`);
    }
  } finally {
    for (const queue of queues) await connection.delete(queue);
  }
}
