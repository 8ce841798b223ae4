// deno-lint-ignore-file no-top-level-await -- what the server can explain must be known before the test is named
/** Claims, leases and owners on MongoDB. */

import { assert, assertEquals } from "@std/assert";
import { MongoClient } from "mongodb";
import { createConnection, Queue } from "@dashi/mq";
import { until } from "../../brokers/server.ts";
import { Holder } from "../../interop/holder.ts";
import { TestClock } from "../../../testing/clock.ts";
import {
  type Database,
  messageTo,
  MONGODB_URL,
  onMongodb,
  type Opened,
  queueOf,
} from "../../support/mongodb.ts";
import type { Fields } from "../../../transports/mongodb/port.ts";

const NOW = { wait: 0 };

async function put(
  { channel }: Opened,
  count: number,
  queue = "q",
): Promise<void> {
  await channel.declareQueue(queueOf(queue));
  await Promise.all(
    Array.from(
      { length: count },
      (_, i) => channel.publish(messageTo(queue, `${i}`)),
    ),
  );
}

/** Two connections whose time passes when it is told to. */
async function two(
  database: Database,
): Promise<{ clock: TestClock; one: Opened; other: Opened }> {
  const clock = new TestClock();
  clock.pass(1_000_000);
  return {
    clock,
    one: await database.connect({ clock, owner: "one" }),
    other: await database.connect({ clock, owner: "other" }),
  };
}

onMongodb(
  "a claim is one round trip, and asks for what the index serves",
  async (database) => {
    const commands: [string, Fields][] = [];
    // No time passes: then nothing is looked for that is due.
    const opened = await database.connect({
      clock: new TestClock(),
      onCommand: (...command) => commands.push(command),
    });
    await put(opened, 200);
    const indexes = await database.documents.collection("messages").indexes();
    const served = indexes.map(({ key }) => Object.keys(key));
    assert(served.some((keys) => keys.join() === "queue,priority,_id"));
    const assertServed = () => {
      for (const [name, command] of commands) {
        const filters = filtersOf(command);
        assert(filters.length > 0, name);
        for (const filter of filters) {
          const fields = Object.keys(filter);
          assert(
            served.some(([first = ""]) => fields.includes(first)),
            `${name} ${JSON.stringify(filter)}`,
          );
        }
      }
    };
    commands.length = 0;
    const one = await opened.store.messages.reserve(
      [{ queue: "q", limit: 1 }],
      NOW,
    );
    assertEquals(one.reservations.length, 1);
    assertEquals(commands.map(([name]) => name), ["findAndModify"]);
    assertEquals(commands[0]?.[1].query, { queue: "q" });
    assertEquals(
      commands[0]?.[1].sort,
      new Map([["priority", 1], ["_id", 1]]),
    );
    commands.length = 0;
    const many = await opened.store.messages.reserve([{
      queue: "q",
      limit: 100,
    }], NOW);
    assertEquals(many.reservations.length, 100);
    assertEquals(commands.map(([name]) => name), [
      "findAndModify",
      "find",
      "update",
      "find",
    ]);
    assertServed();
    commands.length = 0;
    await opened.store.messages.remove([
      ...one.reservations,
      ...many.reservations,
    ]);
    assertEquals(commands.map(([name]) => name), ["delete"]);
    assertServed();
  },
);

/** Returns the filters of a command. */
function filtersOf(command: Fields): readonly object[] {
  const { query, filter, updates, deletes } = command;
  const statements: unknown[] = [updates, deletes].flatMap((each) =>
    Array.isArray(each) ? each : []
  );
  return [query, filter, ...statements.map((each) => Object(each).q)].filter(
    (each) => typeof each === "object" && each !== null,
  );
}

onMongodb(
  "publishes that are made at once cost a look at the tables and an insert",
  async (database) => {
    const commands: string[] = [];
    const opened = await database.connect({
      onCommand: (name) => commands.push(name),
    });
    await put(opened, 1);
    commands.length = 0;
    await put(opened, 0);
    commands.length = 0;
    await Promise.all(
      Array.from({ length: 500 }, () => opened.channel.publish(messageTo("q"))),
    );
    assertEquals(commands, ["find", "insert"]);
  },
);

/** Why the server does not say how it finds documents. */
async function whyNoExplain(): Promise<string | undefined> {
  if (MONGODB_URL === undefined) return "there is no broker";
  const client = await new MongoClient(MONGODB_URL).connect();
  try {
    await client.db().collection("none").find().explain();
    return undefined;
  } catch {
    return "this server does not explain";
  } finally {
    await client.close();
  }
}

const noExplain = await whyNoExplain();
if (noExplain === undefined) {
  onMongodb(
    "a claim scans one entry of one index, however deep the queue is",
    async (database) => {
      const opened = await database.connect();
      await put(opened, 2000);
      const { executionStats } = await database.documents.command({
        explain: {
          findAndModify: "messages",
          query: { queue: "q" },
          sort: { priority: 1, _id: 1 },
          update: { $set: { claim: "x" } },
        },
        verbosity: "executionStats",
      });
      assert(JSON.stringify(executionStats).includes("IXSCAN"));
      assert(!JSON.stringify(executionStats).includes('"SORT"'));
      assert(executionStats.totalDocsExamined <= 2);
    },
  );
} else {
  Deno.test({
    name: `a claim scans one entry of one index (${noExplain})`,
    ignore: true,
    fn: () => {},
  });
}

onMongodb(
  "eight racing consumers get a thousand messages, each once",
  async (database) => {
    const opened = await database.connect();
    await put(opened, 1000);
    const seen: string[] = [];
    const { promise: all, resolve } = Promise.withResolvers<void>();
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        const { channel } = await database.connect();
        await channel.consume("q", (delivery) => {
          seen.push(new TextDecoder().decode(delivery.body));
          channel.ack(delivery.deliveryTag);
          if (seen.length >= 1000) resolve();
        }, { prefetch: 20 });
      }),
    );
    await all;
    assertEquals(new Set(seen).size, 1000);
    for (const { connection } of [opened]) {
      await connection
        [Symbol.asyncDispose]();
    }
    assertEquals(seen.length, 1000);
  },
);

onMongodb(
  "a lease that runs out gives a message to the next, and its holder nothing to settle",
  async (database) => {
    const { clock, one, other } = await two(database);
    await put(one, 2);
    const held = await one.store.messages.reserve(
      [{ queue: "q", limit: 2 }],
      NOW,
    );
    clock.pass(29_000);
    const early = await other.store.messages.reserve(
      [{ queue: "q", limit: 2 }],
      NOW,
    );
    assertEquals(early.reservations, []);
    clock.pass(1001);
    const late = await other.store.messages.reserve(
      [{ queue: "q", limit: 1 }],
      NOW,
    );
    const [taken] = late.reservations;
    assertEquals([taken?.redelivered, taken?.deliveryCount], [true, 1]);
    // One is taken, the other is ready again: neither is the first one's any more.
    assertEquals(
      await one.store.messages.renew?.(held.reservations),
      held.reservations,
    );
    assertEquals(
      new Set(await one.store.messages.remove(held.reservations)),
      new Set(held.reservations),
    );
    assertEquals(
      await one.store.messages.release(held.reservations).then((l) => l.length),
      2,
    );
    assertEquals(await other.store.messages.remove(late.reservations), []);
    assertEquals(await one.store.messages.count("q"), 1);
  },
);

onMongodb(
  "a lease that is renewed while a handler works is nobody else's",
  async (database) => {
    const { clock, one, other } = await two(database);
    await put(one, 1);
    const delivery = await one.channel.get("q");
    assert(delivery !== undefined);
    for (let i = 0; i < 9; i++) {
      const before = await leaseOf(database);
      clock.pass(10_000);
      await until(
        "a renewal",
        30_000,
        async () => await leaseOf(database) !== before,
      );
      const stolen = await other.store.messages.reserve([{
        queue: "q",
        limit: 1,
      }], NOW);
      assertEquals(stolen.reservations, []);
    }
    await one.channel.ack(delivery.deliveryTag);
    assertEquals(await database.find("messages"), []);
  },
);

async function leaseOf(database: Database): Promise<unknown> {
  const [document] = await database.find("messages");
  return document?.priority;
}

onMongodb(
  "messages that an owner held come back when it connects again, at once",
  async (database) => {
    const first = await database.connect({ owner: "me" });
    await put(first, 3);
    await first.store.messages.reserve([{ queue: "q", limit: 3 }], NOW);
    await first.channel.declareQueue(queueOf("own"));
    await first.channel.consume("own", () => {}, {
      prefetch: 1,
      exclusive: true,
    });
    // Its connection was lost, and the server does not know.
    const second = await database.connect({ owner: "me" });
    const again = await second.store.messages.reserve([{
      queue: "q",
      limit: 3,
    }], NOW);
    assertEquals(again.reservations.map(({ redelivered }) => redelivered), [
      true,
      true,
      true,
    ]);
    await second.channel.consume("own", () => {}, {
      prefetch: 1,
      exclusive: true,
    });
  },
);

onMongodb(
  "an owner that is found dead loses its messages, and is told so",
  async (database) => {
    const clock = new TestClock();
    const one = await database.connect({
      owner: "one",
      clock: new TestClock(),
    });
    const other = await database.connect({ owner: "other", clock });
    await put(one, 2);
    await one.store.messages.reserve([{ queue: "q", limit: 1 }], NOW);
    clock.pass(9_000);
    assertEquals(await other.store.presence.heartbeat("other", 30_000), []);
    await other.connection[Symbol.asyncDispose]();
    clock.pass(26_000);
    const late = await database.connect({ owner: "late", clock });
    assertEquals(await late.store.presence.heartbeat("late", 30_000), ["one"]);
    assertEquals(await one.store.messages.count("q"), 2);
    assertEquals(await one.store.presence.heartbeat("one", 30_000), ["one"]);
    assertEquals(await one.store.presence.heartbeat("one", 30_000), []);
  },
);

onMongodb(
  "a process that is killed gives back what it held within its lease",
  async (database) => {
    const connection = createConnection(database.url);
    const queue = new Queue("q");
    await connection.producer({ declare: [queue] }).publish(1, {
      routingKey: "q",
    });
    await using holder = new Holder(
      database.url,
      { visibilityTimeout: 1000 },
      "q",
    );
    await holder.hold(1);
    await holder.kill();
    const iterator = connection.consumer<number>(queue)[Symbol.asyncIterator]();
    const { value } = await iterator.next();
    assertEquals([value?.payload, value?.deliveryInfo.redelivered], [1, true]);
    await value?.ack();
    await connection.close();
  },
);

onMongodb(
  "an idle consumer of twenty queues sends one command for each of its polls",
  async (database) => {
    const commands: string[] = [];
    let looked = Promise.withResolvers<void>();
    const opened = await database.connect({
      transportOptions: { pollingInterval: 100 },
      onCommand: (name) => {
        commands.push(name);
        const last = commands.slice(-20);
        if (last.length === 20 && last.every((each) => each === "find")) {
          looked.resolve();
        }
      },
    });
    for (let i = 0; i < 20; i++) {
      await opened.channel.declareQueue(queueOf(`q${i}`));
      await opened.channel.consume(`q${i}`, () => {}, { prefetch: 1 });
    }
    await looked.promise;
    commands.length = 0;
    looked = Promise.withResolvers<void>();
    const began = performance.now();
    await looked.promise;
    assert(performance.now() - began > 1500);
  },
);
