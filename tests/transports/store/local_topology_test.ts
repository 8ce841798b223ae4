/** The library's own tables, where a store has none. */

import { assertEquals, assertRejects } from "@std/assert";
import { SYSTEM_CLOCK } from "../../../async/clock.ts";
import { AccessRefusedError, NotFoundError } from "../../../model/errors.ts";
import { MemoryBroker } from "../../../transports/memory/broker.ts";
import { MemoryStore } from "../../../transports/memory/store.ts";
import { LocalTopology } from "../../../transports/store/local_topology.ts";
import {
  createStoreTransport,
  type Store,
} from "../../../transports/store/mod.ts";
import { planDeclareQueue, planDeleteQueue } from "../../../virtual/mod.ts";
import { parseUrl } from "../../../url/mod.ts";
import { changed, message, QUEUE } from "../../support/stores.ts";

/** A channel of a store that keeps no tables, and what its queues were told. */
async function withoutTables() {
  const broker = new MemoryBroker(SYSTEM_CLOCK);
  const told: string[] = [];
  const given: unknown[] = [];
  const memory = new MemoryStore(broker, { clock: SYSTEM_CLOCK });
  const change = async (plan: ReturnType<typeof planDeclareQueue>) => {
    const { version } = await memory.topology.read({ type: "queue", name: "" });
    return await memory.topology.apply(plan, version);
  };
  const refused = new Set<string>();
  const { topology: _, ...rest } = changed(memory, {});
  const store: Store = {
    ...rest,
    // It knows neither what others have declared nor which queues there are.
    capabilities: new Set(
      [...rest.capabilities].filter((each) =>
        each !== "known-queues" && each !== "shared-topology"
      ),
    ),
    queues: {
      create: async (queue, options) => {
        told.push(`create ${queue.name}`);
        given.push(options?.deadline);
        if (refused.has(queue.name)) throw new AccessRefusedError("no");
        await change(planDeclareQueue(broker.topology, queue, "me"));
      },
      delete: async (name, options) => {
        told.push(`delete ${name}`);
        given.push(options?.deadline);
        const what = { name, ifUnused: false, ifEmpty: false };
        const plan = planDeleteQueue(broker.topology, what, "me");
        const result = await change(plan);
        return result.type === "applied" ? result.messageCount : 0;
      },
    },
  };
  const connection = await createStoreTransport({
    name: "without",
    open: () => Promise.resolve(store),
  }).connect(parseUrl("without://"), {
    heartbeat: 0,
    transportOptions: {},
    operationTimeout: 5000,
    owner: "me",
    clock: SYSTEM_CLOCK,
  });
  const channel = await connection.openChannel();
  return { connection, channel, told, given, refused };
}

Deno.test("a store without tables is told of its queues alone, with the call's limits, and routes by the library's", async () => {
  const { connection, channel, told, given } = await withoutTables();
  const deadline = SYSTEM_CLOCK.now() + 5000;
  await channel.declareQueue(QUEUE, { deadline });
  const publish = () =>
    channel.publish({ ...message("amq.fanout", ""), mandatory: true });
  assertEquals((await publish()).type, "returned");
  const binding = {
    source: "amq.fanout",
    destination: { kind: "queue", name: "q" },
    routingKey: "",
    arguments: {},
  } as const;
  // The view that the message before was routed by is old at once.
  await channel.bind(binding, { deadline });
  assertEquals(await publish(), { type: "accepted", queues: 1 });
  await channel.unbind(binding, { deadline });
  assertEquals((await publish()).type, "returned");
  await assertRejects(
    () => channel.deleteQueue("q", { ifEmpty: true }),
    Error,
    "it has messages",
  );
  assertEquals(await channel.deleteQueue("q", { deadline }), 1);
  await assertRejects(() => channel.checkQueue("q"), NotFoundError);
  assertEquals(told, ["create q", "delete q"]);
  assertEquals(given, [deadline, deadline]);
  await connection[Symbol.asyncDispose]();
});

Deno.test("an entity that the broker refuses to make is not in the library's tables, and may be made later", async () => {
  const { connection, channel, told, refused } = await withoutTables();
  refused.add("q");
  await assertRejects(() => channel.declareQueue(QUEUE), AccessRefusedError);
  await assertRejects(() => channel.checkQueue("q"), NotFoundError);
  refused.clear();
  await channel.declareQueue(QUEUE);
  assertEquals((await channel.checkQueue("q")).messageCount, 0);
  assertEquals(told, ["create q", "create q"]);
  await connection[Symbol.asyncDispose]();
});

Deno.test("apply() refuses what was planned on older tables, also where they change while it counts", async () => {
  const tables: LocalTopology = new LocalTopology({
    count: () => {
      tables.change({ type: "queue-declared", queue: QUEUE, owner: undefined });
      return Promise.resolve(0);
    },
  });
  const deleted = { type: "queue-deleted", name: "q", ifEmpty: true } as const;
  const { version, routes } = await tables.read();
  assertEquals(await tables.apply([deleted], version), { type: "stale" });
  assertEquals(await tables.apply([], version), { type: "stale" });
  const consumer = { consumerTag: "1", owner: "me", exclusive: false };
  const before = await tables.read();
  tables.change({ type: "consumer-added", queue: "q", consumer });
  const after = await tables.read();
  assertEquals(after.routes, before.routes);
  assertEquals(before.routes === routes, false);
  assertEquals(after.version === before.version, false);
});
