/** FIFO queues: whatever fails comes again before what lies behind it, and SQS counts its attempts. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { type Connection, Exchange, Queue, UnsupportedError } from "@dashi/mq";
import { take } from "../../conformance/stage.ts";
import { remove, test, unique } from "../../support/sqs.ts";

/** Publishes texts such as `a1`, whose first letter names the group. */
async function publish(
  connection: Connection,
  queue: Queue,
  texts: readonly string[],
): Promise<void> {
  const producer = connection.producer<string>({ declare: [queue] });
  for (const text of texts) {
    await producer.publish(text, {
      routingKey: queue.name,
      headers: { MessageGroupId: text.slice(0, 1) },
    });
  }
}

function ofGroup(group: string, texts: readonly string[]): readonly string[] {
  return texts.filter((each) => each.startsWith(group));
}

for (
  const [what, backoff, consuming, concurrency] of [
    ["at once, one handler", 0, {}, 1],
    ["a second later, one handler", 1000, {}, 1],
    ["by the default, four handlers", undefined, {}, 4],
    ["at once, four handlers and a prefetch of one", 0, { prefetch: 1 }, 4],
  ] as const
) {
  test(`a FIFO queue tries again what failed before the next of its group, and other groups go on: ${what}`, async ({ open }) => {
    const connection = open();
    const queue = new Queue(unique(".fifo"));
    const texts = ["a1", "b1", "a2", "a3", "b2", "c1", "a4", "b3"];
    await publish(connection, queue, texts);
    const calls: string[] = [];
    const done: string[] = [];
    const attempts: unknown[] = [];
    const consumer = connection.consumer<string>(queue, consuming);
    const running = consumer.run(({ payload, headers }) => {
      calls.push(payload);
      if (payload === "a2") {
        attempts.push(headers["x-attempts"]);
        if (attempts.length < 3) throw new Error("fails twice");
      }
      done.push(payload);
      if (done.length === texts.length) void consumer.cancel();
    }, { concurrency, retry: { attempts: 3, backoff } });
    await running;
    for (const group of ["a", "b", "c"]) {
      assertEquals(ofGroup(group, done), ofGroup(group, texts));
    }
    assertEquals(ofGroup("a", calls), ["a1", "a2", "a2", "a2", "a3", "a4"]);
    assertEquals(attempts, [undefined, 2, 3]);
    await connection.close();
    await remove(queue.name);
  });
}

test("a FIFO queue dead-letters what failed so often, and goes on behind it", async ({ open, relay }) => {
  const connection = open();
  const dead = new Queue(unique(".fifo"));
  const queue = new Queue(unique(".fifo"), {
    deadLetterExchange: "",
    deadLetterRoutingKey: dead.name,
  });
  await connection.declare(dead);
  await publish(connection, queue, ["a1", "a2", "b1"]);
  const sent = relay.of("SendMessageBatch").length;
  const calls: string[] = [];
  const consumer = connection.consumer<string>(queue);
  await consumer.run(({ payload }) => {
    calls.push(payload);
    if (payload === "a1") throw new Error("always");
    if (calls.includes("a2") && calls.includes("b1")) void consumer.cancel();
  }, { retry: { attempts: 3, backoff: 0 } });
  assertEquals(ofGroup("a", calls), ["a1", "a1", "a1", "a2"]);
  const [letter] = await take(connection.consumer<string>(dead), 1);
  assert(letter !== undefined);
  assertEquals(letter.payload, "a1");
  assertEquals(letter.headers["x-attempts"], 3);
  assertEquals(letter.headers["x-first-death-queue"], queue.name);
  // The dead letter alone was a copy.
  assertEquals(relay.of("SendMessageBatch").length, sent + 1);
  await connection.close();
  await remove(queue.name, dead.name);
});

test("a FIFO queue counts the attempts of all processes, and goes on from what a header says", async ({ open }) => {
  const queue = new Queue(unique(".fifo"));
  const setUp = open();
  await setUp.declare(queue);
  // As a copy of another process has it; a producer lets each message begin anew.
  await (await setUp.channel()).publish({
    exchange: "",
    routingKey: queue.name,
    mandatory: false,
    delay: 0,
    properties: {
      contentType: "text/plain",
      contentEncoding: "utf-8",
      headers: { "x-attempts": 2 },
    },
    body: new TextEncoder().encode("x"),
  });
  const attempts: unknown[] = [];
  for (let i = 0; i < 2; i++) {
    const connection = open();
    const consumer = connection.consumer<string>(queue);
    await consumer.run(({ headers }) => {
      attempts.push(headers["x-attempts"]);
      void consumer.cancel();
      throw new Error("again");
    }, { retry: { attempts: 9, backoff: 0 } });
    await connection.close();
  }
  const [last] = await take(setUp.consumer<string>(queue), 1);
  assertEquals(attempts, [2, 3]);
  assertEquals(last?.headers["x-attempts"], 4);
  await remove(queue.name);
});

test("a message that waits for another attempt in a FIFO queue waits at AWS: out of sight, for whole seconds", async ({ open, relay }) => {
  const connection = open();
  const queue = new Queue(unique(".fifo"));
  await publish(connection, queue, ["a1"]);
  const consumer = connection.consumer<string>(queue);
  const backoffs = [0, 1200, 100_000_000];
  const seconds = () =>
    relay.of("ChangeMessageVisibilityBatch").flatMap(({ body: { Entries } }) =>
      Array.isArray(Entries)
        ? Entries.map((each) => Number(each.VisibilityTimeout))
        : []
    );
  const running = consumer.run(() => {
    throw new Error("again");
  }, {
    retry: { attempts: 9, backoff: (calls) => backoffs[calls - 1] ?? 0 },
  });
  await relay.until("ChangeMessageVisibilityBatch", 3);
  await consumer.cancel();
  await running;
  const [first, second, third = 0] = seconds();
  assertEquals([first, second], [0, 2]);
  // Twelve hours from its receipt is what SQS can do.
  assert(third > 43_000 && third < 43_200, String(third));
  await connection.close();
  await remove(queue.name);
});

test("a message is held for as long as new queues would hold it, where that is given", async ({ open, relay }) => {
  const queue = new Queue(unique());
  await open().declare(queue);
  for (
    const [visibilityTimeout, held] of [[undefined, 60], [1000, 1], [
      3_600_000,
      3600,
    ]] as const
  ) {
    const connection = open({ transportOptions: { visibilityTimeout } });
    await connection.producer().publish("x", { routingKey: queue.name });
    relay.requests.length = 0;
    await take(connection.consumer<string>(queue), 1);
    assertEquals(relay.first("ReceiveMessage").VisibilityTimeout, held);
    await connection.close();
    const [message] = await take(open().consumer<string>(queue), 1);
    await message?.ack();
  }
  await remove(queue.name);
});

test("a FIFO queue knows a message that is published twice, for its five minutes", async ({ open }) => {
  const connection = open();
  const queue = new Queue<string>(unique(".fifo"));
  const plain = new Queue<string>(unique(""));
  const exchange = new Exchange(unique(""), { type: "direct" });
  const window = 300_000;
  try {
    await connection.declare([queue, plain]);
    for (const text of ["first", "second"]) {
      const dedupe = { id: "order 7", window };
      assertEquals(
        await connection.send(queue, text, { dedupe }),
        { duplicate: undefined },
      );
    }
    await connection.send(queue, "third", { dedupe: { id: "8", window } });
    const consumer = connection.consumer(queue);
    const seen: string[] = [];
    await consumer.run(({ payload }) => {
      if (seen.push(payload) === 2) void consumer.cancel();
    });
    assertEquals(seen, ["first", "third"]);
    await assertRejects(
      () =>
        connection.send(queue, "x", { dedupe: { id: "9", window: 60_000 } }),
      UnsupportedError,
      "a window of 300000, not of 60000",
    );
    await assertRejects(
      () =>
        connection.send(queue, "x", {
          dedupe: { id: "9".repeat(129), window },
        }),
      UnsupportedError,
      "128 characters",
    );
    await assertRejects(
      () => connection.send(plain, "x", { dedupe: { id: "9", window } }),
      UnsupportedError,
      "no FIFO queue",
    );
    // All or none: nothing was sent to the one that could.
    await connection.declare([
      exchange,
      ...[queue, plain].map((each) =>
        new Queue(each.name, { exchange, routingKey: "k" })
      ),
    ]);
    await assertRejects(
      () =>
        connection.producer({ exchange }).publish("x", {
          routingKey: "k",
          dedupe: { id: "10", window },
        }),
      UnsupportedError,
      "no FIFO queue",
    );
    assertEquals((await connection.declare(queue)).messageCount, 0);
  } finally {
    await remove(queue.name, plain.name);
  }
});
