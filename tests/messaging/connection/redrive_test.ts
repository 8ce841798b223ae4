import { assertEquals, assertRejects } from "@std/assert";
import {
  createConnection,
  Exchange,
  type Message,
  OptionError,
  Queue,
  UnsupportedError,
} from "../../../mod.ts";
import { createTestBroker } from "../../../testing/mod.ts";
import { quiet } from "../../../testing/clock.ts";

const open = () => createConnection(`memory://${crypto.randomUUID()}`);

Deno.test("a filter says which dead letters are put back, and the others keep their order", async () => {
  await using connection = open();
  await connection.declare([new Queue("dead"), new Queue("jobs")]);
  for (let i = 0; i < 6; i++) await connection.send("dead", i);
  const dead = connection.queue<number>("dead");
  const filter = ({ payload }: Message<unknown>) => Number(payload) % 2 === 1;
  const options = { to: "jobs", limit: 2, filter };
  assertEquals(await connection.redrive("dead", options), {
    moved: 2,
    kept: 0,
  });
  const rest = async () => (await dead.peek()).map((each) => each.payload);
  assertEquals(await rest(), [0, 2, 4, 5]);
  const error = new Error("the filter's own");
  await assertRejects(
    () =>
      connection.redrive("dead", {
        filter: (message) => {
          if (message.payload === 4) throw error;
          return false;
        },
      }),
    Error,
    error.message,
  );
  assertEquals(await rest(), [0, 2, 4, 5]);
  // deno-lint-ignore no-explicit-any -- as from no compiler
  const none: any = "payload";
  await assertRejects(
    () => connection.redrive("dead", { filter: none }),
    OptionError,
    '"filter"',
  );
});

Deno.test("a redrive tells how many are put back so far, and has told it when it fails", async () => {
  await using connection = open();
  await connection.declare([new Queue("dead"), new Queue("jobs")]);
  for (let i = 0; i < 30; i++) await connection.send("dead", i);
  const told: unknown[] = [];
  await assertRejects(
    () =>
      connection.redrive("dead", {
        to: "jobs",
        onProgress: (soFar) => told.push(soFar),
        filter: ({ payload }) => {
          if (payload === 15) throw new Error("the filter's own");
          return true;
        },
      }),
    Error,
    "the filter's own",
  );
  assertEquals(told, [{ moved: 10, kept: 0 }]);
  assertEquals((await connection.queueStatus("jobs")).messageCount, 10);
  assertEquals((await connection.queueStatus("dead")).messageCount, 20);
});

Deno.test("a rate bounds how fast dead letters are put back, and a signal ends the wait", async () => {
  await using broker = createTestBroker();
  await using connection = createConnection(broker.url);
  await connection.declare([new Queue("dead"), new Queue("jobs")]);
  for (let i = 0; i < 3; i++) await connection.send("dead", i);
  const controller = new AbortController();
  const rateLimit = { limit: 1, interval: 60_000 };
  const redriving = connection.redrive("dead", {
    to: "jobs",
    rateLimit,
    signal: controller.signal,
  });
  const count = async (name: string) =>
    (await connection.queueStatus(name)).messageCount;
  while (await count("jobs") < 1) await quiet();
  await broker.clock.advance(59_000);
  assertEquals(await count("jobs"), 1);
  await broker.clock.advance(1000);
  while (await count("jobs") < 2) await quiet();
  controller.abort(new Error("enough"));
  await assertRejects(() => redriving, Error, "enough");
  assertEquals([await count("dead"), await count("jobs")], [1, 2]);
  await assertRejects(
    () => connection.redrive("dead", { rateLimit: { limit: 0, interval: 1 } }),
    RangeError,
    '"limit"',
  );
});

Deno.test("a dead letter that died in its own queue stays there as it is, and a queue is not redriven to itself", async () => {
  await using connection = open();
  const queues = [new Queue("jobs"), new Queue("dead")];
  await connection.declare(queues);
  const deaths = (queue: string) => ({
    "x-first-death-queue": queue,
    "x-death": [{ queue, reason: "rejected", count: 1 }],
  });
  for (const queue of ["dead", "jobs", "dead"]) {
    await using channel = await connection.channel();
    await channel.publish({
      exchange: "",
      routingKey: "dead",
      mandatory: false,
      delay: 0,
      properties: { headers: deaths(queue) },
      body: new Uint8Array(),
      republished: true,
    });
  }
  const redriven = await connection.redrive("dead");
  assertEquals(redriven, { moved: 1, kept: 2 });
  const left = await connection.queue("dead").peek();
  assertEquals(left.map(({ deaths }) => deaths[0]?.queue), ["dead", "dead"]);
  for (const to of ["dead", queues[1]]) {
    await assertRejects(
      () => connection.redrive("dead", { to }),
      RangeError,
      '"dead" to itself',
    );
  }
  assertEquals((await connection.queueStatus("dead")).messageCount, 2);
});

Deno.test("a dead letter is redriven to its own queue, and not to those that CC named", async () => {
  await using connection = open();
  const letters = new Exchange("letters", { type: "fanout" });
  const jobs = new Queue("jobs", { deadLetterExchange: letters });
  const dead = new Queue("dead", { exchange: letters });
  const copies = new Queue("copies");
  await connection.declare([dead, copies, jobs]);
  await connection.send(jobs, "once", { headers: { CC: ["copies"] } });
  await (await connection.queue("jobs").get())?.reject();
  assertEquals(await connection.redrive("dead"), { moved: 1, kept: 0 });
  for (const queue of [jobs, copies]) {
    const { messageCount } = await connection.queue(queue.name).status();
    assertEquals([queue.name, messageCount], [queue.name, 1]);
  }
});

Deno.test("where one dead letter cannot be put back, those beside it are, and the others keep their order", async () => {
  await using connection = open();
  await connection.declare([new Queue("dead"), new Queue("jobs")]);
  for (let i = 0; i < 250; i++) await connection.send("dead", i);
  connection.use({
    publish: async ({ body }, next) => {
      const text = new TextDecoder().decode(body);
      if (text === "130" || text === "140") throw new Error(`not ${text}`);
      await next();
    },
  });
  await assertRejects(
    () => connection.redrive("dead", { to: "jobs" }),
    Error,
    "not 130",
  );
  const payloads = async (queue: string) =>
    (await connection.queue(queue).peek({ max: 300 }))
      .map(({ payload }) => payload);
  const all = Array.from({ length: 250 }, (_, i) => i);
  // 10, 40 and 100 at once: the fourth time was not begun.
  const isLeft = (i: number) => i === 130 || i === 140 || i >= 150;
  assertEquals(await payloads("dead"), all.filter(isLeft));
  assertEquals(await payloads("jobs"), all.filter((i) => !isLeft(i)));
});

Deno.test("a redrive that is aborted lets arrive what it has begun with, so that nothing is in both queues", async () => {
  await using connection = open();
  await connection.declare([new Queue("dead"), new Queue("jobs")]);
  for (let i = 0; i < 300; i++) await connection.send("dead", i);
  const controller = new AbortController();
  connection.use({
    publish: async ({ body }, next) => {
      if (new TextDecoder().decode(body) === "150") controller.abort();
      await next();
    },
  });
  await assertRejects(
    () => connection.redrive("dead", { to: "jobs", signal: controller.signal }),
    DOMException,
  );
  const counts = ["dead", "jobs"].map((each) => connection.queueStatus(each));
  assertEquals(
    (await Promise.all(counts)).map(({ messageCount }) => messageCount),
    [50, 250],
  );
});

Deno.test("of large dead letters few are in hand at once", async () => {
  await using connection = open();
  await connection.declare([new Queue("dead"), new Queue("jobs")]);
  const body = new Uint8Array(2 ** 22).fill(255);
  for (let i = 0; i < 18; i++) await connection.send("dead", body);
  const inHand: number[] = [];
  const inspector = connection.inspect();
  connection.use({
    async publish(_, next) {
      inHand.push((await inspector.queue("dead")).unacked ?? 0);
      await next();
    },
  });
  const redriven = await connection.redrive("dead", { to: "jobs" });
  assertEquals(redriven, { moved: 18, kept: 0 });
  assertEquals(Math.max(...inHand.slice(0, 10)), 10);
  assertEquals(Math.max(...inHand.slice(10)), 4);
});

Deno.test("the messages of a stream are not put back, for they stay there", async () => {
  await using connection = open();
  await assertRejects(
    () => connection.redrive(new Queue("log", { type: "stream" }), { to: "q" }),
    UnsupportedError,
    'redrive the messages of queue "log"',
  );
});
