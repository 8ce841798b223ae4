import { assertEquals } from "@std/assert";
import { exchangesAround } from "../../virtual/exchanges_around.ts";
import { foreignExchange, Topology } from "../../virtual/topology.ts";

/** Tables in which each exchange leads to the next. */
function chain(...names: readonly string[]): Topology {
  const topology = new Topology();
  for (const name of names) topology.apply(foreignExchange(name, "topic"));
  for (const [i, source] of names.slice(0, -1).entries()) {
    topology.apply({
      type: "bound",
      binding: {
        source,
        destination: { kind: "exchange", name: names[i + 1] ?? "" },
        routingKey: "#",
        arguments: {},
      },
    });
  }
  return topology;
}

const around = (...call: Parameters<typeof exchangesAround>) =>
  [...exchangesAround(...call)].sort();

Deno.test("the exchanges around one are those behind it and before it, in a ring too, and no others", () => {
  const topology = chain("a", "b", "c");
  topology.apply(foreignExchange("apart", "topic"));
  assertEquals(around(topology, ["b"]), ["a", "b", "c"]);
  assertEquals(around(topology, ["apart"]), ["apart"]);
  assertEquals(around(topology, []), []);
  assertEquals(around(chain("a", "b", "a"), ["a"]), ["a", "b"]);
});

Deno.test("the exchanges around one are those to which goes what it leads nowhere", () => {
  const topology = chain("rest", "far");
  topology.apply({
    type: "exchange-declared",
    exchange: {
      name: "a",
      type: "direct",
      durable: true,
      autoDelete: false,
      internal: false,
      arguments: { "alternate-exchange": "rest" },
    },
  });
  assertEquals(around(topology, ["a"]), ["a", "far", "rest"]);
});

Deno.test("a caller that knows more bindings than the tables says which exchanges come next", () => {
  const topology = chain("a", "b");
  const next = (name: string) => name === "b" ? ["elsewhere"] : [];
  assertEquals(around(topology, ["a"], next), ["a"]);
  assertEquals(around(topology, ["b"], next), ["a", "b", "elsewhere"]);
});
