/** Writes that MongoDB's majority has, and a primary that steps down. */

import { assert, assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { MongodbRelay } from "../../support/mongodb_relay.ts";
import { messageTo, onMongodb, queueOf } from "../../support/mongodb.ts";
import { SLACK } from "../../support/slack.ts";

onMongodb(
  "publishes, settlements and declarations are the majority's, and a claim that may be forgotten is not",
  async (database) => {
    const concerns = new Map<string, Set<unknown>>();
    const { channel, store } = await database.connect({
      onCommand(name, command) {
        const { w } = Object(command.writeConcern);
        const key = `${name} ${String(command[name])}`;
        concerns.set(key, (concerns.get(key) ?? new Set()).add(w));
      },
    });
    await channel.declareQueue(queueOf("q"));
    for (const text of ["ack", "requeue", "leave"]) {
      await channel.publish(messageTo("q", text));
    }
    const { reservations } = await store.messages.reserve([{
      queue: "q",
      limit: 2,
    }], {
      wait: 0,
    });
    assertEquals(reservations.length, 2);
    await store.messages.remove(reservations.slice(0, 1));
    const before = concerns.get("update messages") ?? new Set();
    concerns.set("update messages", new Set());
    await store.messages.release(reservations.slice(1));
    const of = (key: string) => [...concerns.get(key) ?? []];
    assertEquals(of("insert messages"), ["majority"]);
    assertEquals(of("delete messages"), ["majority"]);
    assertEquals(of("findAndModify messages"), [1]);
    assert([...before].every((w) => w === 1));
    const declared = [...concerns].filter(([key]) => key.includes("topology"));
    const wrote = declared.filter(([key]) =>
      !/^(find|createIndexes) /.test(key)
    );
    assert(wrote.length > 0);
    for (const [key, ws] of wrote) assertEquals([...ws], ["majority"], key);
  },
);

for (
  const [code, codeName] of [
    [10107, "NotWritablePrimary"],
    [189, "PrimarySteppedDown"],
    [11602, "InterruptedDueToReplStateChange"],
    [91, "ShutdownInProgress"],
  ] as const
) {
  onMongodb(
    `a primary that steps down while messages flow is a lost connection, and nothing is lost with it: ${codeName}`,
    async (database) => {
      await using relay = new MongodbRelay(database.url);
      const connection = createConnection(relay.urlOf(database.url), {
        reconnect: { initialDelay: 10, maxDelay: 50 },
        transportOptions: { pollingInterval: 50 },
      });
      const queue = new Queue("q");
      const producer = connection.producer<number>({ declare: [queue] });
      const events = connection.events()[Symbol.asyncIterator]();
      const losses: unknown[] = [];
      const listening = (async () => {
        for (;;) {
          const { value, done } = await events.next();
          if (done) return;
          if (value.type === "lost") losses.push(Object(value.error).code);
        }
      })();
      const seen = new Set<number>();
      const { promise: all, resolve } = Promise.withResolvers<void>();
      // One of each is refused, at its fourth time, as if it were the first after the election.
      const counts = new Map<string, number>();
      relay.refuse = (command) => {
        if (!["insert", "findAndModify", "delete"].includes(command)) return;
        const count = (counts.get(command) ?? 0) + 1;
        counts.set(command, count);
        return count === 4 ? { code, codeName } : undefined;
      };
      const consumer = connection.consumer<number>(queue, { prefetch: 4 });
      const running = consumer.run(({ payload }) => {
        seen.add(payload);
        if (seen.size === 60) resolve();
      }, { concurrency: 4 });
      for (let i = 0; i < 60; i += 5) {
        await Promise.all(
          [0, 1, 2, 3, 4].map((each) =>
            producer.publish(i + each, { routingKey: "q" })
          ),
        );
      }
      await all;
      await consumer.close();
      await running;
      assertEquals(relay.refused.toSorted(), [
        "delete",
        "findAndModify",
        "insert",
      ]);
      await connection.close();
      await listening;
      assert(losses.length > 0);
      assertEquals(new Set(losses), new Set(["connection-lost"]));
      assertEquals(seen.size, 60);
    },
  );
}

for (
  const [what, refusal] of [
    ["steps down", { code: 189, codeName: "PrimarySteppedDown" }],
    ["falls silent", "silence"],
  ] as const
) {
  onMongodb(
    `a server that ${what} while a connection is opened fails it in its time, and leaves nothing`,
    async (database) => {
      await using relay = new MongodbRelay(database.url);
      // The first is of the tables' version, the last of those that opening asks for.
      let finds = 0;
      relay.refuse = (command) =>
        command === "find" && ++finds > 1 ? refusal : undefined;
      await using connection = createConnection(relay.urlOf(database.url), {
        reconnect: false,
        connectTimeout: 3000,
      });
      const began = performance.now();
      const error = await connection.connect().catch((error) => error);
      assertEquals([error.name, error.retryable], ["ConnectionError", true]);
      assert(performance.now() - began < 10_000 + SLACK);
      assert(relay.refused.length > 0);
    },
  );
}
