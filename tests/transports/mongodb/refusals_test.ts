/** A MongoDB that refuses single commands for a while, names that it does not take, and clocks that step. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { createConnection, Exchange, MessagingError, Queue } from "@dashi/mq";
import { MongoServerError } from "mongodb";
import { SYSTEM_CLOCK } from "../../../async/clock.ts";
import { callError, failureOf } from "../../../transports/mongodb/errors.ts";
import {
  checkCollectionName,
  checkDatabaseName,
} from "../../../transports/mongodb/names.ts";
import { MongodbRelay } from "../../support/mongodb_relay.ts";
import { messageTo, onMongodb, queueOf } from "../../support/mongodb.ts";
import { SLACK } from "../../support/slack.ts";

const PASSING: readonly {
  readonly code: number;
  readonly errorLabels?: string[];
}[] = [
  ...[6, 7, 89, 133, 134, 262, 9001, 16500].map((code) => ({ code })),
  { code: 8, errorLabels: ["RetryableWriteError"] },
  { code: 8, errorLabels: ["SystemOverloadedError"] },
];

for (const fields of PASSING) {
  const what = fields.errorLabels?.[0] ?? `code ${fields.code}`;
  Deno.test(`mongodb: a refusal with ${what} passes`, () => {
    const failure = failureOf(
      new MongoServerError({ errmsg: "later", ...fields }),
    );
    const error = callError("publish", failure);
    assertEquals([error.code, error.retryable], ["channel-closed", true]);
  });
}

Deno.test("mongodb: a refusal for good does not pass", () => {
  const failure = failureOf(new MongoServerError({ errmsg: "no", code: 8 }));
  assertEquals(callError("publish", failure).retryable, false);
});

for (const name of ["a.b", "a b", "a/b", "a\\b", 'a"b', "a$b", "a\0b", ""]) {
  Deno.test(`mongodb: the database ${JSON.stringify(name)} is refused`, () => {
    assertThrows(() => checkDatabaseName(name), MessagingError, "MongoDB");
  });
}

Deno.test("mongodb: names are as long as MongoDB takes them, in bytes", () => {
  checkDatabaseName("ö".repeat(31) + "x");
  assertThrows(() => checkDatabaseName("ö".repeat(32)), MessagingError, "64");
  checkCollectionName("db", "x".repeat(252));
  for (const name of ["x".repeat(253), "system.x", "a$b", ".a", "a.", ""]) {
    assertThrows(() => checkCollectionName("db", name), MessagingError);
  }
});

for (const name of ["a.b", "x".repeat(64)]) {
  Deno.test(`mongodb: connect() says at once that the database "${name.slice(0, 5)}" cannot be`, async () => {
    await using connection = createConnection(`mongodb://127.0.0.1:1/${name}`);
    const error = await connection.connect().catch((error) => error);
    assertEquals([error.code, error.retryable], ["option-invalid", false]);
  });
}

onMongodb(
  "a calendar that steps drops no message, and takes none from others",
  async (database) => {
    const calendar = { ahead: 0 };
    const clock = {
      now: () => SYSTEM_CLOCK.now(),
      wall: () => SYSTEM_CLOCK.wall() + calendar.ahead,
      timer: SYSTEM_CLOCK.timer,
    };
    const one = await database.connect();
    await one.channel.declareQueue(queueOf("q"));
    await one.channel.publish(messageTo("q", "held"));
    const [held] =
      (await one.store.messages.reserve([{ queue: "q", limit: 1 }], {
        wait: 0,
      })).reservations;
    assert(held !== undefined);
    const other = await database.connect({ clock });
    calendar.ahead = 3_600_000;
    const message = messageTo("q", "lives");
    await one.channel.publish({
      ...message,
      properties: { ...message.properties, expiration: 600_000 },
    });
    const taken: string[] = [];
    for (let i = 0; i < 2; i++) {
      const delivery = await other.channel.get("q");
      if (delivery !== undefined) {
        taken.push(new TextDecoder().decode(delivery.body));
      }
    }
    assertEquals(taken, ["lives"]);
    assertEquals(await one.store.messages.remove([held]), []);
  },
);

/** As much of a command as is looked at here. */
interface Asked {
  readonly update?: unknown;
  readonly filter?: { readonly priority?: { readonly $lte?: unknown } };
}

onMongodb(
  "whatever command is refused once for a passing reason: publish, declare, take and ack succeed",
  async (database) => {
    await using relay = new MongodbRelay(database.url);
    await using connection = createConnection(relay.urlOf(database.url), {
      reconnect: { initialDelay: 10, maxDelay: 50 },
      transportOptions: { pollingInterval: 50 },
    });
    await connection.connect();
    const queue = new Queue("jobs");
    const refuseOnce = (name: string) => {
      let left = 1;
      relay.refuse = (command) =>
        command === name && left-- > 0
          ? { code: 16500, codeName: "RequestRateTooLarge" }
          : undefined;
    };
    refuseOnce("update");
    await connection.declare([queue]);
    const got = new Set<string>();
    const { promise: done, resolve } = Promise.withResolvers<void>();
    const abort = new AbortController();
    const running = connection.consumer<string>(queue, { signal: abort.signal })
      .run((message) => {
        got.add(message.payload);
        // One that was refused may come behind the last.
        if (got.size === 5) resolve();
      }).catch(() => {});
    for (const command of ["insert", "find", "findAndModify", "delete"]) {
      refuseOnce(command);
      await connection.producer<string>().publish(command, {
        routingKey: "jobs",
      });
    }
    await connection.producer<string>().publish("last", { routingKey: "jobs" });
    const late = setTimeout(resolve, 30_000);
    await done;
    clearTimeout(late);
    assertEquals(got.size, 5);
    abort.abort();
    await running;
    assert(relay.refused.length >= 4, relay.refused.join());
  },
);

onMongodb(
  "whatever command of an ordered queue is refused once for a passing reason: no key waits for its lease, and none loses its order",
  async (database) => {
    await using relay = new MongodbRelay(database.url);
    await using connection = createConnection(relay.urlOf(database.url), {
      reconnect: { initialDelay: 10, maxDelay: 50 },
      transportOptions: { pollingInterval: 50, visibilityTimeout: 600_000 },
    });
    const queue = new Queue<string>("jobs", { ordered: true });
    await connection.declare(queue);
    const got: string[] = [];
    const { promise: done, resolve } = Promise.withResolvers<void>();
    const consumer = connection.consumer<string>(queue);
    const running = consumer.run(({ payload }) => {
      if (!got.includes(payload)) got.push(payload);
      if (got.length === 40) resolve();
    }, { concurrency: 5 });
    const producer = connection.producer<string>({ queue });
    for (let n = 0; n < 10; n++) {
      const commands = ["update", "insert", "find", "findAndModify", "delete"];
      // Now one that puts, now one that takes or settles.
      let left = 1;
      relay.refuse = (command) =>
        command === commands[n % 5] && left-- > 0
          ? { code: 16500, codeName: "RequestRateTooLarge" }
          : undefined;
      for (const key of ["a", "b", "c", "d"]) {
        await producer.publish(`${key}${n}`, { key });
      }
    }
    const late = setTimeout(resolve, 30_000);
    await done;
    clearTimeout(late);
    assert(relay.refused.length >= 8, relay.refused.join());
    for (const key of ["a", "b", "c", "d"]) {
      assertEquals(
        got.filter((each) => each.startsWith(key)),
        Array.from({ length: 10 }, (_, n) => `${key}${n}`),
      );
    }
    await consumer.close();
    await running;
  },
);

onMongodb(
  "what was taken is handed over though the look after it, or the take of more, is refused: nothing waits for its lease",
  async (database) => {
    await using relay = new MongodbRelay(database.url);
    await using connection = createConnection(relay.urlOf(database.url), {
      reconnect: { initialDelay: 10, maxDelay: 50 },
      transportOptions: { pollingInterval: 50, visibilityTimeout: 600_000 },
    });
    const busy = { code: 16500, codeName: "RequestRateTooLarge" };
    for (
      const [number, kind] of [
        (asked: Asked) => asked.filter?.priority?.$lte !== undefined,
        (asked: Asked) => asked.update === "messages",
      ].entries()
    ) {
      const queue = new Queue<number>(`jobs-${number}`);
      await connection.declare(queue);
      const producer = connection.producer<number>({ queue });
      for (let n = 0; n < 5; n++) await producer.publish(n);
      let left = 5;
      relay.refuse = (_, __, asked) =>
        kind(asked) && left-- > 0 ? busy : undefined;
      const got = new Set<number>();
      const all = Promise.withResolvers<void>();
      const consumer = connection.consumer<number>(queue);
      const running = consumer.run(({ payload }) => {
        got.add(payload);
        if (got.size === 5) all.resolve();
      }, { concurrency: 5 });
      const late = setTimeout(all.resolve, 30_000);
      await all.promise;
      clearTimeout(late);
      assertEquals([...got].sort(), [0, 1, 2, 3, 4], relay.refused.join());
      assert(left < 5, "nothing was refused");
      relay.refuse = () => undefined;
      await consumer.close();
      await running;
    }
  },
);

onMongodb(
  "a broadcast keeps its caller's timeout on a server that is silent",
  async (database) => {
    await using relay = new MongodbRelay(database.url);
    await using connection = createConnection(relay.urlOf(database.url), {
      transportOptions: { fanout: "broadcast" },
      operationTimeout: 20_000,
      reconnect: false,
    });
    await connection.declare([new Exchange("news", { type: "fanout" })]);
    await connection.producer({ exchange: "news" }).publish("warm");
    relay.refuse = (command) => command === "insert" ? "silence" : undefined;
    const began = performance.now();
    const error = await connection.producer({ exchange: "news" })
      .publish("late", { timeout: 300 }).catch((error) => error);
    assertEquals(error.code, "timed-out");
    assert(performance.now() - began < 300 + SLACK);
    relay.refuse = () => undefined;
  },
);
