import { assertEquals, assertThrows } from "@std/assert";
import {
  AccessRefusedError,
  deadLetter,
  deadLetterTargets,
  deathsOf,
  matchHeaders,
  NotFoundError,
  PreconditionFailedError,
  type Publishing,
  type QueueDeclaration,
  route,
  routeDeadLetter,
  Topology,
  withoutBcc,
} from "../../virtual/mod.ts";
import type { FieldTable } from "../../virtual/mod.ts";

const HEADERS: readonly (readonly [FieldTable, FieldTable, boolean])[] = [
  [{}, {}, true],
  [{ "x-match": "any" }, {}, false],
  [{ a: 1 }, { a: 1, b: 2 }, true],
  [{ a: 1, b: 2 }, { a: 1 }, false],
  [{ "x-match": "any", a: 1, b: 2 }, { b: 2 }, true],
  [{ a: null }, { a: "x" }, true],
  [{ a: null }, {}, false],
  [{ a: 1n }, { a: 1 }, true],
  [{ a: "1" }, { a: 1 }, false],
  [{ a: true }, { a: 1 }, false],
  [{ a: new Date(5000) }, { a: new Date(5999) }, true],
  [{ a: Uint8Array.of(1, 2) }, { a: Uint8Array.of(1, 2) }, true],
  [{ a: [1, "x"] }, { a: [1, "x"] }, true],
  [{ a: Uint8Array.of(120) }, { a: "x" }, true],
  [{ a: Uint8Array.of(120) }, { a: "y" }, false],
  // A byte order mark is a part of the text.
  [{ a: Uint8Array.of(0xef, 0xbb, 0xbf, 120) }, { a: "\ufeffx" }, true],
  [{ a: Uint8Array.of(0xef, 0xbb, 0xbf, 120) }, { a: "x" }, false],
  [{ a: 1.5 }, { a: 1.5 }, true],
  [{ a: 1.5 }, { a: 1 }, false],
  [{ constructor: null }, {}, false],
  [{ a: { b: 1, c: 2 } }, { a: { c: 2, b: 1 } }, true],
  [{ "x-other": 1, a: 1 }, { a: 1 }, true],
  [{ "x-match": "all-with-x", "x-other": 1, a: 1 }, { a: 1 }, false],
  [{ "x-match": "any-with-x", "x-other": 1 }, { "x-other": 1 }, true],
];

for (const [arguments_, headers, expected] of HEADERS) {
  const show = (table: FieldTable) =>
    Deno.inspect(table, { compact: true, breakLength: Infinity });
  Deno.test(`matchHeaders() of ${show(arguments_)} and ${show(headers)} is ${expected}`, () => {
    assertEquals(matchHeaders(arguments_, headers), expected);
  });
}

function topologyOf(): Topology {
  const topology = new Topology();
  const exchange = (name: string, type: "fanout" | "direct", options = {}) =>
    topology.apply({
      type: "exchange-declared",
      exchange: {
        name,
        type,
        durable: true,
        autoDelete: false,
        internal: false,
        arguments: {},
        ...options,
      },
    });
  exchange("all", "fanout");
  exchange("secret", "fanout", { internal: true });
  exchange("rest", "fanout");
  exchange("round", "fanout");
  exchange("about", "fanout");
  exchange("picky", "direct", { arguments: { "alternate-exchange": "rest" } });
  exchange("lost", "direct", {
    arguments: { "alternate-exchange": "missing" },
  });
  for (const name of ["a", "b"]) {
    const queue = {
      name,
      durable: true,
      exclusive: false,
      autoDelete: false,
      arguments: {},
    };
    topology.apply({ type: "queue-declared", queue, owner: undefined });
  }
  const bind = (
    source: string,
    name: string,
    kind: "queue" | "exchange" = "queue",
    routingKey = "",
  ) =>
    topology.apply({
      type: "bound",
      binding: {
        source,
        destination: { kind, name },
        routingKey,
        arguments: {},
      },
    });
  bind("all", "a");
  bind("all", "secret", "exchange");
  bind("secret", "b");
  bind("rest", "b");
  bind("picky", "a", "queue", "k");
  // A circle, out of which an exchange leads that has no match itself.
  bind("round", "about", "exchange");
  bind("about", "round", "exchange");
  bind("round", "a");
  bind("about", "a");
  bind("about", "picky", "exchange");
  return topology;
}

const ROUTES: readonly (readonly [string, string, readonly string[]])[] = [
  ["", "a", ["a"]],
  ["", "missing", []],
  ["all", "", ["a", "b"]],
  ["picky", "k", ["a"]],
  ["picky", "other", ["b"]],
  ["lost", "k", []],
  ["round", "k", ["a"]],
  ["about", "other", ["a", "b"]],
];

for (const [exchange, routingKey, expected] of ROUTES) {
  Deno.test(`route() of "${exchange}" with "${routingKey}" leads to ${expected.join(", ") || "nowhere"}`, () => {
    const { queues } = route(topologyOf(), {
      exchange,
      routingKey,
      properties: {},
    });
    assertEquals([...queues], [...expected]);
  });
}

Deno.test("route() refuses missing and internal exchanges, and a bad CC", () => {
  const topology = topologyOf();
  assertThrows(
    () =>
      route(topology, { exchange: "missing", routingKey: "", properties: {} }),
    NotFoundError,
    "missing",
  );
  assertThrows(
    () =>
      route(topology, { exchange: "secret", routingKey: "", properties: {} }),
    AccessRefusedError,
    "internal",
  );
  assertThrows(
    () =>
      route(topology, {
        exchange: "",
        routingKey: "a",
        properties: { headers: { CC: "b" } },
      }),
    PreconditionFailedError,
    "CC",
  );
});

Deno.test("routeDeadLetter() passes internal exchanges, takes a bad CC or BCC for none, and knows no missing exchange", () => {
  const topology = topologyOf();
  topology.apply({
    type: "bound",
    binding: {
      source: "secret",
      destination: { kind: "queue", name: "b" },
      routingKey: "",
      arguments: {},
    },
  });
  const find = (exchange: string, routingKey: string, headers: FieldTable) =>
    routeDeadLetter(topology, { exchange, routingKey, properties: { headers } })
      ?.queues;
  assertEquals(find("secret", "", {}), new Set(["b"]));
  assertEquals(find("missing", "", {}), undefined);
  assertEquals(find("", "a", { CC: "b", BCC: 7 }), new Set(["a"]));
  assertEquals(
    find("", "a", { CC: { b: 1 }, BCC: ["b"] }),
    new Set(["a", "b"]),
  );
});

Deno.test("route() says which fanout exchanges are to be broadcast, and what may be remembered", () => {
  const topology = topologyOf();
  const found = route(topology, {
    exchange: "all",
    routingKey: "",
    properties: {},
  }, { broadcasts: (name) => name === "secret" });
  assertEquals([[...found.queues], found.broadcasts, found.cacheable], [["a"], [
    "secret",
  ], true]);
  const copied = route(topology, {
    exchange: "",
    routingKey: "a",
    properties: { headers: { BCC: ["b"] } },
  });
  assertEquals([[...copied.queues], copied.cacheable], [["a", "b"], false]);
  assertEquals(
    route(topology, { exchange: "amq.headers", routingKey: "", properties: {} })
      .cacheable,
    false,
  );
});

Deno.test("route() leads to those queues of a broadcast exchange that are asked for, and to its alternate where none is bound", () => {
  const topology = topologyOf();
  const bind = (source: string, name: string) =>
    topology.apply({
      type: "bound",
      binding: {
        source,
        destination: { kind: "queue", name },
        routingKey: "",
        arguments: {},
      },
    });
  for (const name of ["a", "b"]) bind("amq.fanout", name);
  topology.apply({
    type: "exchange-declared",
    exchange: {
      name: "nobody",
      type: "fanout",
      durable: true,
      autoDelete: false,
      internal: false,
      arguments: { "alternate-exchange": "amq.fanout" },
    },
  });
  const find = (exchange: string) => {
    const message = { exchange, routingKey: "", properties: {} };
    const { queues, broadcasts } = route(topology, message, {
      broadcasts: () => true,
      puts: ({ declaration }) => declaration.name === "b",
    });
    return [[...queues], broadcasts];
  };
  assertEquals(find("amq.fanout"), [["b"], ["amq.fanout"]]);
  assertEquals(find("nobody"), [["b"], ["nobody", "amq.fanout"]]);
  // A queue that is not asked for is bound all the same.
  bind("nobody", "a");
  assertEquals(find("nobody"), [[], ["nobody"]]);
});

Deno.test("route() passes over what is no string in CC", () => {
  const { queues } = route(topologyOf(), {
    exchange: "",
    routingKey: "missing",
    properties: { headers: { CC: [7, "b", null] } },
  });
  assertEquals([...queues], ["b"]);
});

const message: Publishing = {
  exchange: "e",
  routingKey: "k",
  mandatory: true,
  delay: 5,
  properties: {
    headers: { CC: ["c"], BCC: ["d"], kept: 1 },
    expiration: 9,
    messageId: "m",
  },
  body: Uint8Array.of(1),
};

Deno.test("withoutBcc() takes BCC away, and nothing else", () => {
  assertEquals(withoutBcc(message).properties.headers, { CC: ["c"], kept: 1 });
  const plain = { ...message, properties: {} };
  assertEquals(withoutBcc(plain) === plain, true);
});

const queueWith = (name: string, arguments_: FieldTable): QueueDeclaration => ({
  name,
  durable: true,
  exclusive: false,
  autoDelete: false,
  arguments: arguments_,
});

Deno.test("deadLetter() has RabbitMQ's headers", () => {
  const queue = queueWith("q", { "x-dead-letter-exchange": "dlx" });
  const next = deadLetter(queue, message, "expired", 1_700_000_000_123);
  assertEquals(next, {
    exchange: "dlx",
    routingKey: "k",
    mandatory: false,
    delay: 0,
    properties: {
      messageId: "m",
      headers: {
        "x-first-death-queue": "q",
        "x-first-death-reason": "expired",
        "x-first-death-exchange": "e",
        CC: ["c"],
        BCC: ["d"],
        kept: 1,
        "x-death": [{
          count: 1,
          reason: "expired",
          queue: "q",
          time: new Date(1_700_000_000_000),
          exchange: "e",
          "routing-keys": ["k", "c"],
          "original-expiration": "9",
        }],
      },
    },
    body: message.body,
    republished: true,
  });
});

Deno.test("deadLetter() writes the first death anew where there is no list of deaths", () => {
  const queue = queueWith("q", { "x-dead-letter-exchange": "dlx" });
  const headers = { "x-first-death-queue": "another", "x-death": "none" };
  const next = deadLetter(
    queue,
    { ...message, properties: { headers } },
    "maxlen",
    0,
  );
  assertEquals(next?.properties.headers?.["x-first-death-queue"], "q");
});

Deno.test("deadLetter() counts, the newest first, and takes CC away with a key of its own", () => {
  const one = queueWith("one", {
    "x-dead-letter-exchange": "",
    "x-dead-letter-routing-key": "two",
  });
  const two = queueWith("two", {
    "x-dead-letter-exchange": "",
    "x-dead-letter-routing-key": "one",
  });
  let next = deadLetter(one, message, "rejected", 0);
  next = next && deadLetter(two, next, "maxlen", 0);
  next = next && deadLetter(one, next, "rejected", 0);
  const deaths = next?.properties.headers?.["x-death"];
  assertEquals(
    Array.isArray(deaths) &&
      deaths.map((death) => [death.queue, death.reason, death.count]),
    [["one", "rejected", 2], ["two", "maxlen", 1]],
  );
  assertEquals(next?.properties.headers?.CC, undefined);
  assertEquals(next?.properties.headers?.["x-first-death-queue"], "one");
  assertEquals(
    deadLetter(queueWith("q", {}), message, "rejected", 0),
    undefined,
  );
});

Deno.test("deadLetterTargets() ends circles that nobody rejected in", () => {
  const queue = queueWith("q", { "x-dead-letter-exchange": "" });
  const targets = (reason: "expired" | "rejected") => {
    const next = deadLetter(queue, message, reason, 0);
    return next && [...deadLetterTargets(new Set(["q", "r"]), next)];
  };
  assertEquals(targets("expired"), ["r"]);
  assertEquals(targets("rejected"), ["q", "r"]);
});

Deno.test("deadLetter() counts a death that tells no number as one", () => {
  const queue = queueWith("q", { "x-dead-letter-exchange": "dlx" });
  for (const [count, next] of [[undefined, 2], ["7", 2], [7n, 8], [3, 4]]) {
    const death = { queue: "q", reason: "rejected", count };
    const headers = { "x-death": [death as FieldTable] };
    const letter = deadLetter(
      queue,
      { ...message, properties: { headers } },
      "rejected",
      0,
    );
    const [newest] = deathsOf(letter?.properties.headers ?? {});
    assertEquals(newest?.count, next);
  }
});
