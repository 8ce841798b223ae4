/** Time to run: who holds a message keeps it, or has lost it. */

import { assert, assertEquals } from "@std/assert";
import { createConnection, Queue, SettlementError } from "@dashi/mq";
import { RawClient, testOnServer } from "../../support/beanstalk.ts";
import { block } from "../../support/standing_loop.ts";

testOnServer(
  "a lease is renewed while a handler works: one delivery",
  async (server) => {
    // Renewed each two seconds: it bears a machine that stands still for three.
    const options = { transportOptions: { timeToRun: 6000 } };
    await using connection = createConnection(server.url, options);
    await using other = createConnection(`${server.url}?ttr=6`);
    const queue = new Queue("long");
    await connection.producer({ declare: [queue] }).publish("x", {
      routingKey: queue.name,
    });
    let deliveries = 0;
    const ended = Promise.withResolvers<void>();
    const handler = async () => {
      deliveries++;
      await new Promise((resolve) => setTimeout(resolve, 9000));
      ended.resolve();
    };
    const consumers = [connection, other].map((each) => each.consumer(queue));
    const running = consumers.map((each) => each.run(handler));
    await ended.promise;
    for (const each of consumers) await each.cancel();
    await Promise.all(running);
    assertEquals(deliveries, 1);
    assertEquals((await connection.declare(queue)).messageCount, 0);
    using raw = await RawClient.open(server);
    assertEquals(await raw.number("stats", "job-timeouts"), 0);
    assert(await raw.number("stats", "cmd-touch") >= 3);
  },
);

testOnServer(
  "of two who want a message, one who was silent for too long and another, one has it",
  async (server) => {
    await using connection = createConnection(`${server.url}?ttr=6`);
    const queue = new Queue("blocked");
    const producer = connection.producer({ declare: [queue] });
    await producer.publish("x", { routingKey: queue.name });
    const iterator = connection.consumer(queue, { prefetch: 1 })
      [Symbol.asyncIterator]();
    const { value: message } = await iterator.next();
    assert(message !== undefined);
    using raw = await RawClient.open(server);
    await raw.ask("watch blocked");
    const taken = raw.ask("reserve-with-timeout 12");
    using other = await RawClient.open(server);
    while (await other.number("stats-tube blocked", "current-waiting") === 0);
    // The event loop stands still beyond the lease, and for less than two of them, with three
    // seconds more where the machine does.
    block(8000);
    const error: unknown = await message.ack().then(() => undefined, (e) => e);
    const isTaken = (await taken).line.startsWith("RESERVED");
    // Version 1.12 may forget to look at the time of a consumer that says nothing.
    assertEquals(error instanceof SettlementError, isTaken);
    if (error instanceof SettlementError) {
      assertEquals(error.code, "lease-lost");
    }
    assertEquals(
      await other.number("stats-tube blocked", "cmd-delete"),
      isTaken ? 0 : 1,
    );
    await iterator.return?.();
  },
);
