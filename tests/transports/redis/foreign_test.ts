/** Queues of other programs, which nobody of ours has declared: what tells of them. */

import { assertEquals, assertRejects } from "@std/assert";
import { NotFoundError, UnroutableError } from "@dashi/mq";
import { connectTo, Raw, test } from "../../support/redis.ts";

/** A message as Kombu writes it. */
const envelope = (queue: string) =>
  JSON.stringify({
    body: btoa("1"),
    "content-encoding": "utf-8",
    "content-type": "application/json",
    headers: {},
    properties: {
      body_encoding: "base64",
      delivery_info: { exchange: "", routing_key: queue },
      delivery_mode: 2,
      delivery_tag: crypto.randomUUID(),
      priority: 0,
    },
  });

test("a queue is known by what lies in it, was taken from it, or leads to it", async (server) => {
  await using raw = new Raw(server.port);
  await raw.send("LPUSH", "lies", envelope("lies"));
  await raw.send("LPUSH", "urgent\x06\x169", envelope("urgent"));
  const member = (queue: string) => ["key", "", queue].join("\x06\x16");
  await raw.send("SADD", "_kombu.binding.celery", member("celery"));
  await raw.send("SET", "_kombu.binding.text", "is no set of bindings");
  const many = Array.from({ length: 3000 }, (_, i) => member(`of-${i}`));
  await raw.send("SADD", "_kombu.binding.large", ...many);
  for (const queue of ["taken", "tâken"]) {
    for (const text of [JSON.stringify(queue), ascii(queue)]) {
      const value = `[${envelope(queue)}, "", ${text}]`;
      await raw.send("HSET", "unacked", crypto.randomUUID(), value);
    }
  }
  for (
    const queue of ["lies", "urgent", "celery", "of-2999", "taken", "tâken"]
  ) {
    await using connection = connectTo(server.url);
    const { messageCount } = await connection.queue(queue).status();
    await connection.producer().publish(2, { routingKey: queue });
    const after = await connection.queue(queue).status();
    assertEquals(after.messageCount, messageCount + 1, queue);
  }
});

test("a queue that nothing tells of is missing, with the nearest of those that are bound, until somebody puts there", async (server) => {
  await using raw = new Raw(server.port);
  const member = ["key", "", "thumbnails"].join("\x06\x16");
  await raw.send("SADD", "_kombu.binding.media", member);
  // A message that one of ours holds may be of a queue that was deleted.
  const held = `[${envelope("thumbnail")}, "", "thumbnail"]`;
  await raw.send("HSET", "unacked", "owner.01234567.1", held);
  await using connection = connectTo(server.url);
  const producer = connection.producer();
  await Promise.all(Array.from({ length: 10 }, () =>
    assertRejects(
      () => producer.publish(1, { routingKey: "thumbnail" }),
      UnroutableError,
      `did you mean "thumbnails"`,
    )));
  await assertRejects(
    () => connection.queue("thumbnail").get(),
    NotFoundError,
    `did you mean "thumbnails"`,
  );
  assertEquals(await raw.number("EXISTS", "thumbnail"), 0);
  const options = { routingKey: "thumbnail", mandatory: false };
  await producer.publish(1, options);
  await producer.publish(2, options);
  assertEquals(await raw.number("LLEN", "thumbnail"), 2);
  await producer.publish(3, { routingKey: "thumbnail" });
  await using other = connectTo(server.url);
  for (const payload of [1, 2, 3]) {
    const message = await other.queue("thumbnail").get();
    assertEquals(message?.payload, payload);
    await message?.ack();
  }
});

test("a consumer of another program's queue makes it known to all of ours, also while it is empty", async (server) => {
  await using raw = new Raw(server.port);
  await raw.send("LPUSH", "theirs", envelope("theirs"));
  await using connection = connectTo(server.url);
  const consumer = connection.consumer("theirs");
  for await (const message of consumer) {
    await message.ack();
    break;
  }
  assertEquals(await raw.number("EXISTS", "theirs"), 0);
  await using other = connectTo(server.url);
  await other.producer().publish(1, { routingKey: "theirs" });
  assertEquals(await raw.number("LLEN", "theirs"), 1);
});

test("an answer goes to the queue that a message names, which leaves no trace while it is empty", async (server) => {
  await using raw = new Raw(server.port);
  const request = JSON.parse(envelope("requests"));
  request.properties.reply_to = "answers";
  await raw.send("LPUSH", "requests", JSON.stringify(request));
  await using connection = connectTo(server.url);
  const message = await connection.queue("requests").get();
  await connection.producer().publish("done", { routingKey: "answers" });
  await message?.ack();
  assertEquals(await raw.number("LLEN", "answers"), 1);
});

test("a queue is taken to be there if the server lets nobody look", async (server) => {
  await using raw = new Raw(server.port);
  await raw.send("ACL", "SETUSER", "default", "-scan");
  await using connection = connectTo(server.url);
  await connection.producer().publish(1, { routingKey: "anything" });
  assertEquals(await raw.number("LLEN", "anything"), 1);
});

function ascii(text: string): string {
  return JSON.stringify(text).replace(
    /[^\0-\x7f]/g,
    (each) => `\\u${each.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
