/** Queues with x-expires, which Kombu and ours share: whoever looks, or nobody. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { NotFoundError } from "../../../model/errors.ts";
import { Raw, test } from "../../support/redis.ts";
import {
  bindingOf,
  CONSUME,
  exchangeOf,
  messageTo,
  openTransport,
  queueOf,
} from "../../support/redis_transport.ts";
import { until } from "../../brokers/server.ts";
import { unlessItStoodStill } from "../../support/standing_still.ts";

const HOUR = 3_600_000;
const TABLE = "_kombu.binding.ex";
const PERMANENT = "_kombu.binding_permanent.ex";
const DEADLINES = "_kombu.binding_deadlines";

/** A server whose memory is all that it writes to. */
const QUICK = { arguments: ["--appendonly", "no"] };

/** The server's clock, ms. */
async function timeOf(raw: Raw): Promise<number> {
  const [seconds, micros] = await raw.texts("TIME");
  return Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);
}

/** Says that nobody of ours has used a queue for its time. */
async function letPass(raw: Raw, queue: string): Promise<void> {
  await raw.send("ZADD", "dashi.expiring", "XX", 1, queue);
}

test(
  "messages of a queue that nobody uses go with its time, where no process of ours is there",
  async (server) => {
    await using raw = new Raw(server.port);
    await using transport = await openTransport(server.url);
    const channel = await transport.openChannel();
    for (const expires of [3000, 60_000]) {
      const name = `q${expires}`;
      await channel.declareQueue(queueOf(name, { "x-expires": expires }));
      await channel.publish(messageTo("", name));
      await channel.publish(messageTo("", name, { priority: 9 }));
      await channel.publish(messageTo("", name, {}, 300_000));
      for (const key of [name, `${name}\x06\x169`, `dashi.delayed.${name}`]) {
        const left = await raw.number("PTTL", key);
        // Another publish does not make it live longer.
        assert(left <= expires, `${key}: ${left}`);
        assert(left > 0 || left === -2, `${key}: ${left}`);
      }
    }
    await transport[Symbol.asyncDispose]();
    let keys: readonly string[] = [];
    await until("the end of the lists", 20_000, async () => {
      keys = await raw.texts("KEYS", "*q3000*");
      return keys.length === 0;
    }).catch(async (error: unknown) => {
      const lives = keys.map(async (
        key,
      ) => [key, await raw.number("PTTL", key)]);
      throw new Error(`${JSON.stringify(await Promise.all(lives))} stay`, {
        cause: error,
      });
    });
    assertEquals(await raw.number("LLEN", "q60000"), 1);
  },
  QUICK,
);

test(
  "messages that are given back, or become due, go with their queue's time",
  async (server) => {
    await using raw = new Raw(server.port);
    await using transport = await openTransport(server.url);
    const channel = await transport.openChannel();
    await channel.declareQueue(queueOf("q", { "x-expires": 60_000 }));
    await channel.publish(messageTo("", "q"));
    const delivery = await channel.get("q");
    assert(delivery !== undefined);
    await channel.reject(delivery.deliveryTag, { requeue: true });
    assert(await raw.number("PTTL", "q") > 0);
    await raw.send("DEL", "q");
    await channel.publish(messageTo("", "q", {}, 20));
    await until("the delayed message", 20_000, async () => {
      await channel.checkQueue("q");
      return await raw.number("LLEN", "q") === 1;
    });
    assert(await raw.number("PTTL", "q") > 0);
  },
  QUICK,
);

test(
  "bindings of a queue with x-expires have a deadline, as Kombu writes it, and those of others have none",
  async (server) => {
    await using raw = new Raw(server.port);
    await using transport = await openTransport(server.url);
    const channel = await transport.openChannel();
    await channel.declareExchange(exchangeOf("ex"));
    await channel.declareQueue(queueOf("long", { "x-expires": HOUR }));
    await channel.declareQueue(queueOf("short", { "x-expires": 60_000 }));
    await channel.declareQueue(queueOf("for-good"));
    const before = await timeOf(raw);
    await channel.bind(bindingOf("ex", "short", "a"));
    const deadline = () => raw.number("ZSCORE", DEADLINES, "ex");
    const first = await deadline();
    assert(first >= before + HOUR && first <= await timeOf(raw) + HOUR + 1);
    await channel.bind(bindingOf("ex", "long", "b"));
    const second = await deadline();
    assert(second >= before + 2 * HOUR);
    await channel.bind(bindingOf("ex", "short", "c"));
    assertEquals(await deadline(), second);
    assertEquals(await raw.number("EXISTS", PERMANENT), 0);
    await channel.bind(bindingOf("ex", "for-good", "a"));
    assertEquals(await raw.texts("SMEMBERS", PERMANENT), [
      "a\x06\x16\x06\x16for-good",
    ]);
    assertEquals(await raw.number("SCARD", TABLE), 4);
  },
  QUICK,
);

test(
  "a table of bindings whose deadline is over is no more, but for what ours still use",
  async (server) => {
    await using raw = new Raw(server.port);
    await using transport = await openTransport(server.url);
    const channel = await transport.openChannel();
    await channel.declareExchange(exchangeOf("ex"));
    await raw.send("SADD", TABLE, "kombu\x06\x16\x06\x16theirs");
    await raw.send("ZADD", DEADLINES, await timeOf(raw) + HOUR, "ex");
    const publish = async (key: string) => {
      await using other = await openTransport(server.url);
      const publisher = await other.openChannel();
      const message = { ...messageTo("ex", key), mandatory: true };
      return (await publisher.publish(message)).type;
    };
    assertEquals(await publish("kombu"), "accepted");
    await channel.declareQueue(queueOf("ours", { "x-expires": 60_000 }));
    await channel.bind(bindingOf("ex", "ours", "ours"));
    await raw.send("ZADD", DEADLINES, 1, "ex");
    assertEquals(await publish("kombu"), "returned");
    assertEquals(await publish("ours"), "accepted");
    assert(await raw.number("ZSCORE", DEADLINES, "ex") > await timeOf(raw));
    assertEquals(await raw.number("EXISTS", PERMANENT), 0);
  },
  QUICK,
);

test(
  "a queue that Kombu uses does not go, though none of ours does",
  async (server) => {
    await using raw = new Raw(server.port);
    await using transport = await openTransport(server.url);
    const channel = await transport.openChannel();
    const check = async (name: string) => {
      await using other = await openTransport(server.url);
      return await (await other.openChannel()).checkQueue(name);
    };
    await channel.declareExchange(exchangeOf("ex"));
    for (const name of ["taken", "idle"]) {
      await channel.declareQueue(queueOf(name, { "x-expires": 60_000 }));
    }
    await channel.bind(bindingOf("ex", "idle", "k"));

    // With each put and take Kombu lets the lists live as long again.
    await channel.publish(messageTo("", "taken"));
    await raw.send("PEXPIRE", "taken", 50_000);
    await letPass(raw, "taken");
    assertEquals((await check("taken")).messageCount, 1);
    const left = await raw.number("ZSCORE", "dashi.expiring", "taken") -
      await timeOf(raw);
    assert(left > 0 && left <= 60_000, `${left}`);
    await raw.send("DEL", "taken");
    await letPass(raw, "taken");
    await assertRejects(() => check("taken"), NotFoundError);

    // While it waits it refreshes the bindings, every third of their life.
    const wall = await timeOf(raw);
    await raw.send("ZADD", DEADLINES, wall + 2 * HOUR, "ex");
    await letPass(raw, "idle");
    assertEquals((await check("idle")).name, "idle");
    assertEquals(await raw.number("SCARD", TABLE), 1);
    await raw.send("ZADD", DEADLINES, wall + HOUR / 2, "ex");
    await letPass(raw, "idle");
    await assertRejects(() => check("idle"), NotFoundError);
    assertEquals(await raw.number("SCARD", TABLE), 0);
  },
  QUICK,
);

test(
  "a queue whose time is over takes no message, though nobody has looked",
  async (server) => {
    await using raw = new Raw(server.port);
    await using transport = await openTransport(server.url);
    const channel = await transport.openChannel();
    await channel.declareExchange(exchangeOf("ex"));
    for (const delay of [0, 1000]) {
      const name = `q${delay}`;
      await channel.declareQueue(queueOf(name, { "x-expires": 60_000 }));
      await channel.bind(bindingOf("ex", name, name));
      const message = { ...messageTo("ex", name, {}, delay), mandatory: true };
      assertEquals((await channel.publish(message)).type, "accepted");
      await raw.send("DEL", name, `dashi.delayed.${name}`);
      await letPass(raw, name);
      assertEquals((await channel.publish(message)).type, "returned");
      assertEquals(await raw.number("EXISTS", name), 0);
    }
  },
  QUICK,
);

test(
  "messages of a queue that is consumed stay, though its consumer has as many as it may",
  (server) =>
    unlessItStoodStill(1000, async () => {
      await using raw = new Raw(server.port);
      await raw.send("FLUSHALL");
      await using transport = await openTransport(server.url);
      const channel = await transport.openChannel();
      await channel.declareQueue(queueOf("q", { "x-expires": 3000 }));
      const got = Promise.withResolvers<void>();
      const subscription = await channel.consume("q", () => got.resolve(), {
        ...CONSUME,
        prefetch: 1,
      });
      for (let i = 0; i < 3; i++) await channel.publish(messageTo("", "q"));
      await got.promise;
      // Longer than the queue's time.
      await raw.send("SET", "control", "x", "PX", 5000);
      await until(
        "the end of another key",
        20_000,
        async () => await raw.number("EXISTS", "control") === 0,
      );
      assertEquals(await raw.number("LLEN", "q"), 2);
      await subscription[Symbol.asyncDispose]();
      await until(
        "the end of the queue",
        20_000,
        async () => await raw.number("EXISTS", "q") === 0,
      );
    }),
  QUICK,
);

test(
  "a message that is put into a queue though its time is over has a time of its own",
  async (server) => {
    await using raw = new Raw(server.port);
    await using transport = await openTransport(server.url);
    const channel = await transport.openChannel();
    // By one who has used it before, and by one who has not.
    for (const isKnown of [true, false]) {
      for (const [delay, priority] of [[0, 0], [0, 9], [300_000, 0]] as const) {
        const name = `q${isKnown}${delay}${priority}`;
        await channel.declareQueue(queueOf(name, { "x-expires": 60_000 }));
        await using other = await openTransport(server.url);
        const publisher = await other.openChannel();
        const message = messageTo("", name, { priority }, delay);
        if (isKnown) await publisher.publish(message);
        // The server ends its lists at the same time.
        await raw.send(
          "DEL",
          name,
          `${name}\x06\x169`,
          `dashi.delayed.${name}`,
        );
        await letPass(raw, name);
        for (let i = 0; i < 2; i++) {
          await publisher.publish(message);
          const keys = await raw.texts("KEYS", `*${name}*`);
          assertEquals(keys.length, 1);
          for (const key of keys) {
            const left = await raw.number("PTTL", key);
            assert(left > 0 && left <= 60_000, `${key}: ${left}`);
          }
        }
        const isDeclared = ["dashi.topology", `queue ${name}`] as const;
        assertEquals(await raw.number("HEXISTS", ...isDeclared), 0);
        await raw.send("DEL", ...await raw.texts("KEYS", `*${name}*`));
      }
    }
  },
  QUICK,
);

test(
  "a message that was taken of a queue whose time is over goes with it, however it is requeued",
  async (server) => {
    await using raw = new Raw(server.port);
    await using transport = await openTransport(server.url);
    const channel = await transport.openChannel();
    await using other = await openTransport(server.url);
    const publisher = await other.openChannel();
    for (
      const [i, options] of [
        {},
        { delay: 300_000 },
        { headers: { tried: 1 } },
      ].entries()
    ) {
      const name = `q${i}`;
      await channel.declareQueue(queueOf(name, { "x-expires": 60_000 }));
      await channel.publish(messageTo("", name));
      const delivery = await channel.get(name);
      assert(delivery !== undefined);
      await letPass(raw, name);
      const message = { ...messageTo("", name), mandatory: true };
      assertEquals((await publisher.publish(message)).type, "returned");
      await channel.reject(delivery.deliveryTag, { requeue: true, ...options });
      assertEquals(await raw.texts("KEYS", `*${name}`), []);
    }
    assertEquals(await raw.number("EXISTS", "unacked"), 0);
  },
  QUICK,
);

test(
  "a message that is put back from quarantine goes with its queue's time, and not into one whose time is over",
  async (server) => {
    await using raw = new Raw(server.port);
    await using transport = await openTransport(server.url);
    const channel = await transport.openChannel();
    await channel.declareQueue(queueOf("q", { "x-expires": 60_000 }));
    const hasTime = async () => {
      const left = await raw.number("PTTL", "q");
      assert(left > 0 && left <= 60_000, `${left}`);
    };
    await raw.send("LPUSH", "q", "no envelope");
    await raw.send("PERSIST", "q");
    const delivery = await channel.get("q");
    assert(delivery !== undefined && "malformed" in delivery);
    await channel.reject(delivery.deliveryTag, { requeue: true });
    await hasTime();
    const again = await channel.get("q");
    assert(again !== undefined);
    assertEquals(await channel.putBack?.("q", undefined), 1);
    await hasTime();
    await raw.send("DEL", "q");
    await raw.send("LPUSH", "dashi.malformed.q", "no envelope");
    await letPass(raw, "q");
    await assertRejects(
      async () => await channel.putBack?.("q", undefined),
      NotFoundError,
    );
    assertEquals(await raw.number("EXISTS", "q"), 0);
    assertEquals(await raw.number("LLEN", "dashi.malformed.q"), 1);
  },
  QUICK,
);
