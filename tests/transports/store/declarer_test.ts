/** Changes of the tables that come at the same time. */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { SYSTEM_CLOCK } from "../../../async/clock.ts";
import { Limits } from "../../../async/limits.ts";
import {
  AccessRefusedError,
  NotFoundError,
  PreconditionFailedError,
  TimeoutError,
} from "../../../model/errors.ts";
import { MemoryBroker } from "../../../transports/memory/broker.ts";
import { MemoryStore } from "../../../transports/memory/store.ts";
import {
  Declarer,
  planConsumeAny,
} from "../../../transports/store/declarer.ts";
import type {
  ChangeResult,
  TopologyKey,
  TopologyStore,
  TopologyView,
} from "../../../transports/store/store.ts";
import {
  type ConsumerRecord,
  planBind,
  planCancel,
  planConsume,
  planDeclareExchange,
  planDeclareQueue,
  planDeleteQueue,
  planUnbind,
  Topology,
  type TopologyChange,
} from "../../../virtual/mod.ts";
import {
  bindingOf,
  exchangeOf,
  queueOf,
} from "../../support/redis_transport.ts";

/** Tables that are read for several at once, and count what they are asked. */
class Together implements TopologyStore {
  readonly #inner: TopologyStore;
  reads = 0;
  changes = 0;
  /** A queue whose name it does not take. */
  refused = "";
  held: Promise<void> | undefined;

  constructor(inner: TopologyStore) {
    this.#inner = inner;
  }

  async readTogether(all: readonly TopologyKey[]): Promise<TopologyView> {
    this.reads++;
    await this.held;
    if (all.some(({ name }) => name === this.refused)) {
      throw new AccessRefusedError(`Cannot use "${this.refused}"`);
    }
    return await this.#inner.read(all[0] ?? { type: "queue", name: "" });
  }

  read(of: TopologyKey): Promise<TopologyView> {
    return this.readTogether([of]);
  }

  apply(
    changes: readonly TopologyChange[],
    version: string,
  ): Promise<ChangeResult> {
    this.changes++;
    return this.#inner.apply(changes, version);
  }
}

async function withDeclarer(
  run: (parts: {
    readonly store: Together;
    readonly broker: MemoryBroker;
    readonly declarer: Declarer;
    change(
      type: TopologyKey["type"],
      name: string,
      plan: (topology: Topology) => readonly TopologyChange[],
    ): Promise<number>;
  }) => Promise<void>,
): Promise<void> {
  const broker = new MemoryBroker(SYSTEM_CLOCK);
  const limits = new Limits(SYSTEM_CLOCK);
  const memory = new MemoryStore(broker, { clock: SYSTEM_CLOCK });
  const store = new Together(memory.topology);
  const declarer = new Declarer(store, limits);
  try {
    await run({
      store,
      broker,
      declarer,
      change: (type, name, plan) => declarer.change({ type, name }, plan),
    });
  } finally {
    limits.end(() => new Error("ended"));
    await memory[Symbol.asyncDispose]();
  }
}

Deno.test("change() makes those that only add in one step, and those that rest on each other in their order", () =>
  withDeclarer(async ({ store, broker, change }) => {
    const names = Array.from({ length: 160 }, (_, i) => `q${i}`);
    const binding = bindingOf("ex", "q0", "k");
    const consumer = { consumerTag: "1", owner: "me", exclusive: true };
    const made = await Promise.allSettled([
      change(
        "exchange",
        "ex",
        (topology) => planDeclareExchange(topology, exchangeOf("ex")),
      ),
      ...names.map((name) =>
        change(
          "queue",
          name,
          (topology) => planDeclareQueue(topology, queueOf(name), "me"),
        )
      ),
      change("exchange", "ex", (topology) => planBind(topology, binding, "me")),
      change(
        "queue",
        "q0",
        (topology) => planConsume(topology, { queue: "q0", consumer }, "me"),
      ),
      change(
        "queue",
        "q0",
        (topology) => planConsume(topology, { queue: "q0", consumer }, "me"),
      ),
      change(
        "exchange",
        "ex",
        (topology) => planUnbind(topology, binding, "me"),
      ),
      change("queue", "q1", (topology) =>
        planDeleteQueue(
          topology,
          { name: "q1", ifUnused: false, ifEmpty: false },
          "me",
        )),
      change(
        "queue",
        "q1",
        (topology) => planDeclareQueue(topology, queueOf("q1"), "me"),
      ),
      change(
        "exchange",
        "none",
        (topology) => planBind(topology, bindingOf("none", "q0", "k"), "me"),
      ),
    ]);
    const failed = made.flatMap((each, place) =>
      each.status === "rejected" ? [`${place - 161} ${each.reason.name}`] : []
    );
    assertEquals(failed, ["2 AccessRefusedError", "6 NotFoundError"]);
    assertEquals([...broker.topology.queues()].length, 160);
    assertEquals(broker.topology.findBinding(binding), undefined);
    assert(store.changes <= 8, `${store.changes} changes`);
    assert(store.reads <= 12, `${store.reads} reads`);
  }));

Deno.test("consumers that share a queue come and go in one step, and the last of them takes it along", () =>
  withDeclarer(async ({ store, broker, change }) => {
    const named = (consumerTag: string, exclusive = false) => ({
      ...{ consumerTag, owner: "me", exclusive },
    });
    const consume = (queue: string, consumer: ConsumerRecord) =>
      change(
        "queue",
        queue,
        (topology) => planConsume(topology, { queue, consumer }, "me"),
      );
    const cancel = (queue: string, consumer: ConsumerRecord) =>
      change(
        "queue",
        queue,
        (topology) => planCancel(topology, { queue, consumer }),
      );
    const tags = Array.from({ length: 50 }, (_, i) => `${i}`);
    const queues = ["stays", "goes"];
    for (const name of queues) {
      const queue = { ...queueOf(name), autoDelete: name === "goes" };
      await change(
        "queue",
        name,
        (topology) => planDeclareQueue(topology, queue, "me"),
      );
    }
    store.changes = 0;
    const made = await Promise.allSettled([
      ...tags.map((tag) => consume("stays", named(tag))),
      consume("stays", named("only", true)),
      ...tags.map((tag) => consume("goes", named(tag))),
    ]);
    assertEquals(
      made.flatMap(({ status }, i) => status === "rejected" ? [i] : []),
      [50],
    );
    assert(store.changes <= 3, `${store.changes} changes`);
    const count = (name: string) =>
      broker.topology.queue(name)?.consumers.length;
    assertEquals(queues.map(count), [50, 50]);
    store.changes = 0;
    await Promise.all(tags.map((tag) => cancel("stays", named(tag))));
    assertEquals(store.changes, 1);
    await Promise.all(tags.map((tag) => cancel("goes", named(tag))));
    assertEquals(queues.map(count), [0, undefined]);
    // Each of many queues that go with their consumer.
    for (const name of tags) {
      await change(
        "queue",
        name,
        (topology) =>
          planDeclareQueue(
            topology,
            { ...queueOf(name), autoDelete: true },
            "me",
          ),
      );
      await consume(name, named("1"));
    }
    store.changes = 0;
    await Promise.all(tags.map((name) => cancel(name, named("1"))));
    assertEquals([...broker.topology.queues()].length, 1);
    assertEquals(store.changes, 1);
  }));

Deno.test("declarations of one name at once are made one after another", () =>
  withDeclarer(async ({ broker, change }) => {
    const declare = (name: string, autoDelete: boolean) =>
      change(
        "queue",
        name,
        (topology) =>
          planDeclareQueue(topology, { ...queueOf(name), autoDelete }, "me"),
      );
    await assertRejects(
      () =>
        Promise.all([
          declare("first", false),
          declare("q", false),
          declare("q", true),
        ]),
      PreconditionFailedError,
    );
    assertEquals(broker.topology.queue("q")?.declaration.autoDelete, false);
  }));

Deno.test("change() that the store refuses fails alone", () =>
  withDeclarer(async ({ store, broker, change }) => {
    store.refused = "b";
    const declare = (name: string) =>
      change(
        "queue",
        name,
        (topology) => planDeclareQueue(topology, queueOf(name), "me"),
      );
    const refused = assertRejects(() => declare("b"), AccessRefusedError);
    await Promise.all([declare("a"), refused, declare("c")]);
    assert(broker.topology.queue("a") && broker.topology.queue("c"));
  }));

Deno.test("change() whose time is over, or that is aborted, fails alone, and says what may have been done", () =>
  withDeclarer(async ({ store, broker, declarer, change }) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    store.held = promise;
    const planFor = (name: string) => (topology: Topology) =>
      planDeclareQueue(topology, queueOf(name), "me");
    const aborted = new AbortController();
    const first = change("queue", "first", planFor("first"));
    const late = assertRejects(
      () =>
        declarer.change({ type: "queue", name: "late" }, planFor("late"), {
          deadline: SYSTEM_CLOCK.now() + 20,
        }),
      TimeoutError,
      'around queue "late" in time',
    );
    const stopped = assertRejects(() =>
      declarer.change({ type: "queue", name: "stopped" }, planFor("stopped"), {
        signal: aborted.signal,
      })
    );
    await late;
    aborted.abort();
    await stopped;
    resolve();
    await first;
    await change("queue", "next", planFor("next"));
    assert(broker.topology.queue("first") && broker.topology.queue("next"));
    assertEquals(broker.topology.queue("stopped"), undefined);
    await assertRejects(
      () =>
        change(
          "exchange",
          "none",
          (topology) =>
            planBind(topology, bindingOf("none", "first", "k"), "me"),
        ),
      NotFoundError,
    );
  }));

Deno.test("a queue that is not in the tables is added as somebody else's, once, where those do not know all queues", () => {
  const topology = new Topology();
  const consumer = { consumerTag: "c", owner: "me", exclusive: false };
  const plan = (knowsQueues: boolean) =>
    planConsumeAny(topology, { queue: "q", consumer }, "me", knowsQueues);
  assertThrows(() => plan(true), NotFoundError, '"q"');
  const [declared, added, ...rest] = plan(false);
  assert(declared?.type === "queue-declared");
  assertEquals([declared.queue.name, declared.foreign], ["q", true]);
  assertEquals([added?.type, rest.length], ["consumer-added", 0]);
  topology.apply(declared);
  assertEquals(plan(false), [{ type: "consumer-added", queue: "q", consumer }]);
});
