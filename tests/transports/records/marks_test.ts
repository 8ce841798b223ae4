import { assert, assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import type { Store } from "@dashi/mq/store";
import { memoryRecordsTransport } from "../../support/memory_records.ts";

Deno.test("marks of messages that were published once go with a heartbeat after their window", async () => {
  const records = memoryRecordsTransport();
  let store: Store | undefined;
  const transport = records.wrapping((each) => store = each);
  await using connection = createConnection("memory-records:///marks", {
    transport,
  });
  const queue = new Queue("orders");
  const send = (id: number, window: number) =>
    connection.send(queue, id, { dedupe: { id: String(id), window } });
  for (let id = 1; id <= 20; id++) await send(id, 1);
  await send(21, 600_000);
  await new Promise((resolve) => setTimeout(resolve, 5));
  await store?.presence?.heartbeat("somebody", 30_000);
  const database = records.databases.get("marks");
  assert(database !== undefined);
  // The one that stays, and the record that says until when.
  const left = database.ids.filter((each) => /^[dx]\//.test(each));
  assertEquals(left.map(([kind]) => kind), ["d", "x"]);
  assertEquals(await send(21, 600_000), { duplicate: true });
  assertEquals((await connection.declare(queue)).messageCount, 21);
});
