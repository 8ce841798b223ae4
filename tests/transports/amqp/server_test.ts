/** What is claimed of a broker, by who it says it is. */

import { assert, assertEquals } from "@std/assert";
import { type Capability, createConnection, Exchange, Queue } from "@dashi/mq";
import { Server } from "../../../transports/amqp_protocol/server.ts";
import { rejectsWith, until } from "../../conformance/support.ts";
import { test } from "../../support/amqp.ts";
import { Proxy } from "../../support/proxy.ts";

/** What AMQP 0-9-1 asks of each broker. */
const OF_ALL: readonly Capability[] = [
  "exclusive",
  "known-queues",
  "persistence",
  "queued-fanout",
  "shared-topology",
];

Deno.test("RabbitMQ's capabilities are claimed of RabbitMQ and LavinMQ alone", () => {
  const of = (properties: object) =>
    [...new Server(properties).capabilities].toSorted();
  const rabbitmq = of({ product: "RabbitMQ", version: "4.3.6" });
  assert(rabbitmq.includes("message-ttl") && rabbitmq.includes("dead-letter"));
  assertEquals(of({ product: "LavinMQ", version: "2.4.0" }), rabbitmq);
  assertEquals(of({ product: "Apache Qpid Broker-J Core" }), OF_ALL);
  assertEquals(of({}), OF_ALL);
  assertEquals(of({ product: 7, capabilities: "all" }), OF_ALL);
  const bound = { capabilities: { exchange_exchange_bindings: true } };
  assertEquals(
    of({ product: "Another", ...bound }),
    ["exchange-to-exchange", ...OF_ALL].toSorted(),
  );
});

const NAME = new TextEncoder().encode("RabbitMQ");

/** A RabbitMQ that says, in its first words, that it is another broker. */
function underAnotherName(url: string): Proxy {
  const proxy = Proxy.to(url);
  proxy.onAnswer = (bytes) => {
    // connection.start
    if (bytes[0] !== 1 || bytes[8] !== 10 || bytes[10] !== 10) return;
    for (let at = 0; at < bytes.length; at++) {
      if (NAME.every((byte, i) => bytes[at + i] === byte)) bytes[at] = 0x52 + 6;
    }
  };
  return proxy;
}

test("what another broker than RabbitMQ would ignore is refused", async ({ url }) => {
  await using proxy = underAnotherName(url);
  await using connection = createConnection(proxy.urlOf(url));
  await connection.connect();
  assertEquals(
    [...connection.capabilities].toSorted(),
    [
      "exchange-to-exchange",
      ...OF_ALL,
    ].toSorted(),
  );
  const id = `dashi-other-${crypto.randomUUID()}`;
  for (
    const [argument, value] of [
      ["x-message-ttl", 1000],
      ["x-expires", 60_000],
      ["x-max-length", 1],
      ["x-max-priority", 5],
      ["x-dead-letter-exchange", ""],
      ["x-ordered", true],
    ] as const
  ) {
    const queue = new Queue(id, { arguments: { [argument]: value } });
    await rejectsWith(connection.declare(queue), "unsupported", argument);
  }
  for (
    const options of [
      { type: "x-random" },
      { internal: true },
      { alternateExchange: "amq.fanout" },
    ] as const
  ) {
    await rejectsWith(
      connection.declare(new Exchange(id, options)),
      "unsupported",
      id,
    );
  }
  const queue = new Queue(id);
  await connection.declare(queue);
  const handle = connection.queue(queue);
  for (
    const [options, word] of [
      [{ delay: 1000 }, "delay"],
      [{ expiration: 1000 }, "message-ttl"],
      [{ priority: 5 }, "priority"],
      [{ key: "a" }, "key-order"],
      [{ headers: { CC: ["b"] } }, "CC"],
    ] as const
  ) {
    await rejectsWith(connection.send(queue, 1, options), "unsupported", word);
  }
  assertEquals((await handle.status()).messageCount, 0);
  await handle.delete();
});

test("a handler's message is tried again at once, and parked, on a broker that cannot delay", async ({ url }) => {
  await using proxy = underAnotherName(url);
  await using connection = createConnection(proxy.urlOf(url), {
    onUnhandled: () => {},
  });
  const queue = new Queue<number>(`dashi-other-${crypto.randomUUID()}`);
  await connection.declare(queue);
  await connection.send(queue, 7);
  const consumer = connection.consumer(queue);
  const attempts: number[] = [];
  await rejectsWith(consumer.run(() => {}, { retry: {} }), "unsupported");
  const again = connection.consumer(queue);
  const running = again.run(({ attempt }) => {
    attempts.push(attempt);
    throw new Error("no");
  }, { retry: { attempts: 3, backoff: 0 } });
  const failed = connection.queue(`${queue.name}.failed`);
  await until(
    async () =>
      (await failed.status().catch(() => undefined))?.messageCount === 1,
    "a parked message",
  );
  await again.cancel();
  await running;
  assertEquals(attempts, [1, 2, 3]);
  for (const each of [failed, connection.queue(queue)]) await each.delete();
});
