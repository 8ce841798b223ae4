import { assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { arrives, unique } from "../../conformance/support.ts";
import { test, withSchema } from "../../support/postgres_client.ts";
import { Starts } from "../../../transports/postgres/starts.ts";

/** So many rows, whose numbers begin at one. */
function rowsFrom(first: number, count: number) {
  return Array.from({ length: count }, (_, i) => ({ id: first + i }));
}

Deno.test("takes of a long queue begin behind what was taken, and now and then at the beginning", () => {
  const starts = new Starts();
  const froms: number[] = [];
  for (let i = 0; i < 24; i++) {
    const from = starts.of(1);
    froms.push(from);
    const rows = rowsFrom(1 + 100 * i, 100);
    starts.took(1, { from, rows, limit: 100 });
  }
  // Five takes until it is worth while, then sixteen, one from the beginning, and on.
  const behind = Array.from({ length: 16 }, (_, i) => 501 + 100 * i);
  assertEquals(froms, [0, 0, 0, 0, 0, ...behind, 0, 2201, 2301]);
  assertEquals(starts.of(2), 0);
});

Deno.test("a take that has found less than it asked for has seen all", () => {
  const starts = new Starts();
  starts.took(1, { from: 0, rows: rowsFrom(1, 500), limit: 500 });
  assertEquals(starts.of(1), 501);
  starts.took(1, { from: 501, rows: rowsFrom(501, 3), limit: 500 });
  assertEquals(starts.of(1), 0);
});

test("a long queue keeps its order though others declare, by which takes are undone and done again", (server) =>
  withSchema(server, async (url) => {
    const count = 700;
    await using connection = createConnection(url);
    await using other = createConnection(url);
    const queue = new Queue(unique("queue"));
    await connection.declare(queue);
    await Promise.all(
      Array.from({ length: count }, (_, i) => connection.send(queue, i)),
    );
    const payloads: unknown[] = [];
    const acks: Promise<void>[] = [];
    const consumer = connection.consumer(queue, { prefetch: 50 });
    await arrives(
      (async () => {
        for await (const message of consumer) {
          payloads.push(message.payload);
          acks.push(message.ack());
          if (payloads.length === count) break;
          // From 500 on takes begin behind what was taken.
          if (payloads.length % 20 === 0) {
            await other.declare(new Queue(unique("another")));
          }
        }
        await Promise.all(acks);
      })(),
      "all messages",
    );
    assertEquals(payloads, Array.from({ length: count }, (_, i) => i));
  }));
