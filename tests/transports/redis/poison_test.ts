/** Redis with keys of other types where messages should go, and peers with other options. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { Queue } from "@dashi/mq";
import { PreconditionFailedError } from "../../../model/errors.ts";
import type { Delivery } from "../../../model/message.ts";
import { until } from "../../brokers/server.ts";
import { connectTo, pause, Raw, test } from "../../support/redis.ts";
import {
  CONSUME,
  messageTo,
  openTransport,
  queueOf,
} from "../../support/redis_transport.ts";

test("a dead letter that cannot be put stays where it was", async (server) => {
  await using connection = await openTransport(server.url);
  await using raw = new Raw(server.port);
  const channel = await connection.openChannel();
  await channel.declareQueue(queueOf("q", {
    "x-dead-letter-exchange": "",
    "x-dead-letter-routing-key": "dead",
  }));
  await raw.send("SET", "dead", "something else");
  await channel.publish(messageTo("", "q"));
  const delivery = await channel.get("q");
  assert(delivery !== undefined);
  await assertRejects(
    () => channel.reject(delivery.deliveryTag, { requeue: false }),
    PreconditionFailedError,
  );
  assertEquals(await raw.number("HLEN", "unacked"), 1);
});

test("a message whose list is something else now stays unacked when it is requeued", async (server) => {
  await using connection = await openTransport(server.url);
  await using raw = new Raw(server.port);
  const channel = await connection.openChannel();
  for (const name of ["q", "r"]) {
    await channel.publish(messageTo("", name));
  }
  const deliveries: Delivery[] = [];
  for (const name of ["q", "r"]) {
    const delivery = await channel.get(name);
    if (delivery !== undefined) deliveries.push(delivery);
  }
  await raw.send("SET", "q", "something else");
  await Promise.allSettled(
    deliveries.map(({ deliveryTag }) =>
      channel.reject(deliveryTag, { requeue: true })
    ),
  );
  assertEquals(await raw.number("HLEN", "unacked"), 1);
  assertEquals(await raw.number("ZCARD", "unacked_index"), 1);
  assertEquals(await raw.number("LLEN", "r"), 1);
});

test("a delayed message whose list is something else ends nobody else's consumer", async (server) => {
  await using connection = await openTransport(server.url);
  await using raw = new Raw(server.port);
  const channel = await connection.openChannel();
  await channel.publish(messageTo("", "bad", {}, 30));
  await raw.send("SET", "bad", "something else");
  await channel.declareQueue(queueOf("good"));
  const got = Promise.withResolvers<string>();
  const subscription = await channel.consume(
    "good",
    ({ queue }) => got.resolve(queue),
    CONSUME,
  );
  await pause(100);
  await channel.publish(messageTo("", "good"));
  assertEquals(
    await Promise.race([
      got.promise,
      subscription.ended.then(({ type }) => type),
    ]),
    "good",
  );
  // It waits until there is a place for it.
  assertEquals(await raw.number("ZCARD", "dashi.delayed.bad"), 1);
});

test("a delayed message comes with its priority, whoever brings it", async (server) => {
  await using one = await openTransport(server.url);
  await using two = await openTransport(server.url, {
    prioritySteps: [0],
    priorityOrder: "lowest-first",
  });
  await using raw = new Raw(server.port);
  const [mine, theirs] = [await one.openChannel(), await two.openChannel()];
  for (const priority of [0, 9]) {
    await mine.publish(messageTo("", "q", { priority }, 50));
  }
  await one[Symbol.asyncDispose]();
  await pause(100);
  await theirs.checkQueue("q");
  assertEquals(await raw.number("LLEN", "q"), 1);
  assertEquals(await raw.number("LLEN", "q\x06\x169"), 1);
});

test("a message that expired while it was unacked is dead-lettered once it is requeued", async (server) => {
  await using connection = await openTransport(server.url);
  const channel = await connection.openChannel();
  await channel.declareQueue(queueOf("q", {
    "x-dead-letter-exchange": "",
    "x-dead-letter-routing-key": "dead",
  }));
  // A machine that stands still for a second lets the first one expire before.
  let delivery: Delivery | undefined;
  let expiration = 250;
  while (delivery === undefined && expiration < 16_000) {
    expiration *= 4;
    await channel.publish(messageTo("", "q", { expiration }));
    delivery = await channel.get("q");
  }
  assert(delivery !== undefined);
  await pause(expiration + 50);
  const got = Promise.withResolvers<string>();
  for (const name of ["other", "dead"]) {
    await channel.declareQueue(queueOf(name));
  }
  await channel.consume("other", () => {}, CONSUME);
  await channel.consume("dead", ({ queue }) => got.resolve(queue), CONSUME);
  await pause(50);
  await channel.reject(delivery.deliveryTag, { requeue: true });
  assertEquals(await got.promise, "dead");
});

test("a queue that is far over its limit loses nothing to what is taken next", async (server) => {
  await using connection = await openTransport(server.url, {}, 30_000);
  await using raw = new Raw(server.port);
  const channel = await connection.openChannel();
  await channel.publish(messageTo("", "q"));
  const [text] = await raw.texts("LRANGE", "q", 0, -1);
  await raw.send(
    "EVAL",
    "for i = 1, 130 do local t = {} for j = 1, 1000 do t[j] = ARGV[1] end redis.call('LPUSH', 'q', unpack(t)) end",
    0,
    text ?? "",
  );
  await channel.declareQueue(queueOf("q", {
    "x-max-length": 2,
    "x-dead-letter-exchange": "none",
  }));
  await channel.publish(messageTo("", "q"));
  // So many at a time.
  assertEquals(await raw.number("LLEN", "q"), 130_002 - 1000);
});

test(
  "a server that ends while a sweep is under way leaves no timer",
  async (server) => {
    const connection = await openTransport(server.url, {
      visibilityTimeout: 1,
    });
    await pause(50);
    await server.kill();
    assertEquals((await connection.closed).type, "lost");
    await pause(50);
  },
  { arguments: [] },
);

test("an expired message that cannot be dead-lettered ends nobody else's consumer, and keeps no other from it", async (server) => {
  await using connection = await openTransport(server.url);
  await using raw = new Raw(server.port);
  const channel = await connection.openChannel();
  await raw.send("SET", "bad", "something else");
  for (const [queue, target] of [["one", "bad"], ["two", "dead"]] as const) {
    await channel.declareQueue(queueOf(queue, {
      "x-dead-letter-exchange": "",
      "x-dead-letter-routing-key": target,
    }));
    await channel.publish(messageTo("", queue, { expiration: 20 }));
  }
  await pause(40);
  const got: string[] = [];
  const both = Promise.withResolvers<string>();
  const deliver = ({ queue }: Delivery) => {
    got.push(queue);
    if (got.length === 2) both.resolve("both");
  };
  for (const name of ["other", "dead"]) {
    await channel.declareQueue(queueOf(name));
  }
  const other = await channel.consume("other", deliver, CONSUME);
  await channel.consume("dead", deliver, CONSUME);
  await pause(100);
  await channel.publish(messageTo("", "other"));
  assertEquals(
    await Promise.race([both.promise, other.ended.then(({ type }) => type)]),
    "both",
  );
  assertEquals(await raw.number("HLEN", "unacked"), 3);
});

test("get() of a key that is no list leaves nobody's expired message behind", async (server) => {
  await using connection = await openTransport(server.url);
  await using raw = new Raw(server.port);
  const channel = await connection.openChannel();
  await channel.declareQueue(queueOf("q", {
    "x-dead-letter-exchange": "",
    "x-dead-letter-routing-key": "dead",
  }));
  await channel.publish(messageTo("", "q", { expiration: 20 }));
  await raw.send("SET", "bad", "something else");
  await pause(40);
  await assertRejects(() => channel.get("bad"), PreconditionFailedError);
  assertEquals(await raw.number("LLEN", "dead"), 1);
});

test("a delayed message comes though many queues wait for somebody to dead-letter what they hold", async (server) => {
  await using connection = await openTransport(server.url);
  await using raw = new Raw(server.port);
  const channel = await connection.openChannel();
  await Promise.all(
    Array.from({ length: 120 }, async (_, i) => {
      await channel.declareQueue(queueOf(`q${i}`, {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "dead",
      }));
      await channel.publish(messageTo("", `q${i}`, { expiration: 1 }));
    }),
  );
  await pause(20);
  await channel.publish(messageTo("", "late", {}, 20));
  // Kombu's consumers alone are there: the publisher brings it.
  await until(
    "the message",
    30_000,
    async () => await raw.number("LLEN", "late") === 1,
  );
});

test("an entry that is no message and cannot be requeued stays aside", async (server) => {
  await using connection = await openTransport(server.url);
  await using raw = new Raw(server.port);
  const channel = await connection.openChannel();
  await raw.send("LPUSH", "q", "garbage");
  const delivery = await channel.get("q");
  assert(delivery?.malformed !== undefined);
  await raw.send("SET", "q", "something else");
  await assertRejects(
    () => channel.reject(delivery.deliveryTag, { requeue: true }),
    PreconditionFailedError,
  );
  const aside = await raw.texts("LRANGE", "dashi.malformed.q", 0, -1);
  assertEquals(aside, ["garbage"]);
});

test("a dead letter that cannot be written again keeps no other from being put back", async (server) => {
  await using raw = new Raw(server.port);
  await using connection = connectTo(server.url);
  await connection.declare([new Queue("dead"), new Queue("jobs")]);
  const foreign = ENVELOPE("{}").replace(
    '"delivery_tag"',
    '"priority": 300, "delivery_tag"',
  );
  await raw.send("LPUSH", "dead", foreign);
  const puts = Array.from({ length: 30 }, (_, i) => i);
  await connection.producer({ queue: "dead" }).publishAll(puts);
  await assertRejects(
    () => connection.redrive("dead", { to: "jobs" }),
    RangeError,
    "priority 300",
  );
  assertEquals((await connection.queueStatus("jobs")).messageCount, 30);
  assertEquals((await connection.queueStatus("dead")).messageCount, 1);
});

for (const retry of [undefined, { attempts: 3, backoff: 0 }]) {
  test(
    `an entry that is no message, and whose handler fails without reading it, is called once with ${
      retry === undefined ? "no" : "a"
    } policy`,
    async (server) => {
      await using raw = new Raw(server.port);
      for (const text of ["garbage", ENVELOPE("[1]"), ENVELOPE("{}", "2")]) {
        await raw.send("LPUSH", "q", text);
      }
      await using connection = connectTo(server.url, { onUnhandled: () => {} });
      await using consumer = connection.consumer("q");
      const calls = { good: 0, bad: 0 };
      const running = consumer.run(({ properties: { contentType } }) => {
        calls[contentType === undefined ? "bad" : "good"]++;
        throw new Error("it is something else that fails");
      }, { retry, onFailure: "reject" });
      await until(
        "both are kept",
        30_000,
        async () => await raw.number("LLEN", "dashi.malformed.q") === 2,
      );
      if (retry !== undefined) {
        await until(
          "the third has failed",
          30_000,
          () => Promise.resolve(calls.good === 3),
        );
      }
      await consumer.cancel();
      await running;
      assertEquals(calls.bad, 2);
    },
  );
}

const ENVELOPE = (headers: string, tag = "1") =>
  `{"properties": {"delivery_info": {"exchange": "", "routing_key": "q"}, "body_encoding": "base64", "delivery_tag": "${tag}"}, "headers": ${headers}, "content-type": "application/json", "content-encoding": "utf-8", "body": "MQ=="}`;

/** Returns a text in decimal escapes of Lua, by which a script can write any byte to a list. */
const AS_BYTES = (text: string) =>
  [...text].map((each) => `\\${String(each.charCodeAt(0)).padStart(3, "0")}`)
    .join("");

test(
  "an entry that we cannot read is given back byte for byte, by whatever gives it back, and keeps nothing else",
  async (server) => {
    await using raw = new Raw(server.port);
    const foreign = '{"x": {"__type__": "nobody\'s", "__value__": 1.0}}';
    const texts = [
      ENVELOPE(foreign),
      ENVELOPE('{"x": "\xff"}'), // no UTF-8
      // As Kombu writes it.
      `{"body": "MQ==", "content-encoding": "utf-8", "content-type": "application/json", "headers": ${foreign}, "properties": {"delivery_mode": 2, "delivery_info": {"exchange": "", "routing_key": "q"}, "priority": 0, "body_encoding": "base64", "delivery_tag": "1"}}`,
    ];
    const sha = () =>
      raw.send(
        "EVAL",
        "return redis.sha1hex(redis.call('LINDEX', 'q', -1))",
        0,
      );
    for (const text of texts) {
      for (const how of ["requeued", "closed", "lost", "killed"]) {
        await raw.send("FLUSHALL");
        await raw.send(
          "EVAL",
          `redis.call('LPUSH', 'q', "${AS_BYTES(text)}")`,
          0,
        );
        const before = await sha();
        const holder = await openTransport(server.url, {}, 5000, "holder");
        const channel = await holder.openChannel();
        const delivery = await channel.get("q");
        assert(delivery?.malformed !== undefined, how);
        // A neighbour that is given back in the same breath.
        await channel.publish(messageTo("", "r"));
        const other = await channel.get("r");
        assert(other !== undefined);
        if (how === "requeued") {
          await Promise.all([
            channel.reject(other.deliveryTag, { requeue: true }),
            channel.reject(delivery.deliveryTag, { requeue: true }),
          ]);
        }
        if (how === "lost" || how === "killed") {
          holder.destroy?.();
          await holder.closed;
          if (how === "killed") {
            // The owner finds that out with its next heartbeat.
            await raw.send("ZADD", "dashi.owners", 1, "holder");
            await raw.send("DEL", "dashi.owners.patient");
          }
        }
        await holder[Symbol.asyncDispose]();
        const next = how === "lost" ? "holder" : "another";
        await using _ = await openTransport(server.url, {}, 5000, next);
        assertEquals(await raw.number("HLEN", "unacked"), 0, how);
        assertEquals(await raw.number("LLEN", "q"), 1, how);
        assertEquals(await raw.number("LLEN", "r"), 1, how);
        assertEquals(await sha(), before, how);
      }
    }
  },
  { arguments: ["--appendonly", "no"] },
);

test("an entry that can be read but not written goes back with its own text", async (server) => {
  await using raw = new Raw(server.port);
  await using transport = await openTransport(server.url);
  const channel = await transport.openChannel();
  const headers =
    '{"a": NaN, "b": 1.0, "c": 12345678901234567890, "d": {"__type__": "datetime", "__value__": "2026-01-01T00:00:00.123456"}}';
  await raw.send("LPUSH", "q", ENVELOPE(headers));
  for (const count of [1, 2]) {
    const delivery = await channel.get("q");
    assert(delivery !== undefined && delivery.malformed === undefined);
    assertEquals(delivery.properties.headers?.a, NaN);
    await channel.reject(delivery.deliveryTag, { requeue: true });
    const [text = ""] = await raw.texts("LRANGE", "q", 0, -1);
    assert(text.includes(headers.slice(1)), text);
    assertEquals(text.match(/"redelivered": true/g)?.length, 2, `${count}`);
  }
});
