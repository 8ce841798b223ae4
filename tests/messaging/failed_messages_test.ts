/** Messages whose handler fails, or whose payload is refused. */

import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import {
  ConnectionError,
  type ConnectionEvent,
  createConnection,
  DecodeError,
  Queue,
} from "../../mod.ts";

import { createTestBroker } from "@dashi/mq/testing";
import { createTransport } from "../../transports/memory/mod.ts";
import type { Transport } from "../../transports/transport.ts";

const place = () => `memory://${crypto.randomUUID()}`;

Deno.test("a handler that throws, without a policy, loses nothing, and says what becomes of it", async () => {
  const events: ConnectionEvent[] = [];
  await using broker = createTestBroker({
    connection: { onUnhandled: (event) => events.push(event) },
  });
  const { connection, clock } = broker;
  const queue = new Queue<{ user?: { name: string } }>("jobs");
  for (let i = 0; i < 3; i++) await connection.send(queue, {});
  const consumer = connection.consumer(queue);
  let calls = 0;
  await consumer.run(({ payload }) => {
    if (++calls === 3) void consumer.cancel();
    const { user } = payload as { user: { name: string } };
    return void user.name.length;
  });
  const failed = events.filter(({ type }) => type === "handler-failed");
  assertEquals(failed.length, 3);
  for (const each of failed) {
    assert(each.type === "handler-failed" && each.next?.type === "retry");
    assertEquals([each.attempt, each.next.attempt, each.next.attempts], [
      1,
      2,
      5,
    ]);
    assert(each.next.delay >= 500 && each.next.delay <= 1000);
  }
  // Nothing was rejected: all come again, and are dead letters in the end.
  let dead = 0;
  const again = connection.consumer(queue, {
    onError: () => {},
  });
  const running = again.run(({ attempt }) => {
    assertEquals(attempt, 2);
    if (++dead === 3) void again.cancel();
    throw new Error("no");
  }, { retry: { attempts: 2, backoff: 0 } });
  await clock.advanceUntil(running);
  const { messageCount } = await connection.queue("jobs.failed").status();
  assertEquals(messageCount, 3);
});

Deno.test("a password that a function gives is masked in what a failure leaves behind", async () => {
  const [memory, word] = [createTransport(), "Zx9-sEcReT"];
  let asked = 0;
  const transport: Transport = {
    name: "asking",
    defaults: { hostname: "localhost", username: "me" },
    async connect(url, options) {
      const password = await options.password?.();
      if (password !== word) {
        throw new ConnectionError("no", { code: "connection-lost" });
      }
      return await memory.connect(url, options);
    },
  };
  await using connection = createConnection("asking://", {
    transport,
    password: () => ++asked === 1 ? word.slice(0, -1) : word,
    onUnhandled: () => {},
  });
  const queue = new Queue("jobs", { deadLetter: "jobs.dead" });
  await connection.send(queue, 1);
  assert(asked > 1);
  const consumer = connection.consumer(queue);
  await consumer.run(() => {
    void consumer.cancel();
    throw new Error(
      `cannot log in with ${word}, nor with ${word.slice(0, -1)}`,
    );
  }, { retry: false });
  const dead = await connection.queue("jobs.dead").get();
  assertEquals(
    dead?.headers["x-error-message"],
    "cannot log in with **, nor with **",
  );
  await dead?.ack();
});

Deno.test("a queue that goes with its connection parks in one that stays", async () => {
  const url = place();
  await using connection = createConnection(url, { onUnhandled: () => {} });
  for (const queue of [new Queue("mine", { exclusive: true }), new Queue("")]) {
    await connection.send(queue, queue.name);
    const consumer = connection.consumer(queue);
    await consumer.run(() => {
      void consumer.cancel();
      throw new Error("no");
    }, { retry: false });
  }
  await using other = createConnection(url);
  const { messageCount } = await other.queue("dashi.failed").status();
  assertEquals(messageCount, 2);
});

Deno.test("onFailure that is none of those there are is refused", async () => {
  await using connection = createConnection(place());
  const onFailure = "dead" as "drop";
  await assertRejects(
    () => connection.consumer("jobs").run(() => {}, { onFailure }),
    Error,
    `"park", "reject", "requeue", "drop"`,
  );
});

Deno.test("with autoAck a message is dropped where its handler throws, and told of", async () => {
  const events: ConnectionEvent[] = [];
  await using connection = createConnection(place(), {
    onUnhandled: (event) => events.push(event),
  });
  await connection.send(new Queue("jobs"), 1);
  const consumer = connection.consumer("jobs", { autoAck: true });
  await consumer.run(() => {
    void consumer.cancel();
    throw new Error("no");
  });
  assertEquals(events.map(({ type }) => type), ["handler-failed", "dropped"]);
  await assertRejects(
    () => consumer.run(() => {}, { onFailure: "park" }),
    TypeError,
    "autoAck",
  );
});

Deno.test("dead letters that go round, or find a full queue, are told of", async () => {
  const url = place();
  await using connection = createConnection(url);
  const round = new Queue("round", {
    messageTtl: 1,
    deadLetterExchange: "",
    deadLetterRoutingKey: "round",
  });
  const full = new Queue("full", {
    maxLength: 1,
    arguments: { "x-overflow": "reject-publish" },
  });
  const jobs = new Queue("jobs", {
    deadLetterExchange: "",
    deadLetterRoutingKey: "full",
  });
  await connection.declare([round, full, jobs]);
  const told: string[] = [];
  const reading = (async () => {
    for await (const event of connection.events()) {
      if (event.type === "dropped") told.push(event.error.message);
      if (told.length === 2) return;
    }
  })();
  await connection.send("full", 1);
  await connection.send("jobs", 2);
  await (await connection.queue("jobs").get())?.reject();
  await connection.send("round", 3);
  const late = AbortSignal.timeout(15_000);
  while (told.length < 2) {
    assert(!late.aborted, `${told}`);
    // Perhaps its time is not over yet.
    await (await connection.queue("round").get())?.requeue();
  }
  await reading;
  assertEquals(told.length, 2);
  assert(told[0]?.includes("is full"), told[0]);
  assert(told[1]?.includes("circle"), told[1]);
});

Deno.test("a dead letter that is put back with its headers begins a new life", async () => {
  await using connection = createConnection(place(), { onUnhandled: () => {} });
  const queue = new Queue("jobs");
  const producer = connection.producer({
    declare: [queue],
    routingKey: "jobs",
  });
  let headers = {};
  for (let life = 0; life < 2; life++) {
    await producer.publish(1, { headers });
    let calls = 0;
    const consumer = connection.consumer(queue);
    await consumer.run((message) => {
      headers = message.headers;
      if (++calls === 3) void consumer.cancel();
      throw new Error("no");
    }, { retry: { attempts: 3, backoff: 0 } });
    assertEquals(calls, 3);
  }
});

Deno.test("the issues of a schema are told with their places", async () => {
  await using connection = createConnection(place());
  const queue = new Queue("jobs");
  const producer = connection.producer({
    declare: [queue],
    routingKey: "jobs",
  });
  await producer.publish({ order: { lines: [{ qty: "3" }] } });
  const consumer = connection.consumer<unknown>(queue, {
    schema: {
      "~standard": {
        version: 1,
        vendor: "test",
        validate: () => ({
          issues: [
            {
              message: "expected number",
              path: ["order", { key: "lines" }, 0, "qty"],
            },
            { message: "bad key", path: ["a b"] },
            { message: "too small" },
          ],
        }),
      },
    },
  });
  const errors: Error[] = [];
  await consumer.run(() => {}, {
    onError: (error) => {
      errors.push(error);
      void consumer.cancel();
    },
  });
  const [told] = errors;
  assert(told instanceof DecodeError);
  assertStringIncludes(
    told.message,
    `payload.order.lines[0].qty: expected number; payload["a b"]: bad key; too small`,
  );
  assertEquals(told.issues.map(({ path }) => path), [
    ["order", "lines", 0, "qty"],
    ["a b"],
    [],
  ]);
});

/** Values that a program may throw, and the text of each. */
const ODD:
  readonly (readonly [what: string, make: () => unknown, text: RegExp])[] = [
    [
      "an error whose message is an object",
      () => Object.assign(new Error("400"), { message: { code: "E1" } }),
      /Error/,
    ],
    [
      "an error whose name throws",
      () =>
        Object.defineProperty(new Error("bad"), "name", {
          get() {
            throw new Error("no name");
          },
        }),
      /bad/,
    ],
    [
      "an object without a prototype",
      () => Object.create(null),
      /cannot be read/,
    ],
    ["an object that is no text", () => ({
      toString() {
        throw new Error("no text");
      },
    }), /cannot be read/],
    ["a proxy that is revoked", () => {
      const { proxy, revoke } = Proxy.revocable(new Error("gone"), {});
      revoke();
      return proxy;
    }, /cannot be read/],
    ["an error of errors that is one of its own", () => {
      const all = new AggregateError([], "");
      all.errors.push(all);
      return all;
    }, /AggregateError/],
    ["nothing", () => undefined, /undefined/],
  ];

for (const [what, make, text] of ODD) {
  for (const retry of [false, { attempts: 2, backoff: 0 }] as const) {
    Deno.test(`a handler that throws ${what} parks its message, ${retry === false ? "at once" : "in the end"}`, async () => {
      await using connection = createConnection(place(), {
        onUnhandled: () => {},
      });
      const queue = new Queue("jobs");
      await connection.send(queue, 1);
      const consumer = connection.consumer(queue);
      const running = consumer.run(() => {
        throw make();
      }, { retry });
      for await (
        const message of connection.consumer(new Queue("jobs.failed"))
      ) {
        assert(
          text.test(String(message.headers["x-error-message"])),
          String(message.headers["x-error-message"]),
        );
        await message.ack();
        break;
      }
      await consumer.close();
      await running;
    });
  }
}

Deno.test("an onError that rejects later is told, and ends nothing", async () => {
  const told = Promise.withResolvers<ConnectionEvent>();
  await using connection = createConnection(place(), {
    onUnhandled: (event) => {
      told.resolve(event);
      return Promise.reject(new Error("and this one too")) as never;
    },
  });
  const queue = new Queue("jobs");
  await connection.send(queue, 1);
  const consumer = connection.consumer(queue);
  const running = consumer.run(() => {
    throw new Error("bad");
  }, {
    retry: false,
    onError: () => Promise.reject(new Error("later")) as never,
  });
  const event = await told.promise;
  assert(event.type === "handler-failed");
  assertEquals(event.error.message, "later");
  await consumer.close();
  await running;
});

Deno.test("a loop with autoAck tells that what its schema refuses is dropped", async () => {
  const events: ConnectionEvent[] = [];
  await using connection = createConnection(place(), {
    onUnhandled: (event) => events.push(event),
  });
  const queue = new Queue("jobs");
  await connection.send(queue, "bad");
  await connection.send(queue, 1);
  const consumer = connection.consumer(queue, {
    autoAck: true,
    schema: (payload) => {
      if (typeof payload === "number") return payload;
      throw new Error("expected number");
    },
  });
  for await (const { payload } of consumer) {
    assertEquals(payload, 1);
    break;
  }
  assertEquals(events.map(({ type }) => type), ["handler-failed", "dropped"]);
  const [failed] = events;
  assert(failed?.type === "handler-failed");
  assertEquals(failed.next, { type: "drop" });
});

Deno.test("a schema may answer with any thenable", async () => {
  await using connection = createConnection(place(), { onUnhandled: () => {} });
  const queue = new Queue("jobs");
  for (const each of ["bad", 1]) await connection.send(queue, each);
  const schema = (payload: unknown) => ({
    then(resolve: (payload: number) => void, reject: (error: Error) => void) {
      if (typeof payload === "number") resolve(payload);
      else reject(new Error("expected number"));
    },
  });
  const consumer = connection.consumer<number>(queue, {
    schema: schema as never,
  });
  for await (const message of consumer) {
    assertEquals(message.payload, 1);
    await message.ack();
    break;
  }
  assertEquals(
    (await connection.queue("jobs.failed").status()).messageCount,
    1,
  );
});
