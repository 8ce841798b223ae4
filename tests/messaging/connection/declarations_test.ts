/** The declarations that a session remembers. */

import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import {
  binding,
  createConnection,
  Exchange,
  NotFoundError,
  Queue,
} from "@dashi/mq";
import { createTestBroker } from "@dashi/mq/testing";
import { Declarations } from "../../../messaging/connection/declarations.ts";
import type { Channel } from "../../../transports/transport.ts";

Deno.test("a queue whose name the broker chose is known by its old name when it is gone, and gets another", async () => {
  let count = 0;
  const channel = {
    declareQueue: () =>
      Promise.resolve({
        name: `chosen-${++count}`,
        messageCount: 0,
        consumerCount: 0,
      }),
  } as Partial<Channel> as Channel;
  const declarations = new Declarations();
  const queue = new Queue("", { exclusive: true });
  await declarations.declare(queue, channel, {});
  assertEquals(declarations.nameOf(queue), "chosen-1");
  assertEquals(declarations.renamed("chosen-1"), undefined);
  declarations.doubtQueue(queue);
  assertEquals(declarations.nameOf(queue), undefined);
  assertStrictEquals(declarations.renamed("chosen-1"), queue);
  await declarations.declare(queue, channel, {});
  assertEquals(declarations.nameOf(queue), "chosen-2");
});

/** Declares queues as they are named. */
const channel = {
  declareQueue: ({ name }) =>
    Promise.resolve({ name, messageCount: 0, consumerCount: 0 }),
} as Partial<Channel> as Channel;

Deno.test("a queue is looked up by its name among those that were declared", async () => {
  const declarations = new Declarations();
  const queues = ["a", "b"].map((name) => new Queue(name));
  for (const each of queues) await declarations.declare(each, channel, {});
  assertStrictEquals(declarations.queueOf("b"), queues[1]);
  assertEquals(declarations.queueOf("c"), undefined);
});

Deno.test("an entity that could not be declared is missed until it is there", () => {
  const declarations = new Declarations();
  const exchange = new Exchange("x");
  declarations.markFailing(exchange);
  assertEquals(declarations.isFailing("x", ""), true);
  assertEquals(declarations.isFailing("y", ""), false);
  declarations.noteThere(exchange);
  assertEquals(declarations.isFailing("x", ""), false);
});

Deno.test("an exchange is led from by itself, and by what is bound to it, and the default one by the queue of the key", async () => {
  const declarations = new Declarations();
  const exchange = new Exchange("own");
  const bindings = [binding("by-name", "k")];
  for (const each of [exchange, new Queue("q", { bindings })]) {
    declarations.markFailing(each);
  }
  const leads = (exchange: string, routingKey: string) =>
    declarations.isFailing(exchange, routingKey);
  assertEquals([leads("own", "k"), leads("by-name", "k")], [true, true]);
  assertEquals([leads("q", ""), leads("other", "k")], [false, false]);
  await declarations.declare(new Queue("plain"), channel, {});
  const byDefault = ["plain", "other"].map((key) =>
    declarations.leadsFrom("", key)
  );
  assertEquals(byDefault, [true, false]);
});

Deno.test("the queues that were declared are known by name", async () => {
  const declarations = new Declarations();
  for (const name of ["a", "b"]) {
    await declarations.declare(new Queue(name), channel, {});
  }
  assertEquals(declarations.queueNames, ["a", "b"]);
});

Deno.test("a queue that may expire is declared anew when its last consumer has gone, and one that stays is not", async () => {
  const declarations = new Declarations();
  const expiring = new Queue("expiring", { expires: 1000 });
  const staying = new Queue("staying");
  for (const queue of [expiring, staying]) {
    await declarations.declare(queue, channel, {});
    for (let i = 0; i < 2; i++) declarations.use(queue);
    declarations.release(queue);
    assertEquals(declarations.has(queue), true);
    declarations.release(queue);
  }
  assertEquals(declarations.has(expiring), false);
  assertEquals(declarations.has(staying), true);
});

Deno.test("an exchange that goes with its last binding, and is going while a queue is bound to it, is declared again", async () => {
  await using broker = createTestBroker();
  const { connection, clock, faults } = broker;
  const declare = (autoDelete: boolean) => {
    const fault = faults.refuse("bind", {
      error: new NotFoundError("Cannot bind: there is no such exchange"),
    });
    const exchange = new Exchange(`going-${autoDelete}`, { autoDelete });
    const queue = new Queue(`bound-${autoDelete}`, { exchange });
    const declared = connection.declare(queue);
    return { fault, declared: clock.advanceUntil(declared) };
  };
  const going = declare(true);
  await going.declared;
  assertEquals(going.fault.hits, 1);
  // Any other that is not there was deleted by somebody.
  await assertRejects(() => declare(false).declared, NotFoundError);
});

Deno.test("a binding that was removed comes back with a declaration of its queue", async () => {
  await using connection = createConnection(`memory://${crypto.randomUUID()}`);
  const logs = new Exchange("logs", { type: "fanout" });
  const queue = new Queue("q", { bindings: [binding(logs)] });
  await connection.declare(queue);
  await connection.unbind(queue, binding(logs));
  await connection.declare(queue);
  await connection.producer({ exchange: logs }).publish(1);
  assertEquals((await connection.queue("q").status()).messageCount, 1);
});
