/** Ordered queues on MongoDB: what lies where, what it costs, and who goes on for a dead one. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { createConnection, Exchange, Queue, UnsupportedError } from "@dashi/mq";
import { KEY_HEADER } from "../../../virtual/message_key.ts";
import type { Fields } from "../../../transports/mongodb/port.ts";
import type { Reservation } from "../../../transports/store/store.ts";
import { until } from "../../brokers/server.ts";
import { TestClock } from "../../../testing/clock.ts";
import {
  type Database,
  messageTo,
  onMongodb,
  type Opened,
  queueOf,
} from "../../support/mongodb.ts";

const NOW = { wait: 0 };
const HIDDEN = "\x06\x16";

async function declare({ channel }: Opened): Promise<void> {
  await channel.declareQueue(queueOf("q", { "x-ordered": 1 }));
}

/** Puts texts that begin with their key; `-` is none. */
async function put({ channel }: Opened, ...texts: string[]): Promise<void> {
  for (const text of texts) {
    const key = text.slice(0, 1);
    const headers = key === "-" ? {} : { [KEY_HEADER]: key };
    await channel.publish(messageTo("q", text, { headers }));
  }
}

async function take({ store }: Opened, limit: number): Promise<Reservation[]> {
  const { messages } = store;
  return [
    ...(await messages.reserve([{ queue: "q", limit }], NOW))
      .reservations,
  ];
}

/** Takes what is there once one of the connections has brought it back. */
async function takeSoon(opened: Opened): Promise<Reservation[]> {
  let held: Reservation[] = [];
  await until("a message", 30_000, async () => {
    held = await take(opened, 10);
    return held.length > 0;
  });
  return held;
}

function textOf({ message }: Reservation): string {
  return new TextDecoder().decode(message.body);
}

/** What lies where, without the queue's name: the place of each, and its key or text, in order. */
async function layout(database: Database): Promise<string[]> {
  const found = await database.find("messages");
  return found
    .filter(({ next }) => next === undefined)
    .toSorted((a, b) => Number(a.priority) - Number(b.priority))
    .map((each) => {
      const place = String(each.queue).replace(`q${HIDDEN}`, "");
      return each.payload === undefined
        ? `${place}: ${each.key}`
        : `${place}${each.holder === undefined ? "" : "*"}`;
    });
}

/** Two connections whose time passes when it is told to. */
async function two(
  database: Database,
): Promise<{ clock: TestClock; one: Opened; other: Opened }> {
  const clock = new TestClock();
  clock.pass(1_000_000);
  const one = await database.connect({ clock, owner: "one" });
  await declare(one);
  return {
    clock,
    one,
    other: await database.connect({ clock, owner: "other" }),
  };
}

onMongodb(
  "a key is in the ring once, or busy, and goes with its last message; a deleted queue leaves nothing",
  async (database) => {
    const opened = await database.connect();
    await declare(opened);
    await put(opened, "a1", "a2", "b1", "-1");
    assertEquals(await layout(database), [
      "q",
      "of a",
      "of a",
      "of b",
      "ring: a",
      "ring: b",
      "ring: ",
    ]);
    const held = await take(opened, 10);
    assertEquals(held.map(textOf), ["a1", "b1", "-1"]);
    assertEquals((await layout(database)).filter((each) => /:/.test(each)), [
      "busy: a",
      "busy: b",
    ]);
    await opened.store.messages.remove(held);
    assertEquals((await take(opened, 10)).map(textOf), ["a2"]);
    assertEquals(await layout(database), ["of a*", "busy: a"]);
    await put(opened, "c1", "-2");
    assertEquals(await opened.channel.deleteQueue("q"), 2);
    assertEquals(await database.find("messages"), []);
  },
);

onMongodb(
  "a take, a put and an ack cost as many commands however much waits, and ask for what indexes serve",
  async (database) => {
    const commands: [string, Fields][] = [];
    // No time passes: then nothing is looked for that is due.
    const opened = await database.connect({
      clock: new TestClock(),
      onCommand: (...command) => commands.push(command),
    });
    await declare(opened);
    const namesOf = async (run: () => Promise<unknown>) => {
      commands.length = 0;
      await run();
      return commands.map(([name]) => name);
    };
    const PUT = ["find", "findAndModify", "insert", "update"];
    await put(opened, "b0");
    assertEquals(await namesOf(() => put(opened, "a1")), PUT);
    for (const key of ["a", "b", "c"]) {
      await Promise.all(
        Array.from({ length: 100 }, (_, i) => put(opened, `${key}${i}`)),
      );
    }
    assertEquals(await namesOf(() => put(opened, "a2")), PUT);
    let held: Reservation[] = [];
    const taking = async () => held = await take(opened, 1);
    assertEquals(await namesOf(taking), ["findAndModify", "findAndModify"]);
    assertServed(commands, await indexesOf(database));
    const settling = () => opened.store.messages.remove(held);
    assertEquals(await namesOf(settling), ["delete", "update"]);
    assertServed(commands, await indexesOf(database));
  },
);

/** The first field of each index. */
async function indexesOf(database: Database): Promise<readonly string[]> {
  const indexes = await database.documents.collection("messages").indexes();
  return indexes.map(({ key }) => Object.keys(key)[0] ?? "");
}

function assertServed(
  commands: readonly (readonly [string, Fields])[],
  indexes: readonly string[],
): void {
  for (const [name, { query, updates, deletes }] of commands) {
    const statements = [updates, deletes].flatMap((each) =>
      Array.isArray(each) ? each.map(({ q }) => q) : []
    );
    for (const filter of query === undefined ? statements : [query]) {
      assert(
        Object.keys(Object(filter)).some((field) => indexes.includes(field)),
        `${name} ${JSON.stringify(filter)}`,
      );
    }
  }
}

onMongodb(
  "a queue that is not ordered gets no index and no document more",
  async (database) => {
    const { channel } = await database.connect();
    await channel.declareQueue(queueOf("plain"));
    const headers = { [KEY_HEADER]: "a" };
    await channel.publish(messageTo("plain", "1", { headers }));
    const [document, ...others] = await database.find("messages");
    assertEquals(others, []);
    assertEquals(Object.keys(document ?? {}).toSorted(), [
      "_id",
      "payload",
      "priority",
      "queue",
    ]);
    assertEquals((await indexesOf(database)).toSorted(), [
      "_id",
      "claim",
      "dead_at",
      "queue",
    ]);
  },
);

onMongodb(
  "inspect() counts what waits behind keys and what is out, and peek() shows whose turn comes",
  async (database) => {
    const opened = await database.connect();
    await declare(opened);
    await put(opened, "a1", "a2", "a3", "b1", "-1", "-2");
    await using connection = createConnection(database.url);
    const peeked = async () => {
      const texts: string[] = [];
      for (const { body } of await connection.queue("q").peek({ max: 4 })) {
        texts.push(new TextDecoder().decode(body));
      }
      return texts;
    };
    assertEquals(await peeked(), ["a1", "b1", "-1", "a2"]);
    const [a1] = await take(opened, 1);
    assert(a1 !== undefined);
    assertEquals(await peeked(), ["b1", "-1", "-2"]);
    const counts = async () => {
      const info = await connection.inspect().queue("q");
      return [info?.ready, info?.unacked, info?.delayed];
    };
    assertEquals(await counts(), [5, 1, 0]);
    await opened.store.messages.release([a1], { delay: 60_000 });
    assertEquals(await counts(), [5, 0, 1]);
  },
);

onMongodb(
  "a message that Kombu puts into an ordered queue is filed by its key, behind those that are there",
  async (database) => {
    const opened = await database.connect();
    await declare(opened);
    await opened.channel.declareQueue(queueOf("plain"));
    for (const text of ["a2", "-2", "b1"]) {
      const key = text.slice(0, 1);
      const headers = key === "-" ? {} : { [KEY_HEADER]: key };
      await opened.channel.publish(messageTo("plain", text, { headers }));
    }
    await put(opened, "a1");
    await database.documents.collection("messages").updateMany(
      { queue: "plain" },
      { $set: { queue: "q" } },
    );
    assertEquals(await opened.store.messages.count("q"), 4);
    const held = await take(opened, 10);
    assertEquals(held.map(textOf).toSorted(), ["-2", "a1", "b1"]);
    await opened.store.messages.remove(held);
    const [a2, ...others] = await take(opened, 10);
    assert(a2 !== undefined);
    assertEquals([textOf(a2), others.length], ["a2", 0]);
    assertEquals([a2.redelivered, a2.deliveryCount], [false, 0]);
  },
);

onMongodb(
  "a lease that runs out gives a key to the next with the same message, and its holder nothing to settle",
  async (database) => {
    const { clock, one, other } = await two(database);
    await put(one, "a1", "a2");
    const held = await take(one, 10);
    assertEquals(held.map(textOf), ["a1"]);
    clock.pass(29_000);
    assertEquals(await take(other, 10), []);
    clock.pass(1001);
    const [again, ...more] = await takeSoon(other);
    assert(again !== undefined);
    assertEquals([textOf(again), more.length], ["a1", 0]);
    assertEquals([again.redelivered, again.deliveryCount], [true, 1]);
    const { messages } = one.store;
    assertEquals(await messages.renew?.(held), held);
    assertEquals(await messages.remove(held), held);
    assertEquals(await messages.release(held), held);
    assertEquals(await take(one, 10), []);
    assertEquals(await other.store.messages.remove([again]), []);
    assertEquals((await take(one, 10)).map(textOf), ["a2"]);
  },
);

onMongodb(
  "a lease that is renewed keeps its key from others",
  async (database) => {
    const { clock, one, other } = await two(database);
    await put(one, "a1", "a2", "b1");
    const held = await take(one, 10);
    for (let i = 0; i < 3; i++) {
      clock.pass(20_000);
      assertEquals(await one.store.messages.renew?.(held), []);
      assertEquals(await take(other, 10), []);
    }
    assertEquals(await one.store.messages.remove(held), []);
    assertEquals((await take(other, 10)).map(textOf), ["a2"]);
  },
);

onMongodb(
  "messages that a dead owner held go back to the front of their key, and those that it put and did not end are found",
  async (database) => {
    const clock = new TestClock();
    // By the lease alone they would come back much later.
    const transportOptions = { visibilityTimeout: 3_600_000 };
    const one = await database.connect({
      owner: "one",
      clock: new TestClock(),
      transportOptions,
    });
    await declare(one);
    await put(one, "a1", "a2", "b1", "c1");
    await take(one, 2);
    const messages = database.documents.collection("messages");
    // Its process was killed between the message and its key.
    await messages.deleteOne({ key: "c", payload: { $exists: false } });
    await messages.updateOne(
      { key: "c" },
      { $set: { holder: `one.${crypto.randomUUID()}.1` } },
    );
    clock.pass(35_000);
    const other = await database.connect({
      owner: "other",
      clock,
      transportOptions,
    });
    assertEquals(await take(other, 10), []);
    assertEquals(
      await other.store.presence.heartbeat("other", 30_000),
      ["one"],
    );
    assertEquals(await other.store.messages.count("q"), 4);
    const held = await take(other, 10);
    assertEquals(
      held.map((each) => `${textOf(each)} ${each.redelivered}`).toSorted(),
      ["a1 true", "b1 true", "c1 false"],
    );
  },
);

onMongodb(
  "a consumer that empties keys while others put into them misses nothing",
  async (database) => {
    const opened = await database.connect();
    const others = [await database.connect(), await database.connect()];
    await declare(opened);
    const seen: string[] = [];
    const all = Promise.withResolvers<void>();
    for (const { channel } of others) {
      await channel.consume("q", (delivery) => {
        seen.push(new TextDecoder().decode(delivery.body));
        void channel.ack(delivery.deliveryTag);
        if (seen.length === 60) all.resolve();
      }, { prefetch: 5 });
    }
    // A key has one message at most: each of them is found empty again and again.
    for (let i = 0; i < 30; i++) await put(opened, `a${i}`, `b${i}`);
    await all.promise;
    const expected = (key: string) =>
      Array.from({ length: 30 }, (_, i) => `${key}${i}`);
    for (const key of ["a", "b"]) {
      assertEquals(seen.filter((each) => each[0] === key), expected(key));
    }
  },
);

onMongodb(
  "with fanout by broadcast an ordered queue is not bound to a fanout exchange",
  async (database) => {
    await using connection = createConnection(database.url, {
      transportOptions: { fanout: "broadcast" },
    });
    const news = new Exchange("news", { type: "fanout" });
    await assertRejects(
      () =>
        connection.declare([
          news,
          new Queue("orders", { ordered: true, exchange: news }),
        ]),
      UnsupportedError,
      'Cannot bind the ordered queue "orders" to the fanout exchange "news": with "fanout" "broadcast"',
    );
  },
);
