import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertThrows,
} from "@std/assert";
import {
  AccessRefusedError,
  type Binding,
  checkExchange,
  checkQueue,
  type ExchangeDeclaration,
  NotFoundError,
  planBind,
  planCancel,
  planConsume,
  planDeclareExchange,
  planDeclareQueue,
  planDeleteExchange,
  planDeleteQueue,
  planOwnerGone,
  planUnbind,
  PreconditionFailedError,
  type QueueDeclaration,
  ResourceLockedError,
  route,
  Topology,
  type TopologyChange,
} from "../../virtual/mod.ts";

const queueOf = (
  name: string,
  options: Partial<QueueDeclaration> = {},
): QueueDeclaration => ({
  name,
  durable: true,
  exclusive: false,
  autoDelete: false,
  arguments: {},
  ...options,
});

const exchangeOf = (
  name: string,
  options: Partial<ExchangeDeclaration> = {},
): ExchangeDeclaration => ({
  name,
  type: "direct",
  durable: true,
  autoDelete: false,
  internal: false,
  arguments: {},
  ...options,
});

const bindingOf = (
  source: string,
  name: string,
  routingKey = "",
  options: Partial<Binding> = {},
): Binding => ({
  source,
  destination: { kind: "queue", name },
  routingKey,
  arguments: {},
  ...options,
});

const me = "me";

/** Tables with what the plans have made. */
class World {
  readonly topology = new Topology();

  do(
    plan: (topology: Topology) => readonly TopologyChange[],
  ): readonly string[] {
    const changes = plan(this.topology);
    for (const change of changes) this.topology.apply(change);
    return changes.map(({ type }) => type);
  }

  queue(
    name: string,
    options?: Partial<QueueDeclaration>,
    owner = me,
  ): readonly string[] {
    return this.do((topology) =>
      planDeclareQueue(topology, queueOf(name, options), owner)
    );
  }

  exchange(
    name: string,
    options?: Partial<ExchangeDeclaration>,
  ): readonly string[] {
    return this.do((topology) =>
      planDeclareExchange(topology, exchangeOf(name, options), me)
    );
  }

  bind(...binding: Parameters<typeof bindingOf>): readonly string[] {
    return this.do((topology) => planBind(topology, bindingOf(...binding), me));
  }
}

Deno.test("planDeclareQueue() has one change, and none for an equal queue", () => {
  const world = new World();
  assertEquals(world.queue("q", { arguments: { "x-message-ttl": 5 } }), [
    "queue-declared",
  ]);
  assertEquals(world.queue("q", { arguments: { "x-message-ttl": 5 } }), []);
});

const UNEQUAL: readonly (readonly [Partial<QueueDeclaration>, string])[] = [
  [{ durable: false }, "as transient: the broker has it as durable"],
  [{ autoDelete: true }, "as auto-delete"],
  [{ exclusive: true }, "as exclusive"],
  [
    { arguments: { "x-max-length": 5 } },
    '"x-max-length" 5: the broker has it with nothing',
  ],
];

for (const [options, words] of UNEQUAL) {
  Deno.test(`planDeclareQueue() refuses ${JSON.stringify(options)} of a plain queue`, () => {
    const world = new World();
    world.queue("q");
    const { message } = assertThrows(
      () => world.queue("q", options),
      PreconditionFailedError,
    );
    assert(message.includes(words), message);
    assert(message.startsWith('Cannot declare queue "q"'), message);
  });
}

const BAD_ARGUMENTS:
  readonly (readonly [QueueDeclaration["arguments"], string])[] = [
    [{ "x-message-ttl": -1 }, "x-message-ttl"],
    [{ "x-message-ttl": "5" }, "x-message-ttl"],
    [{ "x-expires": 0 }, "x-expires"],
    [{ "x-max-length": 1.5 }, "x-max-length"],
    [{ "x-max-priority": 0 }, "x-max-priority"],
    [{ "x-overflow": "explode" }, "drop-head"],
    [{ "x-dead-letter-exchange": 7 }, "x-dead-letter-exchange"],
    [{ "x-dead-letter-routing-key": "k" }, "x-dead-letter-exchange"],
  ];

for (const [arguments_, words] of BAD_ARGUMENTS) {
  Deno.test(`planDeclareQueue() refuses ${JSON.stringify(arguments_)}`, () => {
    const { message } = assertThrows(
      () => new World().queue("q", { arguments: arguments_ }),
      PreconditionFailedError,
    );
    assert(message.includes(words), message);
  });
}

Deno.test("a queue that others wrote equals any declaration, which replaces it", () => {
  const world = new World();
  world.topology.apply({
    type: "queue-declared",
    queue: queueOf("q"),
    owner: undefined,
    foreign: true,
  });
  assertEquals(world.queue("q", { durable: false }), ["queue-declared"]);
  assertEquals(world.topology.queue("q")?.foreign, false);
});

Deno.test("planDeclareExchange() refuses another type, and bad arguments", () => {
  const world = new World();
  assertEquals(world.exchange("x", { type: "topic" }), ["exchange-declared"]);
  assertEquals(world.exchange("x", { type: "topic" }), []);
  assertThrows(() => world.exchange("x"), PreconditionFailedError, "topic");
  assertThrows(
    () => world.exchange("y", { arguments: { "alternate-exchange": 1 } }),
    PreconditionFailedError,
    "alternate-exchange",
  );
});

Deno.test("names of the broker's own, and the default exchange, are refused", () => {
  const world = new World();
  const calls = [
    () => world.queue("amq.mine"),
    () => world.exchange("amq.mine"),
    () => world.exchange(""),
    () => world.bind("", "q"),
    () => planDeleteExchange(world.topology, { name: "", ifUnused: false }, me),
    () =>
      planDeleteExchange(
        world.topology,
        { name: "amq.topic", ifUnused: false },
        me,
      ),
  ];
  for (const call of calls) assertThrows(call, AccessRefusedError);
  assertEquals(world.exchange("amq.topic", { type: "topic" }), []);
  assertEquals(
    world.do((topology) =>
      planDeclareQueue(topology, queueOf("amq.gen-1"), me, {
        serverNamed: true,
      })
    ),
    ["queue-declared"],
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
    planDeleteExchange(topology, { name: "a", ifUnused: false }, me)
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
    () => planDeleteExchange(world.topology, { name: "x", ifUnused: true }, me),
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
    planCancel(topology, { queue: "q", consumer: consumer("a", true) }, me)
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
