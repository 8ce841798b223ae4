import { assert, assertEquals } from "@std/assert";
import { SYSTEM_CLOCK } from "../../../async/clock.ts";
import { MemoryBroker } from "../../../transports/memory/broker.ts";
import { MemoryStore } from "../../../transports/memory/store.ts";
import {
  type Capability,
  createStoreTransport,
  type Store,
} from "../../../transports/store/mod.ts";
import type { TransportConnection } from "../../../transports/transport.ts";
import { parseUrl } from "../../../url/mod.ts";
import { Topology } from "../../../virtual/mod.ts";
import {
  bindingOf,
  exchangeOf,
  queueOf,
} from "../../support/redis_transport.ts";
import { changed } from "../../support/stores.ts";

Deno.test("what other programs have declared is listed where the store knows of it, beside its own tables", async () => {
  const tables = new Topology();
  const binding = bindingOf("theirs", "q", "k");
  tables.apply({ type: "exchange-declared", exchange: exchangeOf("theirs") });
  tables.apply({ type: "queue-declared", queue: queueOf("q"), owner: "" });
  tables.apply({ type: "bound", binding });
  const counts = {
    ready: 2,
    delayed: 0,
    unacked: 0,
    oldestAge: undefined,
    bytes: undefined,
  };
  const connection = await connectTo({
    look: (queues) => Promise.resolve(queues.map(() => counts)),
    tables: () => Promise.resolve(tables),
  });
  const { inspection } = connection;
  assert(inspection !== undefined);
  const exchanges = await inspection.exchanges();
  assertEquals(exchanges.filter(({ name }) => name === "theirs").length, 1);
  assertEquals(await inspection.bindings(), [binding]);
  const listed: unknown[] = [];
  for await (const page of inspection.queues(() => ({}))) listed.push(...page);
  assertEquals(listed, [{
    name: "q",
    declaration: undefined,
    ...counts,
    consumers: 0,
  }]);
  await connection[Symbol.asyncDispose]();
});

Deno.test("a queue of which the store knows no messages is empty, where stores do not know queues", async () => {
  const tables = new Topology();
  tables.apply({ type: "queue-declared", queue: queueOf("q"), owner: "" });
  const connection = await connectTo({
    look: (queues) => Promise.resolve(queues.map(() => undefined)),
    tables: () => Promise.resolve(tables),
  }, ["known-queues"]);
  const info = await connection.inspection?.queue("q", {});
  assert(info !== undefined);
  const { ready, delayed, unacked, oldestAge } = info;
  assertEquals([ready, delayed, unacked, oldestAge], [0, 0, 0, undefined]);
  await connection[Symbol.asyncDispose]();
});

/** Connects to a memory store that has this inspection, and not all capabilities. */
function connectTo(
  inspection: NonNullable<Store["inspection"]>,
  without: readonly Capability[] = [],
): Promise<TransportConnection> {
  const transport = createStoreTransport({
    name: "inspected",
    open(_, options) {
      const inner = new MemoryStore(new MemoryBroker(SYSTEM_CLOCK), options);
      const capabilities = inner.capabilities.difference(new Set(without));
      return Promise.resolve({
        ...changed(inner, {}),
        capabilities,
        inspection,
      });
    },
  });
  return transport.connect(parseUrl("inspected://"), {
    heartbeat: 0,
    transportOptions: {},
    operationTimeout: 1000,
    owner: "me",
    clock: SYSTEM_CLOCK,
  });
}
