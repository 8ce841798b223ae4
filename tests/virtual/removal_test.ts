import { assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import {
  AccessRefusedError,
  checkExchange,
  checkQueue,
  NotFoundError,
  planBind,
  planCancel,
  planConsume,
  planDeleteExchange,
  planDeleteQueue,
  planOwnerGone,
  planUnbind,
  PreconditionFailedError,
  ResourceLockedError,
  route,
} from "../../virtual/mod.ts";
import { bindingOf, me, World } from "./world.ts";

Deno.test("planDeleteQueue() removes the same key's bindings from every exchange", () => {
  const world = new World();
  world.queue("q");
  world.bind("amq.direct", "q", "k");
  world.bind("amq.topic", "q", "k");
  assertEquals(
    world.do((topology) =>
      planDeleteQueue(topology, {
        name: "q",
        ifUnused: false,
        ifEmpty: false,
      }, me)
    ),
    ["queue-deleted", "unbound", "unbound"],
  );
});

Deno.test("planBind() needs both ends, and binds once", () => {
  const world = new World();
  world.queue("q");
  assertThrows(() => world.bind("missing", "q"), NotFoundError, "missing");
  assertThrows(
    () => world.bind("amq.direct", "missing"),
    NotFoundError,
    "missing",
  );
  assertEquals(world.bind("amq.direct", "q", "k", { arguments: { a: 1 } }), [
    "bound",
  ]);
  assertEquals(world.bind("amq.direct", "q", "k", { arguments: { a: 1 } }), []);
  assertEquals(world.bind("amq.direct", "q", "k", { arguments: { a: 2 } }), [
    "bound",
  ]);
  assertEquals(
    world.do((topology) =>
      planUnbind(
        topology,
        bindingOf("amq.direct", "q", "k", { arguments: { a: 1 } }),
        me,
      )
    ),
    ["unbound"],
  );
  assertEquals(
    world.do((topology) =>
      planUnbind(topology, bindingOf("amq.direct", "q", "never"), me)
    ),
    [],
  );
  assertEquals([...world.topology.bindingsTo("q")].length, 1);
});

Deno.test("planUnbind() is refused to others than the owner, if there is what to unbind", () => {
  const world = new World();
  world.queue("q", { exclusive: true });
  world.bind("amq.direct", "q", "k");
  const unbind = (routingKey: string) =>
    planUnbind(
      world.topology,
      bindingOf("amq.direct", "q", routingKey),
      "another",
    );
  assertThrows(() => unbind("k"), ResourceLockedError, "exclusive");
  assertEquals(unbind("never"), []);
});

Deno.test("planBind() refuses a bad x-match", () => {
  const world = new World();
  world.queue("q");
  assertThrows(
    () =>
      world.bind("amq.headers", "q", "", { arguments: { "x-match": "some" } }),
    PreconditionFailedError,
    "any",
  );
});

Deno.test("an auto-delete exchange goes with its last binding, and takes those before it along", () => {
  const world = new World();
  world.exchange("a", { autoDelete: true });
  world.exchange("b", { autoDelete: true });
  world.queue("q");
  world.bind("a", "b", "", { destination: { kind: "exchange", name: "b" } });
  world.bind("b", "q");
  assertEquals(
    world.do((topology) =>
      planDeleteQueue(
        topology,
        { name: "q", ifUnused: false, ifEmpty: false },
        me,
      )
    ),
    [
      "queue-deleted",
      "unbound",
      "unbound",
      "exchange-deleted",
      "exchange-deleted",
    ],
  );
  assertEquals(world.topology.exchange("a"), undefined);
  assertEquals(world.topology.exchange("b"), undefined);
});

Deno.test("exchanges that are bound in a circle are deleted, and end", () => {
  const world = new World();
  for (const name of ["a", "b"]) world.exchange(name, { autoDelete: true });
  world.bind("a", "b", "", { destination: { kind: "exchange", name: "b" } });
  world.bind("b", "a", "", { destination: { kind: "exchange", name: "a" } });
  world.do((topology) =>
    planDeleteExchange(topology, { name: "a", ifUnused: false })
  );
  assertEquals([world.topology.exchange("a"), world.topology.exchange("b")], [
    undefined,
    undefined,
  ]);
});

Deno.test("planDeleteQueue() and planDeleteExchange() heed ifUnused", () => {
  const world = new World();
  world.exchange("x");
  world.queue("q");
  world.bind("x", "q");
  const consumer = { consumerTag: "c", owner: me, exclusive: false };
  world.do((topology) => planConsume(topology, { queue: "q", consumer }, me));
  assertThrows(
    () =>
      planDeleteQueue(world.topology, {
        name: "q",
        ifUnused: true,
        ifEmpty: false,
      }, me),
    PreconditionFailedError,
  );
  assertThrows(
    () => planDeleteExchange(world.topology, { name: "x", ifUnused: true }),
    PreconditionFailedError,
  );
  assertEquals(
    planDeleteQueue(world.topology, {
      name: "missing",
      ifUnused: true,
      ifEmpty: true,
    }, me),
    [],
  );
});

Deno.test("exclusive consumers keep others out", () => {
  const world = new World();
  world.queue("q");
  const consumer = (consumerTag: string, exclusive: boolean) => ({
    consumerTag,
    owner: me,
    exclusive,
  });
  const consume = (tag: string, exclusive: boolean) =>
    world.do((topology) =>
      planConsume(
        topology,
        { queue: "q", consumer: consumer(tag, exclusive) },
        me,
      )
    );
  consume("a", true);
  assertThrows(() => consume("b", false), AccessRefusedError);
  world.do((topology) =>
    planCancel(topology, { queue: "q", consumer: consumer("a", true) })
  );
  consume("b", false);
  assertThrows(() => consume("c", true), AccessRefusedError);
  assertThrows(
    () =>
      planConsume(world.topology, {
        queue: "missing",
        consumer: consumer("x", false),
      }, me),
    NotFoundError,
  );
});

Deno.test("exclusive queues are locked to others, and go with their owner", () => {
  const world = new World();
  world.queue("q", { exclusive: true });
  world.queue("kept");
  world.queue("auto", { autoDelete: true });
  for (const queue of ["kept", "auto"]) {
    world.do((topology) =>
      planConsume(topology, {
        queue,
        consumer: { consumerTag: "c", owner: me, exclusive: false },
      }, me)
    );
  }
  for (
    const call of [
      () => checkQueue(world.topology, "q", "other"),
      () => world.queue("q", { exclusive: true }, "other"),
      () => planBind(world.topology, bindingOf("amq.direct", "q"), "other"),
      () =>
        planDeleteQueue(world.topology, {
          name: "q",
          ifUnused: false,
          ifEmpty: false,
        }, "other"),
    ]
  ) assertInstanceOf(assertThrows(call), ResourceLockedError);
  world.do((topology) => planOwnerGone(topology, me));
  assertEquals(
    [...world.topology.queues()].map(({ declaration }) => declaration.name),
    ["kept"],
  );
  assertEquals(world.topology.queue("kept")?.consumers, []);
  assertEquals(planOwnerGone(world.topology, me), []);
});

Deno.test("checkExchange() and checkQueue() find what is there", () => {
  const { topology } = new World();
  checkExchange(topology, "");
  checkExchange(topology, "amq.fanout");
  assertThrows(
    () => checkExchange(topology, "missing"),
    NotFoundError,
    "missing",
  );
  assertThrows(
    () => checkQueue(topology, "missing", me),
    NotFoundError,
    "missing",
  );
});

Deno.test("ten thousand declarations, and routes through them, are quick", () => {
  const world = new World();
  world.exchange("t", { type: "topic" });
  for (let i = 0; i < 10_000; i++) {
    world.queue(`q${i}`);
    world.bind("t", `q${i}`, `a.${i}.#`);
  }
  const message = { exchange: "t", routingKey: "a.77.b", properties: {} };
  for (let i = 0; i < 10_000; i++) {
    assertEquals(route(world.topology, message).queues.size, 1);
  }
});

Deno.test("planOwnerGone() deletes the owner's queues with what is in them, and not those that are gone", () => {
  const world = new World();
  world.queue("mine", { exclusive: true });
  world.queue("gone", { exclusive: true });
  const gone = { name: "gone", ifUnused: false, ifEmpty: false };
  world.do((topology) => planDeleteQueue(topology, gone, me));
  assertEquals(planOwnerGone(world.topology, me), [
    { type: "queue-deleted", name: "mine", ifEmpty: false },
  ]);
});
