/** Calls that name a queue: sending, looking, dead letters and their way back. */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  createConnection,
  type Death,
  Exchange,
  NotFoundError,
  OptionError,
  Queue,
  type Schema,
  UnroutableError,
} from "../../mod.ts";
import { createTransport } from "../../transports/memory/mod.ts";

const open = () =>
  createConnection(`memory://${crypto.randomUUID()}`, {
    onUnhandled: () => {},
  });

Deno.test("send() declares a Queue, and wants a queue of a name to be there", async () => {
  await using connection = open();
  await connection.send(new Queue("jobs"), { id: 1 });
  await connection.send("jobs", { id: 2 }, { priority: 3 });
  assertEquals((await connection.queue("jobs").status()).messageCount, 2);
  await assertRejects(() => connection.send("job", 1), UnroutableError, "job");
});

Deno.test("send() to a queue whose name the broker chooses", async () => {
  await using connection = open();
  const queue = new Queue("");
  await connection.send(queue, 1);
  const status = await connection.declare(queue);
  assertEquals(status.messageCount, 1);
});

Deno.test("a producer of a queue declares it, and publishes to it", async () => {
  await using connection = open();
  for (const queue of [new Queue("jobs"), new Queue(""), "jobs"]) {
    const producer = connection.producer<number>({ queue });
    await producer.publish(1);
  }
  assertEquals((await connection.queue("jobs").status()).messageCount, 2);
  assertThrows(
    () => connection.producer({ queue: "jobs", routingKey: "x" }),
    TypeError,
    `"queue" alone`,
  );
});

Deno.test("a queue by its name is looked at, emptied and deleted, and never declared", async () => {
  await using connection = open();
  const jobs = connection.queue<number>("jobs");
  for (
    const look of [
      () => jobs.status(),
      () => jobs.get(),
      () => jobs.purge(),
    ]
  ) await assertRejects(look, NotFoundError, "jobs");
  await connection.declare(new Queue("jobs"));
  assertEquals(await jobs.get(), undefined);
  for (const each of [1, 2, 3]) await connection.send("jobs", each);
  const message = await jobs.get();
  assertEquals(message?.payload, 1);
  await message?.ack();
  assertEquals(await jobs.purge(), 2);
  await connection.send("jobs", 4);
  assertEquals(await jobs.delete(), 1);
  await assertRejects(() => jobs.status(), NotFoundError);
});

Deno.test("a queue declares its dead letters' queue, and both come back", async () => {
  await using connection = open();
  const queue = new Queue("jobs", { deadLetter: "jobs.dead" });
  await connection.send(queue, { id: 1 }, { headers: { from: "me" } });
  const deaths = await fail(queue, connection);
  assertEquals(deaths, []);
  const dead = connection.queue<{ id: number }>("jobs.dead");
  const letter = await dead.get();
  assert(letter !== undefined);
  const [death] = letter.deaths;
  assertEquals(
    [death?.queue, death?.reason, death?.count, death?.routingKeys],
    ["jobs", "rejected", 1, ["jobs"]],
  );
  assert(death?.time instanceof Date);
  await letter.requeue();
  assertEquals(await connection.redrive("jobs.dead"), { moved: 1, kept: 0 });
  const back = await connection.queue<{ id: number }>("jobs").get();
  assertEquals(
    [back?.payload, back?.headers, back?.attempt, back?.deaths],
    [{ id: 1 }, { from: "me" }, 1, []],
  );
});

Deno.test("a message that names no queue of its origin stays with the dead letters", async () => {
  await using connection = open();
  await connection.declare([new Queue("dead"), new Queue("jobs")]);
  await connection.send("dead", 1);
  assertEquals(await connection.redrive("dead"), { moved: 0, kept: 1 });
  assertEquals((await connection.queue("dead").status()).messageCount, 1);
  assertEquals(await connection.redrive("dead", { to: "jobs" }), {
    moved: 1,
    kept: 0,
  });
  assertEquals((await connection.queue("jobs").status()).messageCount, 1);
});

Deno.test("dead letters whose queue is gone stay, and so do all where `to` is not there", async () => {
  await using connection = open();
  const queue = new Queue("jobs", { deadLetter: "jobs.dead" });
  await connection.send(queue, 1);
  await fail(queue, connection);
  await connection.queue("jobs").delete();
  assertEquals(await connection.redrive("jobs.dead"), { moved: 0, kept: 1 });
  await assertRejects(
    () => connection.redrive("jobs.dead", { to: "typo" }),
    UnroutableError,
  );
  assertEquals((await connection.queue("jobs.dead").status()).messageCount, 1);
});

Deno.test("redrive() and queue() take a Queue as well as its name, and say of anything else what it must be", async () => {
  await using connection = open();
  const jobs = new Queue("jobs", { deadLetter: "jobs.dead" });
  const dead = new Queue("jobs.dead");
  const late = new Queue("late");
  await connection.declare([late]);
  await connection.send(jobs, 1);
  await fail(jobs, connection);
  assertEquals(await connection.redrive(dead, { to: late }), {
    moved: 1,
    kept: 0,
  });
  assertEquals((await connection.queue(late).status()).messageCount, 1);
  const chosen = new Queue("", { exclusive: true });
  const { name } = await connection.declare(chosen);
  assertEquals((await connection.queue(chosen).status()).name, name);
  // deno-lint-ignore no-explicit-any -- as from no compiler
  const none: any = 5;
  const words = "it must be a Queue, or the name of one";
  assertThrows(() => connection.queue(none), TypeError, words);
  await assertRejects(() => connection.redrive(none), TypeError, words);
  await assertRejects(
    () => connection.redrive("jobs.dead", { to: none }),
    TypeError,
    words,
  );
});

Deno.test("a limit bounds how many dead letters are taken", async () => {
  await using connection = open();
  await connection.declare([new Queue("dead"), new Queue("jobs")]);
  for (let i = 0; i < 3; i++) await connection.send("dead", i);
  const { moved } = await connection.redrive("dead", { to: "jobs", limit: 2 });
  assertEquals(moved, 2);
  assertEquals((await connection.queue("dead").status()).messageCount, 1);
});

Deno.test("the attempt of a message is a number", async () => {
  await using connection = open();
  const queue = new Queue("jobs");
  await connection.send(queue, 1);
  const attempts: number[] = [];
  const consumer = connection.consumer(queue);
  await consumer.run((message) => {
    attempts.push(message.attempt);
    if (attempts.length === 3) return void consumer.cancel();
    throw new Error("again");
  }, { retry: { attempts: 3, backoff: 0 } });
  assertEquals(attempts, [1, 2, 3]);
});

Deno.test("a dead letter queue is said in one way, and is another queue", () => {
  assertThrows(
    () => new Queue("a", { deadLetter: "b", deadLetterExchange: "c" }),
    TypeError,
    "in one way",
  );
  for (const deadLetter of ["a", "", new Queue("")]) {
    assertThrows(() => new Queue("a", { deadLetter }), TypeError, "another");
  }
});

async function fail(
  queue: Queue,
  connection: ReturnType<typeof open>,
): Promise<readonly Death[]> {
  let deaths: readonly Death[] = [];
  const consumer = connection.consumer(queue);
  await consumer.run((message) => {
    deaths = message.deaths;
    void consumer.cancel();
    throw new Error("bad luck");
  }, { retry: false });
  return deaths;
}

Deno.test("a queue's schema checks what is consumed from it, unless the consumer has its own", async () => {
  await using connection = open();
  const schema: Schema<{ id: number }> = {
    "~standard": {
      version: 1,
      vendor: "test",
      validate: (value) =>
        typeof value === "object" && value !== null && "id" in value &&
          typeof value.id === "number"
          ? { value: { id: value.id } }
          : { issues: [{ message: "no number", path: ["id"] }] },
    },
  };
  const orders = new Queue("orders", { schema });
  await connection.send(orders, { id: 1 });
  await connection.send("orders", { id: "2" });
  const seen: unknown[] = [];
  const consumer = connection.consumer(orders, {
    onInvalid: async (error, message) => {
      seen.push(error.message);
      await message.requeue();
      await consumer.cancel();
    },
  });
  for await (const message of consumer) {
    seen.push(message.payload.id);
    await message.ack();
  }
  const own = connection.consumer(orders, { schema: () => ({ id: 3 }) });
  for await (const message of own) {
    seen.push(message.payload.id);
    await message.ack();
    break;
  }
  assertEquals([seen[0], seen[2]], [1, 3]);
  assert(String(seen[1]).includes("payload.id: no number"), String(seen[1]));
});

Deno.test("declare() of one queue gives one answer, of an exchange none, of several a list", async () => {
  await using connection = open();
  const media = new Exchange("media");
  const jobs = new Queue("jobs", { exchange: media });
  await connection.send(jobs, 1);
  const status = { name: "jobs", messageCount: 1, consumerCount: 0 };
  assertEquals(await connection.declare(jobs), status);
  assertEquals(await connection.declare(media), undefined);
  assertEquals(await connection.declare([media, jobs]), [status]);
  assertEquals(await connection.declare([media]), []);
});

Deno.test("a queue checks payloads by its exchange's schema, if it has none of its own", async () => {
  const schema = (payload: unknown) => {
    if (typeof payload === "number") return payload;
    throw new Error("expected number");
  };
  const exchange = new Exchange("typed", { type: "fanout", schema });
  const queue = new Queue("typed", { exchange });
  const own = new Queue("own", { exchange, schema: Number });
  await using connection = createConnection(`memory://${crypto.randomUUID()}`);
  const producer = connection.producer({ exchange, declare: [queue, own] });
  await producer.publish("1" as never);
  await producer.publish(2);
  const refused: string[] = [];
  const consumer = connection.consumer(queue, {
    onInvalid: (error) => void refused.push(error.message),
  });
  for await (const message of consumer) {
    assertEquals(message.payload, 2);
    await message.ack();
    break;
  }
  assertEquals(refused, [
    "Cannot take a payload, which its schema refuses: expected number",
  ]);
  for await (const message of connection.consumer(own)) {
    assertEquals(message.payload, 1);
    await message.ack();
    break;
  }
});

Deno.test("a producer refuses what is no queue, and its name that is empty", async () => {
  await using connection = open();
  for (const queue of ["", 7, null]) {
    assertThrows(
      () => connection.producer({ queue: queue as never }),
      TypeError,
      '"queue" must be a Queue or the name of one',
    );
  }
});

Deno.test("cancelDelayed() and reschedule() refuse what is no id of a message", async () => {
  await using connection = open();
  const queue = connection.queue("jobs");
  for (const id of ["", 7, undefined]) {
    for (
      const call of [
        () => queue.cancelDelayed(id as never),
        () => queue.reschedule(id as never, { delay: 1 }),
      ]
    ) await assertRejects(call, OptionError, '"messageId"');
  }
});

Deno.test("inspect().server() tells how far the broker's clock is ahead, and how well that is known", async () => {
  const memory = createTransport();
  const ahead = 3_600_000;
  await using connection = createConnection("memory://ahead", {
    transport: {
      name: memory.name,
      async connect(url, options) {
        const inner = await memory.connect(url, options);
        return {
          capabilities: inner.capabilities,
          closed: inner.closed,
          openChannel: (options) => inner.openChannel(options),
          serverInfo: () =>
            Promise.resolve({
              product: "a broker",
              version: undefined,
              time: Date.now() + ahead,
            }),
          [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
        };
      },
    },
  });
  const { product, clockAhead = 0, clockError = 0 } = await connection
    .inspect().server();
  assertEquals(product, "a broker");
  assert(
    Math.abs(clockAhead - ahead) <= clockError + 1,
    `${clockAhead} ms, by ${clockError}`,
  );
});
