/** The properties of entities without a broker. */

import { assertEquals } from "@std/assert";
import { Exchange, Queue } from "@dashi/mq";
import { isBuiltIn, routes } from "../../../messaging/entities/entities.ts";

Deno.test("entities say whether a message reaches one of their queues, however many exchanges are between", () => {
  const source = new Exchange("source", { type: "topic" });
  const middle = new Exchange("middle", {
    type: "fanout",
    bindings: [{ exchange: source, routingKey: "a.*", arguments: {} }],
  });
  const queue = new Queue("q", { exchange: middle });
  const reaches = (exchange: string, routingKey: string, to: Queue[] = []) =>
    routes({ exchange, routingKey, properties: {} }, [source, middle, ...to]);
  assertEquals(reaches("source", "a.b", [queue]), true);
  assertEquals(reaches("middle", "", [queue]), true);
  assertEquals(reaches("source", "b.a", [queue]), false);
  assertEquals(reaches("other", "a.b", [queue]), false);
  assertEquals(reaches("source", "a.b"), false);
});

Deno.test("of a direct exchange a queue gets what has its key alone", () => {
  const exchange = new Exchange("orders", { type: "direct" });
  const queue = new Queue("q", { exchange, routingKey: "new" });
  const reaches = (routingKey: string) =>
    routes({ exchange: "orders", routingKey, properties: {} }, [queue]);
  assertEquals([reaches("new"), reaches("old")], [true, false]);
});

Deno.test("the default exchange and those of amq. are the broker's own", () => {
  const names = ["", "amq.topic", "orders", "my.amq."];
  assertEquals(names.map(isBuiltIn), [true, true, false, false]);
});
