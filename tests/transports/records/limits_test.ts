/** The limits of calls, and of a database, under the engine for records. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  type Connection,
  createConnection,
  OptionError,
  Queue,
  TimeoutError,
} from "@dashi/mq";
import {
  type MemoryDatabase,
  memoryRecordsTransport,
} from "../../support/memory_records.ts";

interface Setting extends AsyncDisposable {
  readonly connection: Connection;
  readonly database: MemoryDatabase;
}

async function setUp(): Promise<Setting> {
  const transport = memoryRecordsTransport();
  const connection = createConnection("memory-records:///x", { transport });
  await connection.send(new Queue("orders"), 0);
  const database = transport.databases.get("x");
  assert(database !== undefined);
  return {
    connection,
    database,
    [Symbol.asyncDispose]: () => connection.close(),
  };
}

Deno.test("get() heeds its limits while no write is answered, and what it takes after that goes back", async () => {
  await using setting = await setUp();
  const { connection, database } = setting;
  const orders = connection.queue("orders");
  const answered = Promise.withResolvers<void>();
  database.stalled = answered.promise;
  try {
    await assertRejects(() => orders.get({ timeout: 50 }), TimeoutError);
    const reason = new Error("stop");
    const aborting = new AbortController();
    const got = orders.get({ signal: aborting.signal });
    aborting.abort(reason);
    assertEquals(await got.catch((error: unknown) => error), reason);
  } finally {
    database.stalled = undefined;
    answered.resolve();
  }
  for await (const message of connection.consumer("orders")) {
    assertEquals(message.payload, 0);
    await message.ack();
    break;
  }
});

Deno.test("putBack() of a quarantine reaches all of many, and one at the end by its id", async () => {
  await using setting = await setUp();
  const { connection, database } = setting;
  const row = [...database.rows.values()].find(({ id }) => id.startsWith("m/"));
  assert(row !== undefined);
  const [, start, time, rest] =
    /^(m\/orders\/\d\/)(\d{18})(.*)$/.exec(row.id) ??
      [];
  const { fields } = row;
  for (let i = 0; i < 250; i++) {
    const id = `a/${start}${BigInt(time ?? 0) + BigInt(i)}${rest}`;
    database.write({ id, revision: undefined, fields, action: "quarantine" });
  }
  const quarantine = connection.quarantine("orders");
  const all = await quarantine.list({ limit: 1000 });
  assertEquals(all.length, 250);
  assertEquals(await quarantine.putBack(all.slice(-1)), 1);
  assertEquals(await quarantine.putBack(), 249);
  assertEquals(await quarantine.list(), []);
});

for (const lease of [-5, 0, NaN, "30s"]) {
  Deno.test(`a lease of ${lease} is refused`, async () => {
    const transport = memoryRecordsTransport();
    const connection = createConnection("memory-records:///x", {
      transport,
      transportOptions: { lease },
    });
    const error = await assertRejects(() => connection.connect(), OptionError);
    assert(error.message.includes(`"limits.lease"`), error.message);
    await connection.close();
  });
}
