/** A script takes moments, however many messages there are. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { PreconditionFailedError, Queue } from "@dashi/mq";
import { Context } from "../../../transports/redis/context.ts";
import {
  bindingOf,
  exchangeOf,
  messageTo,
  openTransport,
  queueOf,
} from "../../support/redis_transport.ts";
import { connectTo, pause, Raw, test } from "../../support/redis.ts";
import { ALL } from "../../support/targets.ts";

/** Of a slow log that begins now: a script that took longer holds up everybody. */
async function watchScripts(raw: Raw): Promise<void> {
  // A call that does not work in pieces takes far longer; a machine that is busy with other
  // work, less.
  await raw.send("CONFIG", "SET", "slowlog-log-slower-than", 1_500_000);
  await raw.send("CONFIG", "RESETSTAT");
  await raw.send("SLOWLOG", "RESET");
}

test(
  "thousands are given back behind thousands that were requeued, in moments and in order",
  async (server) => {
    await using raw = new Raw(server.port);
    await using connection = connectTo(server.url);
    const count = 3000;
    const queue = new Queue("jobs");
    const producer = connection.producer<number>({ declare: [queue] });
    await Promise.all(
      Array.from(
        { length: 2 * count },
        (_, i) => producer.publish(i, { routingKey: queue.name }),
      ),
    );
    const consumer = connection.consumer<number>(queue, {
      prefetch: 2 * count,
    });
    const held = [];
    for await (const message of consumer) {
      held.push(message);
      if (held.length === 2 * count) break;
    }
    await watchScripts(raw);
    await Promise.all(held.slice(0, count).map((each) => each.requeue()));
    await Promise.all(held.slice(count).map((each) => each.requeue()));
    assertEquals(await raw.number("SLOWLOG", "LEN"), 0);
    const texts = await raw.texts("LRANGE", queue.name, 0, -1);
    const order = texts.map((text) => Number(atob(JSON.parse(text).body)));
    assertEquals(order.length, 2 * count);
    assertEquals(new Set(order).size, 2 * count);
    // Of so much as can be moved in a moment: what was first is first.
    assertEquals(
      order.reverse().slice(0, 1000),
      Array.from({ length: 1000 }, (_, i) => i),
    );
  },
  { arguments: ["--appendonly", "no"] },
);

test(
  "messages that become due all at once come in pieces, and all of them",
  async (server) => {
    await using raw = new Raw(server.port);
    const count = 10_000;
    const queue = new Queue("later");
    await using connection = connectTo(server.url);
    await connection.declare(queue);
    await connection.producer<number>().publish(-1, {
      routingKey: queue.name,
      delay: 60_000,
    });
    const [one = ""] = await raw.texts("ZRANGE", "dashi.delayed.later", 0, 0);
    for (let i = 0; i < count; i += 1000) {
      const members = Array.from(
        { length: 1000 },
        (_, j) => [1, one.replace(/:[^:]*:/, `:${i + j}:`)],
      );
      await raw.send("ZADD", "dashi.delayed.later", ...members.flat());
    }
    await raw.send("ZADD", "dashi.due", 1, "later");
    await watchScripts(raw);
    let got = 0;
    for await (const message of connection.consumer(queue, { autoAck: true })) {
      if (++got === count) break;
      void message;
    }
    assertEquals(await raw.number("SLOWLOG", "LEN"), 0);
  },
  { arguments: ["--appendonly", "no"] },
);

test("unsettled messages of a deleted queue do not reach a new one of its name", async (server) => {
  await using raw = new Raw(server.port);
  await using transport = await openTransport(server.url);
  const channel = await transport.openChannel();
  for (const how of ["requeued", "closed", "lost"]) {
    const queue = new Queue(`again-${how}`);
    await using holder = connectTo(server.url);
    await using other = connectTo(server.url);
    const producer = other.producer<number>({ declare: [queue] });
    await producer.publish(1, { routingKey: queue.name });
    const iterator = holder.consumer<number>(queue)[Symbol.asyncIterator]();
    const { value: message } = await iterator.next();
    assert(message !== undefined);
    await channel.deleteQueue(queue.name);
    await other.declare(queue);
    if (how === "requeued") await message.requeue();
    else if (how === "closed") await holder.close({ drainTimeout: 1 });
    else {
      await raw.send("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
      await holder.connect();
      await other.connect();
    }
    while (await raw.number("HLEN", "unacked") > 0) await pause(20);
    assertEquals(await raw.number("LLEN", queue.name), 0, how);
  }
});

/** While `work` is under way, something is done before a large set is mended to its end. */
async function deletingMeanwhile(
  between: () => Promise<unknown>,
  work: () => Promise<unknown>,
): Promise<void> {
  const { run } = Context.prototype;
  let isDone = false;
  Context.prototype.run = function (name, action, args, options) {
    const call = () => run.call(this, name, action, args, options);
    if (name !== "mendEnd" || isDone) return call();
    isDone = true;
    return between().then(call);
  };
  try {
    await work();
    assert(isDone, "it was mended in pieces");
  } finally {
    Context.prototype.run = run;
  }
}

/** How many queues the table has. */
const COUNT = ALL ? 100_000 : 30_000;

test(
  `tables of ${COUNT} queues, and sets as large, are read, mended and changed in moments`,
  async (server) => {
    await using raw = new Raw(server.port);
    await using first = await openTransport(server.url, {}, 60_000);
    const channel = await first.openChannel();
    await channel.declareExchange(exchangeOf("ex"));
    await channel.declareQueue(queueOf("queue-0"));
    await channel.bind(bindingOf("ex", "queue-0", "key-0"));
    const [record, sources] = await raw.texts(
      ...["HMGET", "dashi.topology", "queue queue-0", "sources queue-0"],
    );
    for (let i = 1; i < COUNT; i += 1000) {
      await raw.send(
        "EVAL",
        `for i = ARGV[3], ARGV[3] + 999 do
          local record = string.gsub(ARGV[1], 'queue%-0', 'queue-' .. i)
          redis.call('HSET', 'dashi.topology', 'queue queue-' .. i, record)
          if i < 20000 then
            redis.call('HSET', 'dashi.topology', 'sources queue-' .. i, ARGV[2])
            for _, key in ipairs({'_kombu.binding.', '_kombu.binding_permanent.', 'dashi.bound.'}) do
              redis.call('SADD', key .. 'ex', 'key-' .. i .. '\\6\\22\\6\\22queue-' .. i)
            end
          end
        end`,
        ...[0, record ?? "", sources ?? "", i],
      );
    }
    const last = `queue-${COUNT - 1}`;
    await watchScripts(raw);
    await using second = await openTransport(server.url, {}, 60_000);
    const other = await second.openChannel();
    assertEquals((await other.checkQueue(last)).name, last);
    for (const key of ["key-1", "key-19999"]) {
      await other.publish(messageTo("ex", key));
    }
    await other.bind(bindingOf("ex", last, "late"));
    await other.publish(messageTo("ex", "late"));
    for (const queue of ["queue-1", "queue-19999", last]) {
      assertEquals(await raw.number("LLEN", queue), 1, queue);
    }
    assertEquals(await raw.number("SLOWLOG", "LEN"), 0);
    const stats = String(await raw.send("INFO", "commandstats"));
    assert(!/cmdstat_(hgetall|smembers):/.test(stats), stats);
    // Bindings that a sweep or an eviction took away come back as a whole: nobody is to see
    // a part.
    await raw.send("DEL", "_kombu.binding.ex");
    await raw.send("CONFIG", "RESETSTAT");
    await other.publish(messageTo("ex", "key-2"));
    assertEquals(await raw.number("LLEN", "queue-2"), 1);
    assertEquals(await raw.number("SCARD", "_kombu.binding.ex"), 20_001);
    assertEquals(await raw.number("PTTL", "_kombu.binding.ex"), -1);
    assertEquals(await raw.texts("KEYS", "dashi.pieces.*"), []);
    const mended = String(await raw.send("INFO", "commandstats"));
    assert(!/cmdstat_sunion:/.test(mended), mended);
    // In the middle of it a queue goes, and its binding does not come back.
    await raw.send("DEL", "_kombu.binding.ex");
    await using third = await openTransport(server.url, {}, 60_000);
    const deleter = await third.openChannel();
    await deletingMeanwhile(() => deleter.deleteQueue("queue-7"), async () => {
      await other.publish(messageTo("ex", "key-2"));
    });
    assertEquals(await raw.number("SCARD", "_kombu.binding.ex"), 20_000);
    await other.publish({ ...messageTo("ex", "key-7"), mandatory: false });
    assertEquals(await raw.number("EXISTS", "queue-7"), 0);
    // An exchange goes with its sets as a whole, and what its queues know of it in pieces.
    await raw.send("CONFIG", "RESETSTAT");
    await raw.send("DEL", "dashi.topology.changes");
    await other.deleteExchange("ex");
    for (
      const set of ["_kombu.binding", "_kombu.binding_permanent", "dashi.bound"]
    ) {
      assertEquals(await raw.number("EXISTS", `${set}.ex`), 0, set);
    }
    const fields = await raw.texts("HKEYS", "dashi.topology");
    assertEquals(fields.filter((each) => each.startsWith("sources ")), []);
    const deleting = String(await raw.send("INFO", "commandstats"));
    assert(!/cmdstat_srem:/.test(deleting), deleting);
    const changes = await raw.texts("LRANGE", "dashi.topology.changes", 0, -1);
    const most = Math.max(...changes.map((each) => JSON.parse(each).length));
    assert(most > 0 && most <= 510, `${most} fields in one script`);
  },
  { arguments: ["--appendonly", "no"], patience: 180_000 },
);

test(
  "a queue with thousands of bindings goes in pieces, though others change them meanwhile",
  async (server) => {
    await using raw = new Raw(server.port);
    await using first = await openTransport(server.url, {}, 60_000);
    await using second = await openTransport(server.url, {}, 60_000);
    const [channel, other] = [
      await first.openChannel(),
      await second.openChannel(),
    ];
    await channel.declareExchange(exchangeOf("ex"));
    for (const name of ["goes", "stays"]) {
      await channel.declareQueue(queueOf(name));
    }
    const count = 1700;
    await Promise.all(
      Array.from(
        { length: count },
        (_, i) => channel.bind(bindingOf("ex", "goes", `key-${i}`)),
      ),
    );
    await channel.bind(bindingOf("ex", "stays", "key-1"));
    await channel.publish(messageTo("ex", "key-1"));
    // One that goes only if it is empty keeps all that leads to it, for it stays.
    await assertRejects(
      () => channel.deleteQueue("goes", { ifEmpty: true }),
      PreconditionFailedError,
    );
    assertEquals(await raw.number("SCARD", "dashi.bound.ex"), count + 1);
    const { run } = Context.prototype;
    const scripts: string[] = [];
    Context.prototype.run = async function (name, ...rest) {
      const result = await run.call(this, name, ...rest);
      if (name !== "apply" || scripts.push(name) !== 2) return result;
      // Behind the second piece somebody else binds it once more.
      Context.prototype.run = run;
      await other.bind(bindingOf("ex", "goes", "late"));
      return result;
    };
    await raw.send("DEL", "dashi.topology.changes");
    try {
      assertEquals(await channel.deleteQueue("goes"), 1);
    } finally {
      Context.prototype.run = run;
    }
    assertEquals(scripts.length, 2);
    for (
      const set of ["_kombu.binding", "_kombu.binding_permanent", "dashi.bound"]
    ) {
      assertEquals(await raw.number("SCARD", `${set}.ex`), 1, set);
    }
    const fields = await raw.texts("HKEYS", "dashi.topology");
    assertEquals(fields.filter((each) => each.endsWith(" goes")), []);
    await other.publish(messageTo("ex", "key-1"));
    assertEquals(await raw.number("LLEN", "stays"), 2);
    assertEquals(await raw.number("EXISTS", "goes"), 0);
    const changes = await raw.texts("LRANGE", "dashi.topology.changes", 0, -1);
    assert(changes.length >= 5, `${changes.length} scripts`);
  },
  { arguments: ["--appendonly", "no"] },
);

test(
  "a message for thousands of queues comes to all of them, and no call has more",
  async (server) => {
    await using raw = new Raw(server.port);
    await using transport = await openTransport(server.url, {}, 60_000);
    const channel = await transport.openChannel();
    await channel.declareExchange(exchangeOf("ex"));
    const members = Array.from(
      { length: 2500 },
      (_, i) => `key\x06\x16\x06\x16queue-${i}`,
    );
    await raw.send("SADD", "_kombu.binding.ex", ...members);
    await raw.send("CONFIG", "RESETSTAT");
    await Promise.all(
      Array.from({ length: 6 }, () => channel.publish(messageTo("ex", "key"))),
    );
    for (const i of [0, 2499]) {
      assertEquals(await raw.number("LLEN", `queue-${i}`), 6);
    }
    const stats = String(await raw.send("INFO", "commandstats"));
    assertEquals(/cmdstat_lpush:calls=(\d+)/.exec(stats)?.[1], "15000");
  },
  { arguments: ["--appendonly", "no"] },
);

test(
  "of large messages a script takes one, and not as many as are wanted",
  async (server) => {
    await using raw = new Raw(server.port);
    await using connection = connectTo(server.url);
    const count = 20;
    const queue = new Queue("large");
    const producer = connection.producer<Uint8Array>({ declare: [queue] });
    const body = new Uint8Array(2 ** 20);
    for (let i = 0; i < count; i++) {
      body[0] = i;
      await producer.publish(body, { routingKey: queue.name });
    }
    await raw.send("CONFIG", "RESETSTAT");
    const seen: number[] = [];
    for await (
      const { payload } of connection.consumer<Uint8Array>(queue, {
        prefetch: count,
      })
    ) {
      seen.push(payload[0] ?? -1);
      if (seen.length === count) break;
    }
    assertEquals(seen, Array.from({ length: count }, (_, i) => i));
    const stats = String(await raw.send("INFO", "commandstats"));
    const calls = (name: string) =>
      Number(new RegExp(`^cmdstat_${name}:calls=(\\d+)`, "m").exec(stats)?.[1]);
    // Four at a time, and up to 4 MB in one script, it were five or six.
    assert(calls("hset") >= count, `${calls("hset")} scripts have taken`);
  },
  { arguments: ["--appendonly", "no"] },
);
