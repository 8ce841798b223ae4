/** A message for thousands of queues is put in pieces, and holds together all the same. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { Redis } from "ioredis";
import { Exchange, Queue } from "@dashi/mq";
import { PublishError } from "../../../model/errors.ts";
import { Context } from "../../../transports/redis/context.ts";
import {
  bindingOf,
  exchangeOf,
  messageTo,
  openTransport,
  queueOf,
} from "../../support/redis_transport.ts";
import { connectTo, Raw, test } from "../../support/redis.ts";

const COUNT = 1200;
const NAMES = Array.from({ length: COUNT }, (_, i) => `queue-${i}`);

/** Declares queues behind a fanout exchange, the first by a connection, the rest like it. */
async function declareMany(url: string, raw: Raw): Promise<void> {
  await using transport = await openTransport(url);
  const channel = await transport.openChannel();
  await channel.declareExchange(exchangeOf("ex", "fanout"));
  await channel.declareQueue(queueOf("queue-0"));
  await channel.bind(bindingOf("ex", "queue-0", ""));
  await raw.send(
    "EVAL",
    `local record, sources = unpack(redis.call('HMGET', 'dashi.topology', 'queue queue-0', 'sources queue-0'))
    for i = 1, ${COUNT - 1} do
      redis.call('HSET', 'dashi.topology',
        'queue queue-' .. i, (string.gsub(record, 'queue%-0', 'queue-' .. i)), 'sources queue-' .. i, sources)
      for _, key in ipairs({'_kombu.binding.', '_kombu.binding_permanent.', 'dashi.bound.'}) do
        redis.call('SADD', key .. 'ex', '\\6\\22\\6\\22queue-' .. i)
      end
    end`,
    0,
  );
}

/** Each of the queues has one message, but for some. */
async function assertOneEach(raw: Raw, but: string[] = []): Promise<void> {
  const lengths = await Promise.all(
    NAMES.map((name) => raw.number("LLEN", name)),
  );
  const others = NAMES.filter((_, i) => lengths[i] !== 1);
  assertEquals(others, but);
}

async function scriptsOf(
  raw: Raw,
  work: () => Promise<unknown>,
): Promise<number> {
  const read = async () => {
    const text = String(await raw.send("INFO", "commandstats"));
    return [...text.matchAll(/cmdstat_eval(?:sha)?:calls=(\d+)/g)]
      .reduce((sum, [, calls]) => sum + Number(calls), 0);
  };
  const before = await read();
  await work();
  return await read() - before;
}

/** While `work` is under way, each piece but the first waits until `between` is done. */
async function holdingPieces(
  between: () => Promise<unknown>,
  work: () => Promise<unknown>,
): Promise<void> {
  const { run } = Context.prototype;
  let held: Promise<unknown> | undefined;
  let first: Promise<unknown> | undefined;
  Context.prototype.run = function (name, action, args, options) {
    const call = () => run.call(this, name, action, args, options);
    if (name !== "putOne") return call();
    if (args.includes("first")) {
      return (first = call()) as ReturnType<typeof run>;
    }
    held ??= Promise.resolve(first).then(between);
    return held.then(call);
  };
  try {
    await work();
    assert(held !== undefined, "there were pieces");
  } finally {
    Context.prototype.run = run;
  }
}

test("each piece is a script of its own, and a queue that goes or comes meanwhile is as after the publish", async (server) => {
  await using raw = new Raw(server.port);
  await declareMany(server.url, raw);
  await using transport = await openTransport(server.url);
  const channel = await transport.openChannel();
  await using elsewhere = await openTransport(server.url);
  const other = await elsewhere.openChannel();
  const publish = () => channel.publish(messageTo("ex", ""));
  assert(await scriptsOf(raw, publish) >= 3);
  await assertOneEach(raw);
  await raw.send("DEL", ...NAMES);
  await other.checkQueue("queue-0");
  await holdingPieces(async () => {
    await other.deleteQueue(`queue-${COUNT - 1}`);
    await other.declareQueue(queueOf("late"));
    await other.bind(bindingOf("ex", "late", ""));
  }, async () => {
    assertEquals(await publish(), { type: "accepted", queues: COUNT });
  });
  // Which of them are in the first piece is by the order of a set.
  const last = await raw.number("EXISTS", `queue-${COUNT - 1}`);
  await assertOneEach(raw, last === 1 ? [] : [`queue-${COUNT - 1}`]);
  assertEquals(last, 0);
  assertEquals(await raw.number("LLEN", "late"), 0);
  assertEquals(await raw.texts("KEYS", "dashi.pieces.*"), []);
});

test("if the first piece puts nothing, no piece does", async (server) => {
  await using raw = new Raw(server.port);
  await declareMany(server.url, raw);
  await using transport = await openTransport(server.url);
  const channel = await transport.openChannel();
  await using elsewhere = await openTransport(server.url);
  const other = await elsewhere.openChannel();
  await channel.publish(messageTo("ex", ""));
  await raw.send("DEL", ...NAMES);
  // On an old view: routed again, and put once.
  await other.declareQueue(
    queueOf("full", { "x-max-length": 1, "x-overflow": "reject-publish" }),
  );
  await other.bind(bindingOf("ex", "full", ""));
  await channel.publish(messageTo("ex", ""));
  await assertOneEach(raw);
  assertEquals(await raw.number("LLEN", "full"), 1);
  // A queue that refuses it is asked first, wherever it stands.
  const error = await assertRejects(
    () => channel.publish(messageTo("ex", "")),
    PublishError,
  );
  assertEquals(error.code, "publish-refused");
  await assertOneEach(raw);
  assertEquals(await raw.texts("KEYS", "dashi.pieces.*"), []);
});

test("delays, limits, announcements and large bodies hold in pieces", async (server) => {
  await using raw = new Raw(server.port);
  await declareMany(server.url, raw);
  await using transport = await openTransport(server.url);
  const channel = await transport.openChannel();
  await channel.declareQueue(queueOf("dead"));
  await channel.declareQueue(queueOf("short", {
    "x-max-length": 1,
    "x-dead-letter-exchange": "",
    "x-dead-letter-routing-key": "dead",
  }));
  await channel.bind(bindingOf("ex", "short", ""));
  await channel.publish(messageTo("ex", "", {}, 3_600_000));
  assertEquals(await raw.number("ZCARD", "dashi.due"), COUNT + 1);
  assertEquals(
    await raw.number("ZCARD", `dashi.delayed.queue-${COUNT - 1}`),
    1,
  );
  const heard: string[] = [];
  const listener = new Redis({ host: "127.0.0.1", port: server.port });
  await listener.subscribe("/0.ex");
  listener.on("message", (_, text) => heard.push(text));
  await channel.publish(messageTo("ex", ""));
  assertEquals(await raw.number("LLEN", "dead"), 0);
  await channel.publish(messageTo("ex", ""));
  assertEquals(await raw.number("LLEN", "short"), 1);
  assertEquals(await raw.number("LLEN", "dead"), 1);
  assertEquals(await raw.number("HLEN", "unacked"), 0);
  assertEquals(await raw.number("LLEN", "queue-7"), 2);
  while (heard.length < 2) await raw.send("PING");
  // Each copy has a name of its own, and its body.
  const large = {
    ...messageTo("ex", ""),
    body: new Uint8Array(20_000).fill(1),
  };
  assert(await scriptsOf(raw, () => channel.publish(large)) > 20);
  const names = new Set<string>();
  for (const queue of ["queue-0", "queue-600", `queue-${COUNT - 1}`, "short"]) {
    const [text = ""] = await raw.texts("LRANGE", queue, 0, 0);
    const { body, properties } = JSON.parse(text);
    assertEquals(atob(body).length, 20_000);
    names.add(properties.delivery_tag);
  }
  assertEquals(names.size, 4);
  while (heard.length < 3) await raw.send("PING");
  const ended = new Promise((resolve) => listener.once("end", resolve));
  listener.disconnect();
  await ended;
  assertEquals(heard.length, 3);
});

test("a dead letter for many queues stays unacked until all have it", async (server) => {
  await using raw = new Raw(server.port);
  await declareMany(server.url, raw);
  await using connection = connectTo(server.url);
  const source = new Queue("source", {
    deadLetterExchange: new Exchange("ex", { type: "fanout" }),
  });
  await connection.send(source, "x");
  const message = await connection.queue("source").get();
  await holdingPieces(async () => {
    assertEquals(await raw.number("HLEN", "unacked"), 1);
  }, async () => await message?.reject());
  await assertOneEach(raw);
  assertEquals(await raw.number("HLEN", "unacked"), 0);
  assertEquals(await raw.texts("KEYS", "dashi.pieces.*"), []);
});
