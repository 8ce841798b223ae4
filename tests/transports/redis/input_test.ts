/** Changes that others made to a Redis behind our back, and entries that are no messages. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { Buffer } from "node:buffer";
import { createConnection, Exchange, Queue } from "@dashi/mq";
import {
  AuthenticationError,
  NotFoundError,
  PreconditionFailedError,
} from "../../../model/errors.ts";
import { startRedis } from "../../brokers/redis.ts";
import { take } from "../../conformance/stage.ts";
import { Raw, test, testAlone } from "../../support/redis.ts";
import { onRedis } from "../../support/redis_place.ts";

test("publish() says again what was declared when the bindings are gone, the database is flushed, or somebody unbound it (row 21)", async (server) => {
  await using raw = new Raw(server.port);
  await using connection = createConnection(server.url);
  const media = new Exchange("media", { type: "topic" });
  const video = new Queue("video", { exchange: media, routingKey: "video.*" });
  const producer = connection.producer({ exchange: media, declare: [video] });
  const other = createConnection(server.url);
  const elsewhere = await other.channel();
  const removals = [
    () => raw.send("DEL", "_kombu.binding.media"),
    () => raw.send("FLUSHDB"),
    () => raw.send("DEL", "dashi.topology", "dashi.topology.changes"),
    () =>
      elsewhere.unbind({
        source: "media",
        destination: { kind: "queue", name: "video" },
        routingKey: "video.*",
        arguments: {},
      }),
  ];
  await producer.publish(0, { routingKey: "video.x" });
  for (const remove of removals) {
    await raw.send("DEL", "video");
    await remove();
    await producer.publish(1, { routingKey: "video.x" });
    assertEquals(await raw.number("LLEN", "video"), 1);
    const member = "video.*\x06\x16^video\\.[^\\.]+$\x06\x16video";
    assertEquals(await raw.texts("SMEMBERS", "_kombu.binding.media"), [member]);
  }
  // A message that matches no binding makes nobody declare the queue again.
  const before = await raw.texts("LRANGE", "dashi.topology.changes", 0, -1);
  await producer.publish(2, { routingKey: "audio.x" });
  assertEquals(
    await raw.texts("LRANGE", "dashi.topology.changes", 0, -1),
    before,
  );
  await other.close();
});

test("publish() keeps to what another connection declares of a queue", async (server) => {
  await using raw = new Raw(server.port);
  await using publishing = createConnection(server.url);
  await using declaring = createConnection(server.url);
  const producer = publishing.producer();
  const options = { routingKey: "q", mandatory: false };
  for (let i = 0; i < 3; i++) await producer.publish(i, options);
  assertEquals(await raw.number("LLEN", "q"), 3);
  await declaring.declare(new Queue("q", { maxLength: 2 }));
  // Nothing but the server's word tells the publisher.
  for (let i = 0; i < 3; i++) await producer.publish(i, { routingKey: "q" });
  assertEquals(await raw.number("LLEN", "q"), 2);
  await declaring.channel().then((channel) => channel.deleteQueue("q"));
  await declaring.declare(new Queue("q", { messageTtl: 60_000 }));
  // The word may come just after the first of them has left.
  for (let i = 0; i < 3; i++) await producer.publish(i, { routingKey: "q" });
  const [stored = ""] = await raw.texts("LRANGE", "q", 0, -1);
  assert(stored.includes(";expires="), stored);
});

test("publish() to a fanout exchange resolves when nobody listens (row 21)", async (server) => {
  await using connection = createConnection(server.url);
  const news = new Exchange("news", { type: "fanout" });
  await connection.producer({ exchange: news, declare: [news] }).publish("x");
});

test("a database that the server has not is not-found, with its number", async (server) => {
  const url = server.url.replace(/\/0$/, "/99");
  const connection = createConnection(url);
  const error = await assertRejects(() => connection.connect(), NotFoundError);
  assert(error.message.includes("/99"), error.message);
  await connection.close();
});

testAlone(
  "a wrong password, and none, is authentication-failed at once",
  async () => {
    const server = await startRedis({ password: "s3cret" });
    try {
      const host = `127.0.0.1:${server.port}`;
      for (const userinfo of ["", ":wrong@", "nobody:s3cret@"]) {
        const connection = createConnection(`redis://${userinfo}${host}/0`);
        const error = await assertRejects(
          () => connection.connect(),
          AuthenticationError,
        );
        assert(!error.message.includes("s3cret"), error.message);
        assertEquals(error.retryable, false);
        await connection.close();
      }
      await using connection = createConnection(`redis://${host}/0`, {
        password: () => Promise.resolve("s3cret"),
      });
      await connection.connect();
    } finally {
      await server.stop();
    }
  },
);

onRedis(
  "a key of another type under a queue's name is precondition-failed, and harms no other",
  async ({ connection, redis, prefix }) => {
    await connection.declare([new Queue("bad"), new Queue("good")]);
    await redis.set(`${prefix}bad`, "no list");
    const producer = connection.producer();
    const results = await Promise.allSettled([
      producer.publish(1, { routingKey: "bad" }),
      producer.publish(2, { routingKey: "good" }),
    ]);
    assertEquals(results.map(({ status }) => status), [
      "rejected",
      "fulfilled",
    ]);
    const [rejected] = results;
    assert(rejected?.status === "rejected");
    assert(rejected.reason instanceof PreconditionFailedError);
    assert(rejected.reason.message.includes("bad"), rejected.reason.message);
    const good = connection.consumer("good")[Symbol.asyncIterator]();
    const first = await good.next();
    await assertRejects(
      () => take(connection.consumer("bad"), 1),
      PreconditionFailedError,
      "bad",
    );
    await first.value?.ack();
    await producer.publish(3, { routingKey: "good" });
    const second = await good.next();
    assertEquals(second.value?.payload, 3);
    await second.value?.ack();
    await good.return?.();
    assertEquals(await redis.get(`${prefix}bad`), "no list");
  },
);

const RUBBISH: readonly (string | Uint8Array)[] = [
  "rubbish",
  "",
  "[]",
  "{}",
  '{"body": "eA==", "content-encoding": "utf-8", "cut',
  '{"body": "eA==", "content-encoding": "utf-8"} and }}',
  '{"body": "YWJ", "properties": {"body_encoding": "base64", "delivery_info": {}}}',
  '{"body": null, "headers": {}, "properties": {}}',
  new Uint8Array([0x7b, 0xff, 0xfe, 0x7d, 0x7d]),
];

onRedis(
  "rubbish among good messages goes to onInvalid, and stays aside until it is acked (row 8)",
  async ({ connection, redis, prefix }) => {
    await connection.declare(new Queue("q"));
    const producer = connection.producer();
    for (const [i, each] of RUBBISH.entries()) {
      await producer.publish(i, { routingKey: "q" });
      await redis.lpush(
        `${prefix}q`,
        typeof each === "string" ? each : Buffer.from(each),
      );
    }
    await producer.publish(-1, { routingKey: "q" });
    const bytes = RUBBISH.map((each) =>
      typeof each === "string" ? new TextEncoder().encode(each) : each
    );
    const bad: Uint8Array[] = [];
    const consumer = connection.consumer<number>("q", {
      onInvalid: async (_error, message) => {
        bad.push(message.body);
        if (bad.length === RUBBISH.length) await message.ack();
      },
    });
    const good = await take(consumer, RUBBISH.length + 1);
    assertEquals(
      good.map(({ payload }) => payload),
      [...RUBBISH.keys(), -1],
    );
    for (const message of good) await message.ack();
    assertEquals(bad.map((each) => [...each]), bytes.map((each) => [...each]));
    // None was lost: those that were not acked are where an operator finds them.
    assertEquals(await redis.exists(`${prefix}q`), 0);
    assertEquals(await redis.exists(`${prefix}unacked`), 0);
    const aside = await redis.lrangeBuffer(`${prefix}dashi.malformed.q`, 0, -1);
    const inOrder = (list: readonly Uint8Array[]) =>
      list.map((each) => [...each].join(" ")).sort();
    assertEquals(inOrder(aside), inOrder(bytes.slice(0, -1)));
  },
);
