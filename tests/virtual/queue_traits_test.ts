import { assertEquals } from "@std/assert";
import { hasLimit } from "../../virtual/queue_arguments.ts";
import {
  type FieldValue,
  planDeclareQueue,
  queueTraits,
  Topology,
} from "../../virtual/mod.ts";

Deno.test("a queue's arguments are read once, and what is not of its kind says nothing", () => {
  const declared = {
    "x-message-ttl": 1000,
    "x-expires": 2000,
    "x-max-length": 3,
    "x-max-length-bytes": 4,
    "x-overflow": "reject-publish-dlx",
    "x-max-priority": 5,
    "x-dead-letter-exchange": "",
    "x-dead-letter-routing-key": "dead",
  };
  const traits = {
    messageTtl: 1000,
    expires: 2000,
    maxLength: 3,
    maxBytes: 4,
    refuses: true,
    maxPriority: 5,
    ordered: false,
    partitions: undefined,
    deadLetterExchange: "",
    deadLetterRoutingKey: "dead",
  };
  assertEquals(queueTraits(declared), traits);
  const none = {
    messageTtl: undefined,
    expires: undefined,
    maxLength: undefined,
    maxBytes: undefined,
    refuses: false,
    maxPriority: undefined,
    ordered: false,
    partitions: undefined,
    deadLetterExchange: undefined,
    deadLetterRoutingKey: undefined,
  };
  assertEquals(queueTraits({}), none);
  assertEquals(
    queueTraits({ "x-expires": "soon", "x-dead-letter-exchange": 1 }),
    none,
  );
  const topology = new Topology();
  const queue = {
    name: "q",
    durable: true,
    exclusive: false,
    autoDelete: false,
    arguments: declared,
  };
  for (const change of planDeclareQueue(topology, queue, "me")) {
    topology.apply(change);
  }
  assertEquals(topology.queue("q")?.traits, traits);
});

Deno.test("a queue is ordered by true, or by a number of partitions", () => {
  const of = (value: FieldValue) => {
    const { ordered, partitions } = queueTraits({ "x-ordered": value });
    return [ordered, partitions];
  };
  assertEquals(of(true), [true, undefined]);
  assertEquals(of(16), [true, 16]);
  assertEquals(of(false), [false, undefined]);
  assertEquals(of("yes"), [false, undefined]);
});

Deno.test("a queue has a limit of length by its messages, by their bytes, or by both", () => {
  for (
    const [maxLength, maxBytes, has] of [
      [undefined, undefined, false],
      [0, undefined, true],
      [undefined, 0, true],
      [1, 1, true],
    ] as const
  ) assertEquals(hasLimit({ maxLength, maxBytes }), has);
});
