import { assert, assertEquals } from "@std/assert";
import { Exchange, Queue, type QueueInfo } from "@dashi/mq";
import { connectTo, Raw, test } from "../../support/redis.ts";

const NO_DISK = { arguments: ["--appendonly", "no"] };

/** What Kombu puts between the parts of a binding. */
const SEP = "\x06\x16";

/** A message as Kombu writes it. */
function envelope(text: string, tag: string): string {
  return JSON.stringify({
    body: btoa(text),
    "content-encoding": "utf-8",
    "content-type": "text/plain",
    headers: {},
    properties: {
      delivery_mode: 2,
      delivery_info: { exchange: "", routing_key: "theirs" },
      priority: 0,
      body_encoding: "base64",
      delivery_tag: tag,
    },
  });
}

test(
  "inspect() finds a queue that Kombu alone uses, by its binding, and peek() reads it",
  async (server) => {
    await using raw = new Raw(server.port);
    await raw.send("SADD", "_kombu.binding.theirs", `key${SEP}${SEP}theirs`);
    for (const [i, text] of ["one", "two", "no message"].entries()) {
      const entry = i < 2 ? envelope(text, `tag-${i}`) : text;
      await raw.send("LPUSH", "theirs", entry);
    }
    await raw.send(
      "HSET",
      "unacked",
      "tag-9",
      `[${envelope("nine", "tag-9")}, "", "theirs"]`,
    );
    await using connection = connectTo(server.url);
    const inspector = connection.inspect();
    const listed: QueueInfo[] = [];
    for await (const each of inspector.queues()) listed.push(each);
    assertEquals(listed.map(({ name }) => name), ["theirs"]);
    const [info] = listed;
    assertEquals(info?.declaration, undefined);
    assertEquals([info?.ready, info?.delayed, info?.unacked], [3, 0, 1]);
    assert((info?.bytes ?? 0) > 300);
    assertEquals(
      (await inspector.exchanges()).find(({ name }) => name === "theirs")?.type,
      "direct",
    );
    assertEquals(
      (await inspector.bindings()).map(({ source, routingKey }) => [
        source,
        routingKey,
      ]),
      [["theirs", "key"]],
    );
    const found = await connection.queue("theirs").peek();
    assertEquals(found.slice(0, 2).map(({ payload }) => payload), [
      "one",
      "two",
    ]);
    assertEquals(new TextDecoder().decode(found[2]?.body), "no message");
    // All of it is as it was.
    assertEquals(await raw.number("LLEN", "theirs"), 3);
    assertEquals(await raw.number("HLEN", "unacked"), 1);
    assertEquals(await raw.number("EXISTS", "dashi.malformed.theirs"), 0);
  },
  NO_DISK,
);

test(
  "inspect() counts what is due and nobody has brought into sight as ready, and moves nothing",
  async (server) => {
    await using raw = new Raw(server.port);
    await using connection = connectTo(server.url);
    const queue = new Queue("due");
    await connection.declare(queue);
    const later = Date.now() + 600_000;
    for (const [at, tag] of [[1, "a"], [later, "b"]] as const) {
      const member = `0:${tag}:${envelope(tag, tag)}`;
      await raw.send("ZADD", "dashi.delayed.due", String(at), member);
    }
    const { ready, delayed } = await connection.inspect().queue(queue);
    assertEquals([ready, delayed], [1, 1]);
    assertEquals(await raw.number("ZCARD", "dashi.delayed.due"), 2);
  },
  NO_DISK,
);

test(
  "inspect() lists 1,200 queues and the bindings of 120 exchanges, each once",
  async (server) => {
    await using connection = connectTo(server.url);
    const channel = await connection.channel();
    const names = Array.from({ length: 1200 }, (_, i) => `queue ${i}`);
    const exchanges = Array.from(
      { length: 120 },
      (_, i) => new Exchange(`exchange ${i}`, { type: "topic" }),
    );
    await Promise.all(names.map((name) =>
      channel.declareQueue({
        name,
        durable: true,
        exclusive: false,
        autoDelete: false,
        arguments: {},
      })
    ));
    await connection.declare(exchanges);
    await Promise.all(exchanges.map(({ name }, i) =>
      channel.bind({
        source: name,
        destination: { kind: "queue", name: `queue ${i}` },
        routingKey: "a.*",
        arguments: {},
      })
    ));
    await using raw = new Raw(server.port);
    const held = Array.from({ length: 500 }, (_, i) => [
      `tag-${i}`,
      `[${envelope("held", `tag-${i}`)}, "", "queue ${i % 100}"]`,
    ]);
    await raw.send("HSET", "unacked", ...held.flat());
    await using other = connectTo(server.url);
    await other.connect();
    await raw.send("CONFIG", "RESETSTAT");
    const listed: string[] = [];
    const wrong: string[] = [];
    for await (const { name, unacked } of other.inspect().queues()) {
      listed.push(name);
      const number = Number(name.slice("queue ".length));
      if (unacked !== (number < 100 ? 5 : 0)) wrong.push(`${name}: ${unacked}`);
    }
    assertEquals(listed.toSorted(), names.toSorted());
    assertEquals(wrong, []);
    // The messages that are held lie together, and are counted once for all queues.
    const stats = String(await raw.send("INFO", "commandstats"));
    const scans = Number(/hscan:calls=(\d+)/.exec(stats)?.[1]);
    assert(scans > 0 && scans < 60, `${scans} scans`);
    const bindings = await other.inspect().bindings();
    assertEquals(
      bindings.map(({ source }) => source).toSorted(),
      exchanges.map(({ name }) => name).toSorted(),
    );
  },
  NO_DISK,
);
