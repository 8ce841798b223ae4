import { assertEquals } from "@std/assert";
import { consumersLeftBy } from "../../../transports/store/changes.ts";
import { foreignQueue, Topology } from "../../../virtual/topology.ts";

Deno.test("the consumers that an owner has left go, and those of others on the same queue stay", () => {
  const topology = new Topology();
  topology.apply(foreignQueue("orders"));
  const consumers = ["one", "two"].map((owner) => ({
    consumerTag: `of ${owner}`,
    owner,
    exclusive: false,
  }));
  for (const consumer of consumers) {
    topology.apply({ type: "consumer-added", queue: "orders", consumer });
  }
  assertEquals(consumersLeftBy(topology, "one"), [
    { type: "consumer-removed", queue: "orders", consumer: consumers[0] },
  ]);
  assertEquals(consumersLeftBy(topology, "three"), []);
});
