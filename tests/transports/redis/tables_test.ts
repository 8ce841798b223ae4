/** Declarations on Redis by several connections at once, or behind our back. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { Exchange, Queue } from "@dashi/mq";
import {
  NotFoundError,
  PreconditionFailedError,
} from "../../../model/errors.ts";
import { connectTo, pause, Raw, seeded, test } from "../../support/redis.ts";
import {
  bindingOf,
  CONSUME,
  exchangeOf,
  messageTo,
  openTransport,
  queueOf,
} from "../../support/redis_transport.ts";
import { SLACK } from "../../support/slack.ts";

const SEP = "\x06\x16";

test("a set of bindings that was swapped for one of equal size leads to where it says", async (server) => {
  await using connection = await openTransport(server.url);
  await using raw = new Raw(server.port);
  const channel = await connection.openChannel();
  await channel.declareExchange(exchangeOf("ex"));
  await channel.declareQueue(queueOf("one"));
  await channel.bind(bindingOf("ex", "one", "k"));
  await channel.publish(messageTo("ex", "k"));
  const key = "_kombu.binding.ex";
  await raw.send("SREM", key, `k${SEP}${SEP}one`);
  await raw.send("SADD", key, `k${SEP}${SEP}two`);
  const sizes = async () => [
    await raw.number("LLEN", "one"),
    await raw.number("LLEN", "two"),
  ];
  // The server tells of it on another socket: what is published before that has come goes where it went.
  let [before, moved] = [0, 0];
  for (let i = 0; moved === 0; i++) {
    assert(i < 1000, "nothing goes where the binding leads");
    await channel.publish(messageTo("ex", "k"));
    [before = 0, moved = 0] = await sizes();
  }
  await channel.publish(messageTo("ex", "k"));
  assertEquals(await sizes(), [before, moved + 1]);
});

test("a list of bound queues is declared by some scripts, and not by some for each of them", async (server) => {
  await using connection = connectTo(server.url);
  await using raw = new Raw(server.port);
  const exchange = new Exchange("ex");
  const queues = Array.from(
    { length: 300 },
    (_, i) => new Queue(`q${i}`, { exchange, routingKey: `k${i}` }),
  );
  await raw.send("CONFIG", "RESETSTAT");
  const statuses = await connection.declare([...queues, exchange]);
  assertEquals(
    statuses.map(({ name }) => name),
    queues.map(({ name }) => name),
  );
  assertEquals(await raw.number("SCARD", "_kombu.binding.ex"), 300);
  const stats = String(await raw.send("INFO", "commandstats"));
  let scripts = 0;
  for (const [, calls] of stats.matchAll(/cmdstat_eval(?:sha)?:calls=(\d+)/g)) {
    scripts += Number(calls);
  }
  // One by one they were some 1,500.
  assert(scripts <= 60, `${scripts} scripts`);
});

test("an exchange that others delete and declare again has its bindings again", async (server) => {
  await using one = await openTransport(server.url);
  await using two = await openTransport(server.url);
  const [mine, theirs] = [await one.openChannel(), await two.openChannel()];
  await theirs.declareExchange(exchangeOf("ex"));
  await theirs.declareQueue(queueOf("q"));
  await theirs.bind(bindingOf("ex", "q", "k"));
  await mine.publish(messageTo("ex", "k"));
  await theirs.deleteExchange("ex");
  await assertRejects(() => mine.checkExchange("ex"), NotFoundError);
  await theirs.declareExchange(exchangeOf("ex"));
  await theirs.bind(bindingOf("ex", "q", "k"));
  const outcome = await mine.publish({
    ...messageTo("ex", "k"),
    mandatory: true,
  });
  assertEquals(outcome.type, "accepted");
  assertEquals(await mine.deleteQueue("q"), 2);
});

test("a consumer ends with its queue, though its connection has just declared something", async (server) => {
  await using one = await openTransport(server.url);
  await using two = await openTransport(server.url);
  const [mine, theirs] = [await one.openChannel(), await two.openChannel()];
  await mine.declareQueue(queueOf("q"));
  const subscription = await mine.consume("q", () => {}, CONSUME);
  await pause(100);
  await mine.declareQueue(queueOf("another"));
  const began = performance.now();
  await theirs.deleteQueue("q");
  const { type } = await subscription.ended;
  assertEquals(type, "ended-by-broker");
  assert(performance.now() - began < 3000 + SLACK);
});

test("a queue that is noted as expiring, and does not expire, stays", async (server) => {
  await using connection = await openTransport(server.url);
  await using raw = new Raw(server.port);
  const channel = await connection.openChannel();
  for (const name of ["idle", "used"]) {
    await channel.declareQueue(queueOf(name));
    await channel.publish(messageTo("", name));
    // As by a consumer that had not heard yet that it was declared anew.
    await raw.send("ZADD", "dashi.expiring", 1, name);
  }
  await channel.consume("used", () => {}, CONSUME);
  await raw.send("ZADD", "dashi.expiring", 1, "used");
  assertEquals((await channel.checkQueue("idle")).messageCount, 1);
  assertEquals(await raw.number("ZCARD", "dashi.expiring"), 0);
});

test("four that declare, bind, unbind and delete at once see what one sees that comes after them", async (server) => {
  const random = seeded(7);
  const some = (letter: string, count: number) =>
    letter + Math.floor(random() * count);
  const connections = await Promise.all(
    [1, 2, 3, 4].map(() => openTransport(server.url)),
  );
  try {
    const channels = await Promise.all(
      connections.map((each) => each.openChannel()),
    );
    await Promise.all(channels.map(async (channel) => {
      for (let i = 0; i < 150; i++) {
        const [exchange, queue, key] = [
          some("x", 4),
          some("q", 6),
          some("k", 3),
        ];
        const act = Math.floor(random() * 10);
        try {
          if (act < 2) await channel.declareExchange(exchangeOf(exchange));
          else if (act < 4) await channel.declareQueue(queueOf(queue));
          else if (act < 7) await channel.bind(bindingOf(exchange, queue, key));
          else if (act < 8) {
            await channel.unbind(bindingOf(exchange, queue, key));
          } else if (act < 9) await channel.deleteExchange(exchange);
          else await channel.deleteQueue(queue);
        } catch (error) {
          if (!(error instanceof NotFoundError)) throw error;
        }
      }
    }));
    await using fresh = await openTransport(server.url);
    const seen = await Promise.all(
      [...channels, await fresh.openChannel()].map(async (channel) => {
        const found: string[] = [];
        for (let x = 0; x < 4; x++) {
          for (let k = 0; k < 3; k++) {
            const outcome = await channel.publish(messageTo(`x${x}`, `k${k}`))
              .catch((error: Error) => ({ type: error.name, queues: 0 }));
            found.push(
              `x${x} k${k} ${outcome.type} ${
                "queues" in outcome ? outcome.queues : ""
              }`,
            );
          }
        }
        return found;
      }),
    );
    for (const each of seen) assertEquals(each, seen.at(-1));
  } finally {
    for (const each of connections) await each[Symbol.asyncDispose]();
  }
});

test("a queue that was consumed from and never declared can be declared with arguments", async (server) => {
  await using one = await openTransport(server.url);
  await using two = await openTransport(server.url);
  const [mine, theirs] = [await one.openChannel(), await two.openChannel()];
  await mine.publish(messageTo("", "q")); // no more tells that it is there
  const subscription = await mine.consume("q", () => {}, CONSUME);
  await theirs.declareQueue(queueOf("q", { "x-max-length": 5 }));
  await assertRejects(
    () => mine.declareQueue(queueOf("q")),
    PreconditionFailedError,
  );
  assertEquals((await theirs.checkQueue("q")).consumerCount, 1);
  await subscription[Symbol.asyncDispose]();
  assertEquals((await theirs.checkQueue("q")).consumerCount, 0);
});

test("a new connection that publishes to many queues reads what is declared once", async (server) => {
  await using one = await openTransport(server.url);
  await using raw = new Raw(server.port);
  const names = Array.from({ length: 300 }, (_, i) => `q${i}`);
  const channel = await one.openChannel();
  await Promise.all(names.map((name) => channel.declareQueue(queueOf(name))));
  await using two = await openTransport(server.url);
  const other = await two.openChannel();
  await raw.send("CONFIG", "RESETSTAT");
  await Promise.all(names.map((name) => other.publish(messageTo("", name))));
  const stats = String(await raw.send("INFO", "commandstats"));
  assertEquals(/cmdstat_hgetall:calls=(\d+)/.exec(stats)?.[1], "1");
});

test("a queue that is bound to one exchange after another leaves nothing of those before", async (server) => {
  await using connection = await openTransport(server.url);
  await using raw = new Raw(server.port);
  const channel = await connection.openChannel();
  await channel.declareQueue(queueOf("q"));
  for (const name of ["x", "y", "z"]) {
    await channel.declareExchange(exchangeOf(name));
    for (const key of ["a", "b"]) {
      await channel.bind(bindingOf(name, "q", key));
    }
  }
  const sources = () => raw.send("HGET", "dashi.topology", "sources q");
  await channel.unbind(bindingOf("x", "q", "a"));
  assertEquals(await sources(), '["x","y","z"]');
  await channel.unbind(bindingOf("x", "q", "b"));
  assertEquals(await sources(), '["y","z"]');
  await channel.deleteExchange("y");
  assertEquals(await sources(), '["z"]');
  await channel.deleteQueue("q");
  assertEquals(await raw.number("SCARD", "_kombu.binding.z"), 0);
  assertEquals(await sources(), null);
});
