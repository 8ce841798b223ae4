import { assertEquals } from "@std/assert";
import { consumersLeftBy } from "../../../transports/store/changes.ts";
import { foreignQueue, Topology } from "../../../virtual/topology.ts";

Deno.test("the consumers that an owner has left go, and those of others on the same queue stay", () => {
  const topology = new Topology();
  topology.apply(foreignQueue("orders"));
  const consumerOf = (owner: string) => ({
    consumerTag: `of ${owner}`,
    owner,
    exclusive: false,
  });
  for (const owner of ["one", "two"]) {
    const consumer = consumerOf(owner);
    topology.apply({ type: "consumer-added", queue: "orders", consumer });
  }
  assertEquals(consumersLeftBy(topology, "one"), [
    { type: "consumer-removed", queue: "orders", consumer: consumerOf("one") },
  ]);
  assertEquals(consumersLeftBy(topology, "three"), []);
});
