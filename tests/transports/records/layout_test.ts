/** The records that the engine writes, and the processes of other versions that meet them. */

import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { SYSTEM_CLOCK } from "../../../async/clock.ts";
import type { Draft, Fields, Row } from "../../../transports/records/mod.ts";
import type { Store, TopologyView } from "../../../transports/store/store.ts";
import { connect } from "../../conformance/broker.ts";
import { publishing, rejectsWith, textOf } from "../../conformance/support.ts";
import { memoryRecordsTransport } from "../../support/memory_records.ts";

const QUEUE = {
  name: "q",
  durable: true,
  exclusive: false,
  autoDelete: false,
  arguments: {},
};

/** A database of a test's own. */
function stage() {
  const transport = memoryRecordsTransport();
  const harness = {
    transport,
    url: "memory-records:///layout",
    transportOptions: { lease: 60_000 },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  return {
    harness,
    write: (draft: Draft) => transport.databases.get("layout")?.write(draft),
    stall(): () => void {
      const { promise, resolve } = Promise.withResolvers<void>();
      const database = transport.databases.get("layout");
      assert(database !== undefined);
      database.stalled = promise;
      return resolve;
    },
    get rows(): Map<string, Row> {
      return transport.databases.get("layout")?.rows ?? new Map();
    },
    fields(prefix: string): readonly Fields[] {
      return [...this.rows.values()].filter(({ id }) => id.startsWith(prefix))
        .map(({ fields }) => fields ?? {});
    },
  };
}

Deno.test("a consumer that comes or goes leaves the routes as they are", async () => {
  const { harness } = stage();
  let store: Store | undefined;
  const transport = harness.transport.wrapping((each) => store = each);
  await using connection = await connect({ ...harness, transport });
  const channel = await connection.openChannel();
  await channel.declareQueue(QUEUE);
  const read = async (): Promise<TopologyView> => {
    assert(store?.topology !== undefined);
    return await store.topology.read({ type: "queue", name: "q" });
  };
  const before = await read();
  await channel.consume("q", () => {}, { prefetch: 1 });
  const during = await read();
  assertNotEquals(during.version, before.version);
  assertEquals(during.routes, before.routes);
  await channel.declareQueue({ ...QUEUE, name: "other" });
  assertNotEquals((await read()).routes, before.routes);
});

Deno.test("the deadline of a read bounds what is noted of a queue that expires", async () => {
  const test = stage();
  const { harness } = test;
  const declared = { ...QUEUE, arguments: { "x-expires": 600_000 } };
  {
    await using first = await connect(harness);
    await (await first.openChannel()).declareQueue(declared);
  }
  let store: Store | undefined;
  const transport = harness.transport.wrapping((each) => store = each);
  await using _connection = await connect({ ...harness, transport });
  assert(store?.topology !== undefined);
  test.write({
    id: "u/q",
    revision: test.rows.get("u/q")?.revision,
    fields: undefined,
    action: "forget",
  });
  const goOn = test.stall();
  const reading = store.topology.read({ type: "queue", name: "q" }, {
    deadline: SYSTEM_CLOCK.now() + 50,
  });
  await rejectsWith(reading, "timed-out", 'use queue "q"');
  goOn();
});

Deno.test("the topology carries the layout's version, and a process that knows another one refuses before it writes", async () => {
  const test = stage();
  await using connection = await connect(test.harness);
  const channel = await connection.openChannel();
  await channel.declareQueue(QUEUE);
  const topology = test.rows.get("topology");
  assertEquals(topology?.fields?.layout, 1);
  assert(topology !== undefined);
  test.rows.set("topology", {
    ...topology,
    revision: "9",
    fields: { ...topology.fields, layout: 2 },
  });
  const rows = [...test.rows];
  const text = "its records have layout 2";
  await rejectsWith(connect(test.harness), "precondition-failed", text);
  // One that has connected before notices it with its next look.
  const publish = channel.publish(publishing("", "q", "x"));
  await rejectsWith(publish, "precondition-failed", text);
  assertEquals([...test.rows], rows);
});

Deno.test("0.1.0 takes a lease of ours for alive: it says until when", async () => {
  const test = stage();
  await using connection = await connect(test.harness);
  const channel = await connection.openChannel();
  await channel.declareQueue(QUEUE);
  await channel.publish(publishing("", "q", "x"));
  assertEquals(textOf(await channel.get("q")), "x");
  const [lease] = test.fields("h/");
  assert(lease !== undefined);
  const { until, owner, queues } = lease;
  assertEquals([typeof owner, queues], ["string", ["q"]]);
  assert(typeof until === "number");
  assert(until > Date.now() + 30_000, `${until}`);
});

Deno.test("a lease, tables and a message of 0.1.0 are read as it meant them", async () => {
  const test = stage();
  const first = await connect(test.harness);
  await (await first.openChannel()).declareQueue(QUEUE);
  await (await first.openChannel()).publish(publishing("", "q", "free"));
  await (await first.openChannel()).publish(publishing("", "q", "taken"));
  await first[Symbol.asyncDispose]();
  // As 0.1.0 writes them: no mark of the layout or of routes, no generation of a queue.
  const old = "h/old/1";
  for (const row of [...test.rows.values()]) {
    const { id, fields = {} } = row;
    if (id === "topology") {
      const tables = JSON.parse(String(fields.tables));
      for (const each of tables.queues) delete each.born;
      const stored = { tables: JSON.stringify(tables) };
      test.rows.set(id, { ...row, fields: stored });
    } else if (id.startsWith("m/") && /taken/.test(decoded(fields))) {
      const taken = { ...fields, holder: old };
      test.rows.set(id, { id, revision: "2", fields: taken });
    }
  }
  const until = Date.now() + 60_000;
  const fields = { owner: "old", until, queues: ["q"] };
  test.write({ id: old, revision: undefined, fields, action: "renew" });
  await using connection = await connect(test.harness, {
    clock: SYSTEM_CLOCK,
  });
  const channel = await connection.openChannel();
  assertEquals(textOf(await channel.get("q", { noAck: true })), "free");
  // The lease of the other is not over: what it took stays its own.
  assertEquals(await channel.get("q"), undefined);
  assertEquals(test.rows.get(old)?.revision, "1");
});

function decoded({ envelope }: Fields): string {
  const { body } = JSON.parse(String(envelope));
  return atob(body);
}
