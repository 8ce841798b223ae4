/** Consumers that come and go are no reason to route anew. */

import { assert, assertEquals } from "@std/assert";
import { PreconditionFailedError } from "../../../model/errors.ts";
import { Proxy } from "../../support/proxy.ts";
import { Raw, test } from "../../support/redis.ts";
import {
  bindingOf,
  CONSUME,
  exchangeOf,
  messageTo,
  openTransport,
  queueOf,
} from "../../support/redis_transport.ts";

/** How many scripts and pushes clients have sent. */
async function sent(raw: Raw): Promise<number> {
  const stats = String(await raw.send("INFO", "commandstats"));
  let sum = 0;
  for (const name of ["eval", "evalsha"]) {
    sum += Number(
      new RegExp(`^cmdstat_${name}:calls=(\\d+)`, "m").exec(stats)?.[1] ?? 0,
    );
  }
  return sum;
}

for (
  const [type, exchange, key] of [
    ["topic", "ex", "a.b"],
    ["fanout", "ex", ""],
    ["direct", "", "target"],
  ] as const
) {
  const where = exchange === "" ? "a queue" : `a ${type} exchange`;
  test(`100 publishes to ${where} cost 105 scripts at most, though a consumer comes and goes before each`, async (server) => {
    await using raw = new Raw(server.port);
    await using one = await openTransport(server.url);
    await using two = await openTransport(server.url);
    const [mine, theirs] = [await one.openChannel(), await two.openChannel()];
    await mine.declareQueue(queueOf("target"));
    await mine.declareQueue(queueOf("other"));
    if (exchange !== "") {
      await mine.declareExchange(exchangeOf(exchange, type));
      await mine.bind(bindingOf(exchange, "target", key));
    }
    let scripts = 0;
    for (let i = 0; i < 100; i++) {
      const queue = i % 2 === 0 ? "other" : "target";
      const subscription = await theirs.consume(queue, () => {}, {
        ...CONSUME,
        prefetch: 1,
      });
      await subscription[Symbol.asyncDispose]();
      const before = await sent(raw);
      const outcome = await mine.publish({
        ...messageTo(exchange, key),
        mandatory: true,
      });
      assertEquals(outcome.type, "accepted");
      scripts += await sent(raw) - before;
    }
    assert(scripts <= 105, `${scripts} scripts`);
    const count = await raw.number("LLEN", "target");
    const unacked = await raw.number("HLEN", "unacked");
    assertEquals(count + unacked, 100);
  });
}

test("a fanout exchange puts into a queue of somebody else's from the moment one of ours consumes it, and no longer", async (server) => {
  await using raw = new Raw(server.port);
  await using one = await openTransport(server.url);
  await using two = await openTransport(server.url);
  const [mine, theirs] = [await one.openChannel(), await two.openChannel()];
  await mine.declareExchange(exchangeOf("ex", "fanout"));
  const sep = "\x06\x16";
  await raw.send("SADD", "_kombu.binding.ex", `${sep}${sep}kombus`);
  const published = async () => {
    await mine.publish(messageTo("ex", ""));
    return await raw.number("LLEN", "kombus");
  };
  assertEquals(await published(), 0);
  for (let i = 0; i < 3; i++) {
    const got = Promise.withResolvers<void>();
    const subscription = await theirs.consume(
      "kombus",
      () => got.resolve(),
      { ...CONSUME, noAck: true },
    );
    await mine.publish(messageTo("ex", ""));
    await got.promise;
    await subscription[Symbol.asyncDispose]();
    assertEquals(await published(), 0, `after consumer ${i}`);
  }
});

test("connections that declare at the same time do not make each other begin anew", async (server) => {
  await using raw = new Raw(server.port);
  const count = 40;
  const connections = await Promise.all(
    Array.from({ length: count }, () => openTransport(server.url)),
  );
  try {
    const channels = await Promise.all(
      connections.map((each) => each.openChannel()),
    );
    await channels[0]?.declareExchange(exchangeOf("ex"));
    const before = await sent(raw);
    await Promise.all(channels.map(async (channel, i) => {
      await channel.declareQueue(queueOf(`q${i}`));
      await channel.bind(bindingOf("ex", `q${i}`, "k"));
      await channel.consume(`q${i}`, () => {}, { ...CONSUME, prefetch: 1 });
    }));
    const each = (await sent(raw) - before) / count;
    assert(each <= 15, `${each} scripts for each connection`);
    const outcome = await channels[1]?.publish(messageTo("ex", "k"));
    assertEquals(outcome, { type: "accepted", queues: count });
  } finally {
    await Promise.all(connections.map((each) => each[Symbol.asyncDispose]()));
  }
});

test("consumers of one queue come and go in a few scripts, on one connection or on many, and leave nothing", async (server) => {
  await using raw = new Raw(server.port);
  const queue = queueOf("shared");
  const own = { ...queueOf("own"), autoDelete: true };
  const consumersOf = async (name: string) => {
    const text = await raw.send("HGET", "dashi.topology", `consumers ${name}`);
    return text === null ? [] : JSON.parse(String(text));
  };
  await using one = await openTransport(server.url);
  const channel = await one.openChannel();
  await channel.declareQueue(queue);
  const before = await sent(raw);
  const crowd = await Promise.all(
    Array.from(
      { length: 300 },
      () => channel.consume("shared", () => {}, CONSUME),
    ),
  );
  assertEquals((await consumersOf("shared")).length, 300);
  await Promise.all(crowd.map((each) => each[Symbol.asyncDispose]()));
  assertEquals(await consumersOf("shared"), []);
  // One after the other it were 1,200.
  assert(await sent(raw) - before < 60, `${await sent(raw) - before} scripts`);

  const count = 40;
  const connections = await Promise.all(
    Array.from({ length: count }, () => openTransport(server.url)),
  );
  const channels = await Promise.all(
    connections.map((each) => each.openChannel()),
  );
  await channels[0]?.declareQueue(own);
  let scripts = await sent(raw);
  await Promise.all(channels.map(async (each) => {
    await each.consume("shared", () => {}, CONSUME);
    await each.consume("own", () => {}, CONSUME);
  }));
  scripts = await sent(raw) - scripts;
  assert(scripts / count <= 12, `${scripts / count} scripts for each to start`);
  assertEquals((await consumersOf("shared")).length, count);
  assertEquals((await consumersOf("own")).length, count);
  await Promise.all(connections.map((each) => each[Symbol.asyncDispose]()));
  assertEquals(await consumersOf("shared"), []);
  // The last of them took it along, though all left at once.
  const left = await raw.texts("HKEYS", "dashi.topology");
  assertEquals(left.filter((each) => each.endsWith(" own")), []);
});

test("of an exclusive consumer and one that shares, who come at once, one is refused", async (server) => {
  await using first = await openTransport(server.url);
  await using second = await openTransport(server.url);
  const channels = [await first.openChannel(), await second.openChannel()];
  await channels[0]?.declareQueue(queueOf("q"));
  for (let i = 0; i < 20; i++) {
    const made = await Promise.allSettled(
      channels.map((channel, place) =>
        channel.consume("q", () => {}, {
          ...CONSUME,
          exclusive: place === i % 2,
        })
      ),
    );
    const begun = made.filter((each) => each.status === "fulfilled");
    assertEquals(begun.length, 1);
    await Promise.all(begun.map(({ value }) => value[Symbol.asyncDispose]()));
  }
});

test("hundreds of queues are declared, consumed and left in a script or two for each hundred", async (server) => {
  await using raw = new Raw(server.port);
  const transport = await openTransport(server.url);
  const channel = await transport.openChannel();
  const names = Array.from({ length: 300 }, (_, i) => `q${i}`);
  const before = await sent(raw);
  const statuses = await Promise.all(
    names.map((name) =>
      channel.declareQueue({ ...queueOf(name), autoDelete: true })
    ),
  );
  assertEquals(statuses.map(({ name }) => name), names);
  const { promise: all, resolve } = Promise.withResolvers<void>();
  let got = 0;
  await Promise.all(names.map((name) =>
    channel.consume(name, () => {
      if (++got === names.length) resolve();
    }, CONSUME)
  ));
  // One after the other it were five for each.
  assert(await sent(raw) - before < 100, `${await sent(raw) - before} scripts`);
  await Promise.all(names.map((name) => channel.publish(messageTo("", name))));
  await all;
  const closing = await sent(raw);
  await transport[Symbol.asyncDispose]();
  assert(
    await sent(raw) - closing < 60,
    `${await sent(raw) - closing} scripts`,
  );
  const left = await raw.texts("HKEYS", "dashi.topology");
  assertEquals(left.filter((each) => each.includes(" ")), []);
});

test("a queue whose key is something else is counted by itself, and others beside it", async (server) => {
  await using raw = new Raw(server.port);
  await raw.send("SET", "odd", "text");
  await using transport = await openTransport(server.url);
  const channel = await transport.openChannel();
  await channel.publish({ ...messageTo("", "even"), mandatory: false });
  const [even, odd] = await Promise.allSettled([
    channel.declareQueue(queueOf("even")),
    channel.declareQueue(queueOf("odd")),
  ]);
  assert(even.status === "fulfilled");
  assertEquals(even.value.messageCount, 1);
  assert(odd.status === "rejected");
  assert(odd.reason instanceof PreconditionFailedError, `${odd.reason}`);
});

test("160 queues are declared and bound at a round trip of 100 ms in the time of a few, and all get what is published", async (server) => {
  await using proxy = Proxy.to(server.url);
  await using connection = await openTransport(proxy.urlOf(server.url));
  const channel = await connection.openChannel();
  await channel.declareExchange(exchangeOf("ex"));
  proxy.delay(50);
  const began = performance.now();
  const queues = Array.from({ length: 160 }, (_, i) => `q${i}`);
  await Promise.all(queues.map(async (name) => {
    await channel.declareQueue(queueOf(name));
    await channel.bind(bindingOf("ex", name, "k"));
  }));
  // One by one they took four round trips each: a minute.
  const seconds = (performance.now() - began) / 1000;
  assert(seconds < 20, `${seconds} s`);
  proxy.delay(0);
  const outcome = await channel.publish(messageTo("ex", "k"));
  assertEquals(outcome, { type: "accepted", queues: 160 });
});
