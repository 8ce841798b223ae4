/** A newcomer who forgets something. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  type ConnectionEvent,
  createConnection,
  NotFoundError,
  Queue,
  REPLY_CODES,
  SYSTEM_CLOCK,
  UnroutableError,
} from "../../mod.ts";
import { createTestBroker } from "@dashi/mq/testing";
import { freePort } from "../brokers/ports.ts";
import { inTime } from "../conformance/support.ts";

const place = () => `memory://${crypto.randomUUID()}`;

Deno.test("failures while nobody listens go to onUnhandled, and to nobody else", async () => {
  const events: ConnectionEvent[] = [];
  await using connection = createConnection(place(), {
    onUnhandled: (event) => events.push(event),
  });
  const queue = new Queue("jobs");
  const producer = connection.producer({ declare: [queue] });
  await producer.publish(1, { routingKey: "jobs", messageId: "m1" });
  const consumer = connection.consumer(queue);
  await consumer.run(() => {
    void consumer.cancel();
    throw new Error("bad luck");
  });
  const [failed] = events.filter(({ type }) => type === "handler-failed");
  assert(failed?.type === "handler-failed");
  assertEquals(
    [failed.queue, failed.messageId, failed.error.message],
    ["jobs", "m1", "bad luck"],
  );
});

Deno.test("run() tells its onError, or the consumer's, and then nobody else", async () => {
  const unhandled: ConnectionEvent[] = [];
  await using connection = createConnection(place(), {
    onUnhandled: (event) => unhandled.push(event),
  });
  const told: unknown[] = [];
  const tell = (who: string) => (error: Error, message: { payload: unknown }) =>
    told.push([who, error.message, message.payload]);
  for (const own of [true, false]) {
    await connection.send(new Queue("jobs"), 1);
    const consumer = connection.consumer("jobs", { onError: tell("consumer") });
    await consumer.run(() => {
      void consumer.cancel();
      throw new Error("bad luck");
    }, own ? { onError: tell("run") } : {});
  }
  assertEquals(told, [["run", "bad luck", 1], ["consumer", "bad luck", 1]]);
  assertEquals(unhandled, []);
});

for (const ending of ["await connection.close();", "Deno.exit(0);"]) {
  Deno.test(`a program that listens to nothing is told on the console, a line for each kind, and of the others at its end: ${ending}`, async () => {
    const { stderr, success } = await run(`
      import { createConnection, Queue } from "${new URL(
      "../../mod.ts",
      import.meta.url,
    )}";
      const connection = createConnection("memory://");
      for (const name of ["jobs", "mails"]) {
        const queue = new Queue(name);
        const producer = connection.producer({ queue });
        for (const i of [1, 2]) await producer.publish(i, { messageId: name + i });
        const consumer = connection.consumer(queue);
        let calls = 0;
        await consumer.run(() => {
          if (++calls === 2) void consumer.cancel();
          throw new Error("bad luck\\u001b[2J");
        });
      }
      ${ending}
    `);
    assert(success, stderr);
    const [first = "", last = "", ...more] = stderr.trim().split("\n");
    assertEquals(more, [], stderr);
    for (
      const word of ["@dashi/mq", `"jobs"`, "jobs1", "bad luck\\u001b[2J"]
    ) assert(first.includes(word), stderr);
    for (
      const word of ["@dashi/mq", `3 more`, `"jobs"`, `"mails"`]
    ) assert(last.includes(word), stderr);
  });
}

Deno.test("a publish that nobody waits for, and that rejects, is an unhandled rejection, the first one too", async () => {
  for (
    const before of ["", `await producer.publish(0, { routingKey: "q" });`]
  ) {
    const { stderr, success } = await run(`
      import { createConnection, Queue } from "${new URL(
      "../../mod.ts",
      import.meta.url,
    )}";
      const connection = createConnection("memory://");
      const producer = connection.producer({ declare: [new Queue("q")] });
      ${before}
      producer.publish(1, { routingKey: "typo" });
      setTimeout(() => {}, 1000);
    `);
    assert(!success && stderr.includes(`"typo"`), stderr);
  }
});

Deno.test("an ack that nobody waits for, and that fails, is an unhandled rejection", async () => {
  const { stderr, success } = await run(`
    import { createConnection, Queue } from "${new URL(
    "../../mod.ts",
    import.meta.url,
  )}";
    const connection = createConnection("memory://");
    const queue = new Queue("q");
    await connection.producer({ declare: [queue] }).publish(1, { routingKey: "q" });
    for await (const message of connection.consumer(queue)) {
      await message.ack();
      message.ack();
      break;
    }
    setTimeout(() => {}, 1000);
  `);
  assert(!success && stderr.includes("settled before"), stderr);
});

Deno.test("a worker on memory:// waits, as on any broker", async () => {
  const { stdout, success } = await run(`
    import { createConnection, Queue } from "${new URL(
    "../../mod.ts",
    import.meta.url,
  )}";
    const connection = createConnection("memory://");
    const queue = new Queue("q");
    const consumer = connection.consumer(queue);
    setTimeout(() => {
      console.log("still here");
      consumer.cancel();
    }, 500);
    for await (const message of consumer) await message.ack();
    await connection.close();
    console.log("ended");
  `);
  assert(success);
  assertEquals(stdout.trim().split("\n"), ["still here", "ended"]);
});

Deno.test("a short timeout does not hide why there is no connection", async () => {
  await using connection = createConnection(
    `amqp://127.0.0.1:${freePort()}//`,
    { onUnhandled: () => {} },
  );
  const entities = [[new Queue("q")], []];
  for (const [i, declare] of entities.entries()) {
    const producer = connection.producer({ routingKey: "q", declare });
    // The first loads the client, which takes a busy machine its time.
    await inTime(i === 0 ? [4000, 20_000] : [1500], async (timeout) => {
      const error = await assertRejects(
        () => producer.publish(1, { timeout }),
        Error,
      );
      assert(error.message.includes("ECONNREFUSED"), error.message);
    });
  }
});

Deno.test("health() tells of acks that were forgotten", async () => {
  await using broker = createTestBroker();
  const { connection, clock } = broker;
  const queue = new Queue("jobs");
  const producer = connection.producer({ declare: [queue] });
  for (let i = 0; i < 3; i++) {
    await producer.publish(i, { routingKey: "jobs" });
  }
  const consumer = connection.consumer(queue, { prefetch: 2 });
  const loop = (async () => {
    for await (const _ of consumer);
  })();
  await clock.advance(999);
  assertEquals([consumer.health().healthy, consumer.health().inFlight], [
    true,
    2,
  ]);
  await clock.advance(1);
  const { healthy, inFlight, reason = "" } = consumer.health();
  assertEquals([healthy, inFlight], [false, 2]);
  assert(reason.startsWith("all 2 messages"), reason);
  await consumer.cancel();
  await loop;
});

Deno.test("health() tells why there is no connection", async () => {
  const connection = createConnection(`amqp://127.0.0.1:${freePort()}//`, {
    onUnhandled: () => {},
  });
  const consumer = connection.consumer("q");
  const running = consumer.run(() => {});
  for (let i = 0; i < 200 && consumer.health().lastError === undefined; i++) {
    await wait(50);
  }
  const { healthy, reason = "" } = consumer.health();
  assert(!healthy && reason.includes("ECONNREFUSED"), reason);
  await connection.close();
  await running;
});

Deno.test("payloads come back as the table in docs/publishing.md says", async () => {
  await using connection = createConnection(place());
  const queue = new Queue("jobs");
  const producer = connection.producer({ queue });
  class Order {
    id = 1;
    #secret = 2;
    get secret() {
      return this.#secret;
    }
  }
  const bytes = new Uint8Array([1, 2, 255]);
  const rows: readonly (readonly [sent: unknown, got: unknown])[] = [
    [bytes, bytes],
    [bytes.buffer, bytes],
    [{ bytes }, { bytes }],
    [{ at: new Date(5) }, { at: new Date(5) }],
    [{ n: 5n, m: 2n ** 60n }, { n: 5, m: 2n ** 60n }],
    [{ k: 2 ** 60 }, { k: 1152921504606847000n }],
    [{ a: undefined, b: [undefined] }, { b: [null] }],
    [{ url: new URL("http://x/") }, { url: "http://x/" }],
    [new Order(), { id: 1 }],
  ];
  for (const [sent] of rows) await producer.publish(sent);
  const jobs = connection.queue("jobs");
  for (const [, expected] of rows) {
    const message = await jobs.get();
    assertEquals(message?.payload, expected);
    await message?.ack();
  }
  for (const refused of [undefined, NaN, new Map(), { a: () => {} }]) {
    const { name } = await assertRejects(() => producer.publish(refused));
    assertEquals(name, "EncodeError");
  }
});

Deno.test("reply codes and the clock are values", () => {
  assertEquals(REPLY_CODES.find(({ code }) => code === 404)?.name, "not-found");
  assert(SYSTEM_CLOCK.now() > 0);
});

function wait(delay: number): Promise<void> {
  return new Promise((resolve) => SYSTEM_CLOCK.timer(resolve, delay));
}

async function run(program: string) {
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    await Deno.writeTextFile(file, program);
    const { success, stdout, stderr } = await new Deno.Command(
      Deno.execPath(),
      {
        args: [
          "run",
          "--no-check",
          "--quiet",
          "--config",
          new URL("../../deno.json", import.meta.url).pathname,
          file,
        ],
        env: { NO_COLOR: "1" },
      },
    ).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return { success, stdout: text(stdout), stderr: text(stderr) };
  } finally {
    await Deno.remove(file);
  }
}

Deno.test("a misspelt queue is told with the name that was meant, whoever declared it", async () => {
  const url = place();
  await using other = createConnection(url);
  await other.declare(new Queue("orders"));
  await using connection = createConnection(url);
  await assertRejects(
    () => connection.producer().publish(1, { routingKey: "oders" }),
    UnroutableError,
    `Cannot publish to queue "oders": there is no such queue (NO_ROUTE); did you mean "orders"? Else declare it first, or publish with "mandatory: false" if that is no error`,
  );
  await assertRejects(
    () => connection.queue("oders").get(),
    NotFoundError,
    `did you mean "orders"? Else declare it first`,
  );
  await assertRejects(
    () => connection.consumer("entirely.another").run(() => {}),
    NotFoundError,
    "there is no such queue; declare it first",
  );
});

Deno.test("a message to nobody is told once for each exchange, unless it was meant", async () => {
  const program = `
    import { createConnection, Exchange } from "${new URL(
    "../../mod.ts",
    import.meta.url,
  )}";
    const connection = createConnection("memory://");
    for (const name of ["one", "two"]) {
      const exchange = new Exchange(name, { type: "topic" });
      const producer = connection.producer({ exchange });
      for (const key of ["a", "b"]) {
        await producer.publish(1, { routingKey: name + key });
        await producer.publish(1, { routingKey: key, mandatory: false });
      }
    }
    await connection.close();
  `;
  const { stderr, success } = await run(program);
  assert(success, stderr);
  const lines = stderr.trim().split("\n");
  assertEquals(lines.length, 3, stderr);
  for (const text of [`2 more of "unroutable"`, `"one"`, `"two"`]) {
    assert(lines[2]?.includes(text), stderr);
  }
  for (const [i, name] of ["one", "two"].entries()) {
    for (
      const text of [`exchange "${name}"`, `"${name}a"`, "mandatory: false"]
    ) assert(lines[i]?.includes(text), stderr);
  }
});
