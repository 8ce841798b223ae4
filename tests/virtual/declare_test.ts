import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  AccessRefusedError,
  type FieldTable,
  foreignExchange,
  planDeclareQueue,
  planDeleteExchange,
  PreconditionFailedError,
  type QueueDeclaration,
  ResourceLockedError,
} from "../../virtual/mod.ts";
import { me, queueOf, World } from "./world.ts";

Deno.test("planDeclareQueue() has one change, and none for an equal queue", () => {
  const world = new World();
  assertEquals(world.queue("q", { arguments: { "x-message-ttl": 5 } }), [
    "queue-declared",
  ]);
  assertEquals(world.queue("q", { arguments: { "x-message-ttl": 5 } }), []);
});

const UNEQUAL: readonly (readonly [Partial<QueueDeclaration>, string])[] = [
  [{ durable: false }, "as transient: the broker has it as durable"],
  [{ autoDelete: true }, "as auto-delete: the broker has it as lasting"],
  [
    { durable: false, arguments: { "x-max-length": 5, "x-expires": 7 } },
    'as transient and with "x-expires" 7 and with "x-max-length" 5: the broker has it as durable and without "x-expires" and without "x-max-length"',
  ],
  [
    { arguments: { "x-max-length": 5 } },
    '"x-max-length" 5: the broker has it without',
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

Deno.test("planDeclareQueue() passes over arguments that it does not know", () => {
  const world = new World();
  world.queue("q");
  assertEquals(world.queue("q", { arguments: { "x-mine": 1 } }), []);
});

for (const exclusive of [true, false]) {
  Deno.test(`planDeclareQueue() finds a queue locked that is ${exclusive ? "shared" : "exclusive"}, and should not be`, () => {
    const world = new World();
    world.queue("q", { exclusive: !exclusive });
    const { message } = assertThrows(
      () => world.queue("q", { exclusive, durable: false }),
      ResourceLockedError,
    );
    assert(message.includes(exclusive ? "as exclusive" : "as shared"), message);
  });
}

const BAD_ARGUMENTS:
  readonly (readonly [QueueDeclaration["arguments"], string])[] = [
    [{ "x-message-ttl": -1 }, "x-message-ttl"],
    [{ "x-message-ttl": "5" }, "x-message-ttl"],
    [{ "x-expires": 0 }, "x-expires"],
    [{ "x-max-length": 1.5 }, "x-max-length"],
    [{ "x-max-length": 5n }, "5n"],
    [{ "x-max-priority": 0 }, "x-max-priority"],
    [{ "x-max-priority": 256 }, "from 1 to 255"],
    [{ "x-overflow": "explode" }, "drop-head"],
    [{ "x-dead-letter-exchange": 7 }, "x-dead-letter-exchange"],
    [{ "x-dead-letter-routing-key": "k" }, "x-dead-letter-exchange"],
  ];

for (const [arguments_, words] of BAD_ARGUMENTS) {
  Deno.test(`planDeclareQueue() refuses ${Deno.inspect(arguments_)}`, () => {
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

Deno.test("an exchange that others wrote equals any declaration, which replaces it", () => {
  const world = new World();
  world.topology.apply(foreignExchange("x", "topic"));
  assertEquals(world.topology.exchange("x")?.foreign, true);
  assertEquals(world.exchange("x", { durable: false }), ["exchange-declared"]);
  assertEquals(world.topology.exchange("x")?.foreign, false);
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
    () => planDeleteExchange(world.topology, { name: "", ifUnused: false }),
    () =>
      planDeleteExchange(
        world.topology,
        { name: "amq.topic", ifUnused: false },
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
  assertThrows(() => world.queue("amq.gen-1"), AccessRefusedError);
});

const NOT_ORDERED: readonly (readonly [FieldTable, string])[] = [
  [{ "x-ordered": false }, "it must be true, or a whole number from 1 to 256"],
  [{ "x-ordered": 0 }, "it must be true, or a whole number from 1 to 256"],
  [{ "x-ordered": 257 }, "it must be true, or a whole number from 1 to 256"],
  [{ "x-ordered": "yes" }, "it must be true, or a whole number from 1 to 256"],
  [{ "x-ordered": true, "x-max-priority": 5 }, '"x-max-priority"'],
  [{ "x-ordered": true, "x-max-length": 5 }, '"reject-publish"'],
  [
    { "x-ordered": 4, "x-max-length-bytes": 5, "x-overflow": "drop-head" },
    '"x-max-length-bytes"',
  ],
];

for (const [arguments_, words] of NOT_ORDERED) {
  Deno.test(`planDeclareQueue() refuses ${JSON.stringify(arguments_)}`, () => {
    const { message } = assertThrows(
      () => new World().queue("q", { arguments: arguments_ }),
      PreconditionFailedError,
    );
    assert(message.includes(words), message);
  });
}

Deno.test("planDeclareQueue() takes an ordered queue that refuses what is too much, and tells it from others", () => {
  const world = new World();
  const arguments_ = {
    "x-ordered": true,
    "x-max-length": 5,
    "x-overflow": "reject-publish",
  };
  assertEquals(world.queue("q", { arguments: arguments_ }), ["queue-declared"]);
  const { message } = assertThrows(
    () => world.queue("q", { arguments: { ...arguments_, "x-ordered": 3 } }),
    PreconditionFailedError,
  );
  assert(message.includes('with "x-ordered" 3: the broker has it'), message);
});
