import { assert, assertEquals } from "@std/assert";
import {
  type Binding,
  matchTopic,
  route,
  Topology,
} from "../../virtual/mod.ts";
import { formatPattern } from "../../virtual/topic.ts";
import golden from "../golden/topic_match.json" with { type: "json" };

interface Row {
  readonly binding_key: string;
  readonly matches: Readonly<Record<string, { readonly rabbitmq: boolean }>>;
}

const rows: readonly Row[] = golden.rows;

for (const { binding_key: pattern, matches } of rows) {
  Deno.test(`matchTopic() and route() match "${pattern}" as RabbitMQ does`, () => {
    const topology = new Topology();
    const queue = {
      name: "q",
      durable: true,
      exclusive: false,
      autoDelete: false,
      arguments: {},
    };
    topology.apply({ type: "queue-declared", queue, owner: undefined });
    topology.apply({
      type: "bound",
      binding: {
        source: "amq.topic",
        destination: { kind: "queue", name: "q" },
        routingKey: pattern,
        arguments: {},
      },
    });
    for (const [routingKey, { rabbitmq }] of Object.entries(matches)) {
      assertEquals(matchTopic(pattern, routingKey), rabbitmq, routingKey);
      const message = { exchange: "amq.topic", routingKey, properties: {} };
      assertEquals(
        route(topology, message).queues.size > 0,
        rabbitmq,
        `route() of "${routingKey}"`,
      );
    }
  });
}

function bound(...patterns: readonly string[]): Topology {
  const topology = new Topology();
  for (const name of patterns) {
    const queue = {
      name,
      durable: true,
      exclusive: false,
      autoDelete: false,
      arguments: {},
    };
    topology.apply({ type: "queue-declared", queue, owner: undefined });
    topology.apply({ type: "bound", binding: bindingOf(name) });
  }
  return topology;
}

function bindingOf(name: string): Binding {
  return {
    source: "amq.topic",
    destination: { kind: "queue", name },
    routingKey: name,
    arguments: {},
  };
}

/** All sequences of up to so many words. */
function sequences(words: readonly string[], most: number): string[] {
  let last = [""];
  const all = [...last];
  for (let i = 0; i < most; i++) {
    last = last.flatMap((each) =>
      words.map((word) => i === 0 ? word : `${each}.${word}`)
    );
    all.push(...last);
  }
  return all;
}

/** By the definition, word for word. */
function matches(pattern: readonly string[], key: readonly string[]): boolean {
  const [word, ...rest] = pattern;
  if (word === undefined) return key.length === 0;
  if (word === "#") {
    return matches(rest, key) ||
      key.length > 0 && matches(pattern, key.slice(1));
  }
  return key.length > 0 && (word === "*" || word === key[0]) &&
    matches(rest, key.slice(1));
}

Deno.test("matchTopic() and route() match every short pattern and key by the definition, and unbinding leaves the others", () => {
  const patterns = sequences(["a", "*", "#"], 4);
  const topology = bound(...patterns);
  const split = (key: string) => key === "" ? [] : key.split(".");
  const check = (left: readonly string[]) => {
    for (const routingKey of sequences(["a", "b", "#"], 4)) {
      const message = { exchange: "amq.topic", routingKey, properties: {} };
      const found = route(topology, message).queues;
      for (const pattern of patterns) {
        const expected = matches(split(pattern), split(routingKey));
        const what = `"${pattern}" and "${routingKey}"`;
        assertEquals(matchTopic(pattern, routingKey), expected, what);
        assertEquals(
          found.has(pattern),
          expected && left.includes(pattern),
          `route() of ${what}`,
        );
      }
    }
  };
  check(patterns);
  for (const each of patterns.filter((_, i) => i % 2 === 0)) {
    topology.apply({ type: "unbound", binding: bindingOf(each) });
  }
  check(patterns.filter((_, i) => i % 2 === 1));
});

Deno.test("patterns of many wildcards cost next to nothing", () => {
  const many = Array(127).fill("#").join(".");
  const mixed = Array(42).fill("#.*.a").join(".");
  const topology = bound(many, mixed);
  const began = performance.now();
  for (let i = 0; i < 500; i++) {
    const routingKey = `${Array(120).fill("a").join(".")}.${i}`;
    const message = { exchange: "amq.topic", routingKey, properties: {} };
    assertEquals([...route(topology, message).queues], [many]);
    assertEquals(matchTopic(many, routingKey), true);
    assertEquals(matchTopic(mixed, routingKey), false);
  }
  // It took over a minute where each way through a pattern was walked.
  assert(performance.now() - began < 15_000);
});

Deno.test("a routing pattern is written as the expression that Kombu matches with", () => {
  assertEquals(formatPattern("a.*.#"), "^a\\.[^\\.]+\\..*?$");
  assertEquals(formatPattern("a-b+c.1"), "^a\\-b\\+c\\.1$");
  assertEquals(formatPattern("a\0b"), "^a\\000b$");
});
