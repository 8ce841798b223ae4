/** The properties of entities without a broker. */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { createConnection, Exchange, OptionError, Queue } from "@dashi/mq";
import {
  exchangesOf,
  isBuiltIn,
  routes,
} from "../../../messaging/entities/entities.ts";
import { hasSingleActiveConsumer } from "../../../messaging/entities/queue.ts";

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

/** What no compiler has seen. */
const NO_BINDINGS: readonly [unknown, string][] = [
  [null, "null as a binding of"],
  [5, "5 as a binding of"],
  ["orders", '"orders" as a binding of'],
  [[], "an array as a binding of"],
  [{}, 'an object without "exchange" as a binding of'],
  [new Exchange("orders"), "make it by binding(exchange, routingKey)"],
  [{ exchange: "orders", routingkey: "a" }, 'did you mean "routingKey"'],
  [{ exchange: "orders", key: "a" }, 'here it is "routingKey"'],
  [{ exchange: "orders", routingKey: 5 }, "it must be a string"],
  [{ exchange: "orders", routingKey: "a", arguments: null }, "an object"],
  [{ exchange: 5, routingKey: "a" }, "a string or an object"],
];

Deno.test("what is no binding is refused where it is given, by what was given and what is right", async () => {
  await using connection = createConnection("memory://no-bindings");
  const queue = new Queue("q");
  await connection.declare(queue);
  for (const [given, text] of NO_BINDINGS) {
    const bindings = [given as never];
    assertThrows(() => new Queue("q", { bindings }), OptionError, text);
    assertThrows(() => new Exchange("e", { bindings }), OptionError, text);
    const unbind = () => connection.unbind(queue, given as never);
    await assertRejects(unbind, OptionError, text);
  }
  await assertRejects(
    () => connection.unbind(queue, undefined as never),
    OptionError,
    'Cannot use undefined as a binding of queue "q"',
  );
});

Deno.test("what a binding leaves out is as binding() has it", () => {
  const { bindings } = new Queue("q", {
    bindings: [{ exchange: "orders" } as never],
  });
  assertEquals(bindings, [
    { exchange: "orders", routingKey: "", arguments: {} },
  ]);
});

Deno.test("an exchange that others are bound to by many ways is looked at once", () => {
  let exchange = new Exchange("e0");
  // Two ways at each of forty crossings: nobody has the time to go all of them.
  for (let i = 1; i <= 40; i++) {
    const bindings = ["a", "b"].map((name) => ({
      exchange: new Exchange(`${name}${i}`, {
        bindings: [{ exchange, routingKey: "", arguments: {} }],
      }),
      routingKey: "",
      arguments: {},
    }));
    exchange = new Exchange(`e${i}`, { bindings });
  }
  const names = [...exchangesOf(new Queue("q", { exchange }))]
    .map(({ name }) => name);
  assertEquals([names.length, new Set(names).size], [121, 121]);
  assertEquals([names.at(0), names.at(-1)], ["e0", "e40"]);
});

Deno.test("a queue has a single active consumer if its argument is true, and in no other case", () => {
  const says = (argument?: boolean) =>
    hasSingleActiveConsumer({
      arguments: argument === undefined
        ? {}
        : { "x-single-active-consumer": argument },
    });
  assertEquals([says(true), says(false), says()], [true, false, false]);
});

Deno.test("a queue that is declared again brings back an exchange of its that was deleted", async () => {
  await using connection = createConnection(`memory://${crypto.randomUUID()}`);
  const exchange = new Exchange("orders");
  const queue = new Queue<number>("q", { exchange, routingKey: "new" });
  await connection.declare(queue);
  await connection.delete(exchange);
  await connection.declare(queue);
  const producer = connection.producer<number>({ exchange });
  await producer.publish(7, { routingKey: "new", mandatory: true });
  const message = await connection.queue<number>("q").get();
  assertEquals(message?.payload, 7);
  await message?.ack();
});
