import { assert, assertEquals, assertMatch } from "@std/assert";
import { createConnection, Exchange, Queue } from "@dashi/mq";
import { memoryRecordsTransport } from "../../support/memory_records.ts";

Deno.test("the ids of the longest names fit what the contract says: 2,400 characters of printable ASCII", async () => {
  const transport = memoryRecordsTransport();
  await using connection = createConnection("memory-records:///ids", {
    transport,
  });
  const longest = "é".repeat(127); // 254 of 255 bytes, each of which is escaped
  const exchange = new Exchange(longest, { type: "fanout" });
  const queue = new Queue(longest, { exchange });
  await connection.declare(queue);
  await connection.producer({ exchange }).publish("", {
    routingKey: longest,
    expiration: 60_000,
    dedupe: { id: longest, window: 60_000 },
  });
  const ids = transport.databases.get("ids")?.ids ?? [];
  const kinds = new Set(ids.map(([kind]) => kind));
  assertEquals(kinds, new Set(["d", "m", "t", "x"]));
  for (const id of ids) {
    assertMatch(id, /^[\x20-\x7e]+$/);
    assert(id.length <= 2400, `${id.length}: ${id}`);
  }
  assert(Math.max(...ids.map(({ length }) => length)) > 2200);
});
