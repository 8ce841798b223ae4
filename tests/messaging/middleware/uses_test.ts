/** `connection.use`: which values it takes, and who has what is used. */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  type Connection,
  createConnection,
  MessagingError,
  type Middleware,
  OptionError,
  Queue,
  TimeoutError,
} from "@dashi/mq";
import { createTestBroker } from "@dashi/mq/testing";

const open = () => createConnection(`memory://${crypto.randomUUID()}`);

/** Publishes a message, and says by which middlewares it went. */
async function path(connection: Connection): Promise<unknown> {
  const queue = new Queue("path");
  await connection.send(queue, 1);
  const handle = connection.queue(queue);
  const message = await handle.get();
  assert(message !== undefined);
  await message.ack();
  await handle.close();
  return message.headers["path"] ?? "";
}

const step = (name: string): Middleware => ({
  publish: ({ headers }, next) =>
    next({ headers: { ...headers, path: `${headers["path"] ?? ""}${name}` } }),
});

Deno.test("use() refuses what is no middleware, and says what one is", async () => {
  await using connection = open();
  const refused = (given: unknown, ...words: string[]) => {
    const error = assertThrows(
      () => Reflect.apply(connection.use, connection, [given]),
      OptionError,
    );
    for (const word of words) {
      assert(error.message.includes(word), error.message);
    }
  };
  refused(undefined, "undefined as a middleware", '"publish"');
  refused(7, "7 as a middleware");
  refused({}, "without a hook");
  refused({ publsh() {} }, '"publsh"', '"publish"');
  refused({ consume() {} }, '"process"');
  refused({ publish: 1 }, "a function");
  refused(() => undefined, "undefined as a middleware");
  refused(() => Promise.resolve({ event() {} }), "a middleware");
});

Deno.test("an object of a class is a middleware, with what else it has", async () => {
  await using connection = open();
  class Counting implements Middleware {
    count = 0;
    publish(_: unknown, next: () => Promise<void>): Promise<void> {
      this.count++;
      return next();
    }
  }
  const counting = new Counting();
  await path(connection.use(counting));
  assertEquals(counting.count, 1);
});

Deno.test("a function makes a middleware for each connection, and sees where that leads", async () => {
  await using connection = open();
  const seen: unknown[] = [];
  connection.use((host) => {
    seen.push(host.info().transport, host.state.type);
    return step("a");
  });
  await using clone = connection.clone();
  assertEquals(await path(clone), "a");
  assertEquals(seen, ["memory", "idle", "memory", "idle"]);
});

Deno.test("clones and pools have what was used before, and a pooled connection loses what it was given", async () => {
  await using connection = open();
  connection.use(step("a"));
  await using clone = connection.clone();
  await using pool = connection.pool({ limit: 1 });
  connection.use(step("b"));
  assertEquals(await path(connection), "ab");
  assertEquals(await path(clone), "a");
  for (let round = 0; round < 2; round++) {
    await using lent = await pool.acquire();
    lent.use(step("c"));
    assertEquals(await path(lent), "ac");
  }
});

Deno.test("a middleware must give on a message's parts", async () => {
  await using connection = open();
  const bad: unknown[] = [
    { boddy: 1 },
    { body: "text" },
    { headers: "x" },
    { exchange: 1 },
    7,
  ];
  let next: unknown;
  connection.use({
    publish: (_, go) => Reflect.apply(go, undefined, [next]),
  });
  for (next of bad) {
    await assertRejects(() => path(connection), OptionError);
  }
  next = undefined;
  assertEquals(await path(connection), "");
});

Deno.test("a middleware sends a message elsewhere, or under another key, a request too", async () => {
  await using connection = open();
  const [one, other] = [new Queue<string>("one"), new Queue<string>("other")];
  await connection.declare([one, other]);
  connection.use({
    publish: ({ routingKey }, next) =>
      next(routingKey === "one" ? { routingKey: "other" } : {}),
  });
  await connection.send(one, "moved");
  assertEquals((await connection.queueStatus(one)).messageCount, 0);
  const consumer = connection.consumer(other);
  const seen: string[] = [];
  const serving = consumer.serve(({ payload }) => {
    seen.push(payload);
    return `${payload}!`;
  });
  const answer = await connection.request("asked", { routingKey: "one" });
  assertEquals(answer, "asked!");
  assertEquals(seen, ["moved", "asked"]);
  await consumer.cancel();
  await serving;
});

Deno.test("a middleware that calls next() twice publishes one message, and is told so", async () => {
  await using connection = open();
  const queue = new Queue<string>("twice");
  await connection.declare(queue);
  connection.use({
    async publish(_, next) {
      await next();
      await next();
    },
  });
  const refused = async (count: number) => {
    const error = await assertRejects(
      () => connection.send(queue, "a"),
      MessagingError,
      "called next() a second time",
    );
    assertEquals(error.code, "not-passed-on");
    const { messageCount } = await connection.queueStatus(queue);
    assertEquals(messageCount, count);
  };
  await refused(1);
  connection.use({
    async publish(_, next) {
      await Promise.resolve(); // not at once
      await Promise.all([next(), next()]);
    },
  });
  await refused(2);
});

Deno.test("a middleware may call next() again when it has failed", async () => {
  await using broker = createTestBroker();
  const { connection, faults } = broker;
  const queue = new Queue<string>("again");
  await connection.declare(queue);
  connection.use({
    publish: (_, next) => next().catch(() => next()),
  });
  faults.refuse("publish");
  await connection.send(queue, "a");
  assertEquals((await connection.queueStatus(queue)).messageCount, 1);
});

Deno.test("a property that there is not is refused, and a header among the properties", async () => {
  await using connection = open();
  const queue = new Queue("properties");
  await connection.declare(queue);
  let given: object = { nope: 1 };
  connection.use({
    publish: (_, next) => next({ properties: given }),
    receive: () => ({ properties: given }),
  });
  const refused = (words: string) =>
    assertRejects(() => connection.send(queue, 1), OptionError, words);
  await refused('"nope"');
  given = { contentTipe: "text/plain" };
  await refused('"contentType"');
  given = { headers: { a: 1 } };
  await refused('here it is "headers", beside the "properties"');
  given = { priority: "high" };
  await refused("a number");
  given = {};
  await connection.send(queue, 1);
  given = { nope: 1 };
  const message = await connection.queue(queue).get();
  assert(message !== undefined);
  assertThrows(() => message.payload, OptionError, '"nope"');
});

Deno.test("a middleware that hangs is waited for as long as the call may last", async () => {
  await using connection = open();
  const queue = new Queue("hangs");
  await connection.declare(queue);
  connection.use({ publish: () => new Promise(() => {}) });
  const error = await assertRejects(() =>
    connection.send(queue, 1, { timeout: 1000 })
  );
  assert(error instanceof Error);
  assert(error.message.includes("a middleware"), error.message);
});

Deno.test("an error of an event hook is told once, and harms nobody", async () => {
  const told: string[] = [];
  await using connection = createConnection("memory://event-hook", {
    onUnhandled: ({ type }) => told.push(type),
  });
  connection.use({
    event() {
      throw new Error("the test says so");
    },
  });
  await connection.connect();
  assert(connection.connected);
  assertEquals([...new Set(told)], ["middleware-failed"]);
});

/** As another library's promises are: none of the language's own. */
function foreign<T>(value: T | Promise<T>): Promise<T> {
  const promise = Promise.resolve(value);
  const thenable: PromiseLike<T> = {
    then: (...given) => promise.then(...given),
  };
  return thenable as Promise<T>;
}

for (const whose of ["the language's own", "another library's"]) {
  Deno.test(`an event hook whose promise, ${whose}, rejects is told as one that throws`, async () => {
    const failed = Promise.withResolvers<string>();
    await using connection = createConnection(`memory://${whose.length}`, {
      onUnhandled(event) {
        if (event.type === "middleware-failed") failed.resolve(event.hook);
      },
    });
    const fail = async (type: string) => {
      await Promise.resolve();
      throw new Error(`the test says so, to ${type}`);
    };
    connection.use({
      event({ type }) {
        const failing = fail(type);
        return whose === "another library's" ? foreign(failing) : failing;
      },
    });
    await connection.connect();
    assertEquals(await failed.promise, "event");
  });
}

Deno.test("a hook may return another library's promise", async () => {
  await using connection = open();
  const queue = new Queue<string>("foreign");
  connection.use({
    publish: (_, next) => foreign(Promise.resolve().then(() => next())),
    receive: () => foreign({ body: new TextEncoder().encode("received") }),
    settle: (_, next) => foreign(Promise.resolve().then(next)),
  });
  await connection.send(queue, "sent");
  assertEquals((await connection.queueStatus(queue)).messageCount, 1);
  await using handle = connection.queue(queue);
  const message = await handle.get();
  assertEquals(message?.payload, "received");
  await message?.ack();
  assert(message?.settled);
});

Deno.test("next() that is called when publish has ended publishes nothing, and says so", async () => {
  await using connection = open();
  const queue = new Queue("late");
  const later = Promise.withResolvers<void>();
  const late: Promise<void>[] = [];
  connection.use({
    publish(_, next) {
      late.push(later.promise.then(() => next()));
      return Promise.resolve();
    },
  });
  await connection.send(queue, 1);
  later.resolve();
  await assertRejects(() => Promise.all(late), MessagingError, "next() after");
  assertEquals((await connection.queueStatus(queue)).messageCount, 0);
});

/** Hands over bodies whose first byte is another one: what is read is what was received. */
const second: Middleware = {
  receive: async ({ body }) => {
    await Promise.resolve();
    return { body: body.with(1, 50) };
  },
};

Deno.test("a simple queue hands over what the middlewares do, whether a message is there or comes later", async () => {
  await using connection = open();
  await using queue = connection.use(second).simpleQueue<string>("simple");
  await queue.put("11");
  const there = await queue.get();
  assertEquals(there.payload, "12");
  await there.ack();
  const coming = queue.get({ timeout: 5000 });
  await queue.put("31");
  const late = await coming;
  assertEquals(late.payload, "32");
  await late.ack();
});

Deno.test("a rate limit's key is asked of messages as the middlewares hand them over", async () => {
  await using connection = open();
  const queue = new Queue<string>("keyed");
  await connection.use(second).send(queue, "11");
  const keys: string[] = [];
  const consumer = connection.consumer(queue);
  await consumer.run(() => void consumer.cancel(), {
    rateLimit: {
      limit: 10,
      interval: 10,
      key: ({ payload }) => {
        keys.push(payload);
        return payload;
      },
    },
  });
  assertEquals(new Set(keys), new Set(["12"]));
});

Deno.test("get() and request() wait for a middleware no longer than they may", async () => {
  await using connection = open();
  const queue = new Queue<string>("kept");
  await connection.send(queue, "a");
  await using other = connection.clone();
  connection.use({ receive: () => new Promise(() => {}) });
  const handle = connection.queue(queue);
  const message = await handle.get({ timeout: 1000 });
  assertThrows(() => message?.payload, TimeoutError, "a middleware");
  await message?.ack();
  await handle.close();
  const consumer = other.consumer(queue);
  const serving = consumer.serve(({ payload }) => payload);
  await assertRejects(
    () => connection.request("b", { routingKey: queue.name, timeout: 1000 }),
    TimeoutError,
    "a middleware",
  );
  await consumer.cancel();
  await serving;
});
