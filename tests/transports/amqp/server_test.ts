/** What is claimed of a broker, by who it says it is. */

import { assert, assertEquals } from "@std/assert";
import { type Capability, createConnection, Exchange, Queue } from "@dashi/mq";
import { channelError } from "../../../transports/amqp_protocol/errors.ts";
import { Server } from "../../../transports/amqp_protocol/server.ts";
import { rejectsWith, until } from "../../conformance/support.ts";
import { CLIENTS, test } from "../../support/amqp.ts";
import { type Call, FakeAmqp } from "../../support/fake_amqp.ts";
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

const QPID = "Apache Qpid Broker-J Core";

/** As Qpid answers a call that removes what is not there: the channel ends. */
function refuseRemovals(product: string, called: Call[]): FakeAmqp {
  return new FakeAmqp((call, peer) => {
    called.push(call);
    const [group, number] = call.method.split(".").map(Number);
    if (!REMOVALS.includes(call.method)) return;
    peer.method(call.channel, [20, 40], (writer) => {
      writer.short(404);
      writer.shortString(`No such queue, '${call.name}'`);
      writer.short(group ?? 0);
      writer.short(number ?? 0);
    });
    return true;
  }, product);
}

/** Of queues, exchanges and bindings. */
const REMOVALS: readonly string[] = ["50.40", "40.20", "50.50"];

for (const { name, scheme } of CLIENTS) {
  Deno.test(`${name}: to remove what is not there is harmless on a broker that ends the channel for it`, async () => {
    const called: Call[] = [];
    using broker = refuseRemovals(QPID, called);
    await using connection = createConnection(
      `${scheme}://127.0.0.1:${broker.port}//`,
    );
    const channel = await connection.channel();
    const removed = await Promise.all([
      channel.deleteQueue("a"),
      channel.deleteQueue("b"),
      channel.deleteExchange("c"),
      channel.unbind({
        source: "d",
        destination: { kind: "queue", name: "e" },
        routingKey: "",
        arguments: {},
      }),
    ]);
    assertEquals(removed, [0, 0, undefined, undefined]);
    // It is open still, and none of them went by it.
    await channel.declareExchange({
      name: "x",
      type: "direct",
      durable: true,
      autoDelete: false,
      internal: false,
      arguments: {},
    });
    const own = called.find(({ method }) => method === "40.10")?.channel;
    const others = called.filter(({ method }) => REMOVALS.includes(method));
    assertEquals(others.length, 4);
    assert(others.every(({ channel }) => channel !== own));
  });

  Deno.test(`${name}: a broker that names its hosts as it opens is connected to`, async () => {
    using broker = new FakeAmqp(({ channel, method }, peer) => {
      if (method !== "10.40") return;
      peer.method(channel, [10, 41], (writer) => writer.shortString("/"));
      return true;
    }, QPID);
    await using connection = createConnection(
      `${scheme}://127.0.0.1:${broker.port}//`,
    );
    await connection.declare(new Queue("a"));
    assertEquals((await connection.queueStatus("a")).name, "a");
  });

  Deno.test(`${name}: a message that is rejected for good is acked on Qpid, where it would come back`, async () => {
    for (const [product, answer] of [[QPID, "60.80"], ["RabbitMQ", "60.120"]]) {
      const called: string[] = [];
      using broker = new FakeAmqp(({ method }, peer) => {
        called.push(method);
        const [consumer] = peer.consumers;
        if (method === "consuming" && consumer !== undefined) {
          peer.deliver(consumer, 1n);
        }
      }, product);
      await using connection = createConnection(
        `${scheme}://127.0.0.1:${broker.port}//`,
      );
      for await (const message of connection.consumer("q")) {
        await message.reject();
        break;
      }
      const settled = ["60.80", "60.90", "60.120"];
      await until(
        () => called.some((method) => settled.includes(method)),
        "a settlement",
      );
      assertEquals(called.filter((each) => settled.includes(each)), [answer]);
    }
  });
}

Deno.test("what is missing is told in one way, whoever's words it was told in", () => {
  for (
    const [text, kind] of [
      ["NOT_FOUND - no queue 'a' in vhost '/'", "queue"],
      ["NOT_FOUND - no exchange 'a' in vhost '/'", "exchange"],
      ["No such queue, 'a'", "queue"],
      ["Queue 'a' does not exist.", "queue"],
      ["Unknown exchange name: 'a'", "exchange"],
      ["No such exchange: 'a'", "exchange"],
    ] as const
  ) {
    const error = channelError("look", {
      reply: "not-found",
      text,
      cause: undefined,
    });
    assertEquals(
      [error.code, error.message],
      [
        "not-found",
        `Cannot look: there is no such ${kind}; declare it first`,
      ],
    );
  }
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
