import { assert, assertEquals } from "@std/assert";
import { SYSTEM_CLOCK } from "../../../async/clock.ts";
import { MemoryBroker } from "../../../transports/memory/broker.ts";
import { MemoryStore } from "../../../transports/memory/store.ts";
import { createStoreTransport } from "../../../transports/store/mod.ts";
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
  const transport = createStoreTransport({
    name: "inspected",
    open(_, options) {
      const inner = new MemoryStore(new MemoryBroker(SYSTEM_CLOCK), options);
      return Promise.resolve({
        ...changed(inner, {}),
        inspection: {
          look: (queues) => Promise.resolve(queues.map(() => counts)),
          tables: () => Promise.resolve(tables),
        },
      });
    },
  });
  const connection = await transport.connect(parseUrl("inspected://"), {
    heartbeat: 0,
    transportOptions: {},
    operationTimeout: 1000,
    owner: "me",
    clock: SYSTEM_CLOCK,
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
