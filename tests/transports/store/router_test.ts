import { assertEquals, assertRejects } from "@std/assert";
import { SYSTEM_CLOCK } from "../../../async/clock.ts";
import { Limits } from "../../../async/limits.ts";
import { turn } from "../../../async/turn.ts";
import { NotFoundError } from "../../../model/errors.ts";
import type { Publishing } from "../../../model/message.ts";
import { MemoryBroker } from "../../../transports/memory/broker.ts";
import { MemoryStore } from "../../../transports/memory/store.ts";
import { itemsFor, Router } from "../../../transports/store/router.ts";
import type { TopologyStore } from "../../../transports/store/store.ts";
import { Topology, type TopologyChange } from "../../../virtual/topology.ts";
import { changed } from "../../support/stores.ts";

/** A store whose first reads end after its later ones, and how many there were. */
function slow(broker: MemoryBroker) {
  const inner = new MemoryStore(broker, { clock: SYSTEM_CLOCK });
  let reads = 0;
  const read: TopologyStore["read"] = async (of) => {
    const turns = Math.max(0, 5 - reads++);
    for (let i = 0; i < turns; i++) await turn();
    return await inner.topology.read(of);
  };
  const store = changed(inner, { topology: { read } });
  return { store, reads: () => reads };
}

const message = (messageId: string): Publishing => ({
  exchange: "",
  routingKey: "q",
  mandatory: false,
  delay: 0,
  properties: { messageId },
  body: new Uint8Array(1),
});

Deno.test("route() sends those who wait for the tables in order, with one read, and who comes meanwhile behind them", async () => {
  const broker = new MemoryBroker(SYSTEM_CLOCK);
  const { store, reads } = slow(broker);
  const limits = new Limits(SYSTEM_CLOCK);
  const router = new Router(store, limits, () => Infinity);
  const sent: string[] = [];
  const route = (id: string): Promise<void> =>
    router.route(message(id), undefined, () => {
      sent.push(id);
      // As a caller that publishes again as soon as one is on its way.
      return id === "1" ? route("4") : Promise.resolve();
    });
  await Promise.all([route("1"), route("2"), route("3")]);
  assertEquals(sent, ["1", "2", "3", "4"]);
  assertEquals(reads(), 1);
  limits.end(() => new Error("ended"));
  await store[Symbol.asyncDispose]();
});

Deno.test("route() finds what was not there before, and was declared since", async () => {
  const broker = new MemoryBroker(SYSTEM_CLOCK);
  const inner = new MemoryStore(broker, { clock: SYSTEM_CLOCK });
  // As a store over a network has it: a view stays as it was when it was read.
  const read: TopologyStore["read"] = async (of) => {
    const { topology, version } = await inner.topology.read(of);
    const copy = new Topology();
    for (const { declaration } of topology.exchanges()) {
      copy.apply({ type: "exchange-declared", exchange: declaration });
    }
    return { topology: copy, version };
  };
  const store = changed(inner, { topology: { read } });
  const limits = new Limits(SYSTEM_CLOCK);
  const router = new Router(store, limits, () => Infinity);
  const late = { ...message("1"), exchange: "late" };
  const route = () =>
    router.route(late, undefined, ({ queues }) => Promise.resolve(queues));
  await assertRejects(route, NotFoundError);
  await store.topology.apply([{
    type: "exchange-declared",
    exchange: {
      name: "late",
      type: "fanout",
      durable: true,
      autoDelete: false,
      internal: false,
      arguments: {},
    },
  }], broker.tables.version);
  assertEquals(await route(), []);
  limits.end(() => new Error("ended"));
  await store[Symbol.asyncDispose]();
});

Deno.test("route() reads nothing anew when a consumer comes, and once for all who are told that it is old", async () => {
  const broker = new MemoryBroker(SYSTEM_CLOCK);
  const { store, reads } = slow(broker);
  const limits = new Limits(SYSTEM_CLOCK);
  const router = new Router(store, limits, () => Infinity);
  const change = (change: TopologyChange) =>
    store.topology.apply([change], broker.tables.version);
  const declare = (name: string) =>
    change({
      type: "queue-declared",
      queue: {
        name,
        durable: true,
        exclusive: false,
        autoDelete: false,
        arguments: {},
      },
      owner: undefined,
    });
  /** As a publisher does it: what was old is forgotten, and routed again. */
  const publish = async (): Promise<number> => {
    const routed = await router.route(
      message("1"),
      undefined,
      async (routed) => {
        await turn();
        return routed;
      },
    );
    const result = await store.messages.put(itemsFor(message("1"), routed), {
      version: routed.version,
    });
    if (result.type !== "stale") return routed.queues.length;
    router.forget(message("1"), routed);
    return await publish();
  };
  await declare("q");
  assertEquals(await publish(), 1);
  assertEquals(reads(), 1);
  const consumer = { consumerTag: "1", owner: "me", exclusive: false };
  await change({ type: "consumer-added", queue: "q", consumer });
  assertEquals(await publish(), 1);
  await change({ type: "consumer-removed", queue: "q", consumer });
  assertEquals(await publish(), 1);
  assertEquals(reads(), 1);
  const published = Promise.all(Array.from({ length: 50 }, publish));
  await declare("another");
  assertEquals(await published, Array(50).fill(1));
  assertEquals(reads(), 2);
  limits.end(() => new Error("ended"));
  await store[Symbol.asyncDispose]();
});

Deno.test("route() reads anew behind those who still wait, when the first of them was told that its view is old", async () => {
  const broker = new MemoryBroker(SYSTEM_CLOCK);
  const { store, reads } = slow(broker);
  const limits = new Limits(SYSTEM_CLOCK);
  const router = new Router(store, limits, () => Infinity);
  const route = () =>
    router.route(message("2"), undefined, () => Promise.resolve());
  const first = router.route(message("1"), undefined, (routed) => {
    router.forget(message("1"), routed);
    return route();
  });
  await Promise.all([first, route()]);
  assertEquals(reads(), 2);
  limits.end(() => new Error("ended"));
  await store[Symbol.asyncDispose]();
});
