/** Requests of a connection, on memory. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  ClosedError,
  type Connection,
  createConnection,
  NotFoundError,
  Queue,
  RemoteError,
  TimeoutError,
  type Transport,
} from "@dashi/mq";
import { createTestBroker } from "@dashi/mq/testing";
import { createTransport } from "../../../transports/memory/mod.ts";
import { withChannels } from "../../support/changed_channels.ts";

/** Serves, and asks by the same connection. */
async function serving(
  connection: Connection,
  handler: (payload: unknown) => unknown,
  ask: (queue: string) => Promise<void>,
): Promise<void> {
  const queue = new Queue(`served-${crypto.randomUUID()}`);
  await connection.declare(queue);
  const consumer = connection.consumer(queue);
  const served = consumer.serve(({ payload }) => handler(payload), {
    concurrency: 100,
  });
  await ask(queue.name);
  await consumer.cancel();
  await served;
}

Deno.test("a broker without direct replies, though its transport thinks so, has a queue for them", async () => {
  const inner = createTransport();
  const consumed: string[] = [];
  const transport: Transport = {
    ...inner,
    name: "memory",
    async connect(url, options) {
      const connection = await inner.connect(url, options);
      const openChannel = connection.openChannel.bind(connection);
      return Object.assign(connection, {
        directReplyTo: "no-such-queue",
        async openChannel(...given: Parameters<typeof openChannel>) {
          const channel = await openChannel(...given);
          const consume = channel.consume.bind(channel);
          return Object.assign(channel, {
            consume(...given: Parameters<typeof consume>) {
              consumed.push(given[0]);
              return consume(...given);
            },
          });
        },
      });
    },
  };
  await using connection = createConnection("memory://not-direct", {
    transport,
  });
  await serving(connection, (n) => n, async (routingKey) => {
    for (const n of [1, 2]) {
      assertEquals(await connection.request(n, { routingKey }), n);
    }
  });
  assertEquals(consumed.filter((each) => each === "no-such-queue").length, 1);
  assertEquals(
    consumed.filter((each) => each.startsWith("dashi.reply.")).length,
    1,
  );
});

Deno.test("a request that is aborted rejects with the reason, and holds nothing", async () => {
  await using connection = createConnection("memory://aborted-request");
  const called = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  const handler = async () => {
    called.resolve();
    await goOn.promise;
  };
  await serving(connection, handler, async (routingKey) => {
    const controller = new AbortController();
    const { signal } = controller;
    const asking = connection.request(1, { routingKey, signal });
    await called.promise;
    assertEquals(connection.health().requests.waiting, 1);
    assert(
      connection.health().holds.includes("1 request that waits for its answer"),
    );
    const reason = new Error("not needed");
    controller.abort(reason);
    assertEquals(await asking.catch((error) => error), reason);
    assertEquals(connection.health().requests.waiting, 0);
    goOn.resolve();
  });
});

Deno.test("an answer that cannot be written is an error for who asked, and told where it was made", async () => {
  const told: string[] = [];
  await using connection = createConnection("memory://unwritable-answer");
  const queue = new Queue("unwritable");
  await connection.declare(queue);
  const consumer = connection.consumer(queue);
  const served = consumer.serve(() => () => "a function", {
    onError: (error) => told.push(error.name),
  });
  const error = await assertRejects(
    () => connection.request(1, { routingKey: "unwritable" }),
    RemoteError,
  );
  assertEquals(error.remoteName, "EncodeError");
  assertEquals(error.remoteCode, "encode-failed");
  assertEquals(told, ["EncodeError"]);
  await consumer.cancel();
  await served;
});

Deno.test("a secret of the connection is masked in the answer, and what is no error is told as one", async () => {
  await using connection = createConnection("memory://me:s3cret-word@masked");
  const thrown: readonly unknown[] = [
    new Error("refused: s3cret-word"),
    "just words",
    undefined,
  ];
  await serving(
    connection,
    (n) => Promise.reject(thrown[Number(n)]),
    async (routingKey) => {
      const words: string[] = [];
      for (const n of thrown.keys()) {
        const error = await connection.request(n, { routingKey })
          .catch((caught) => caught);
        assert(error instanceof RemoteError, String(error));
        words.push(error.message);
      }
      assert(!words[0]?.includes("s3cret-word"), words[0]);
      assertEquals(words[1], "just words");
      assertEquals(words[2], "undefined");
    },
  );
});

Deno.test("a message that asks for no answer is handled as by run, and tried again when its handler throws", async () => {
  await using connection = createConnection("memory://no-answer");
  const queue = new Queue("no-answer");
  await connection.send(queue, 1);
  const consumer = connection.consumer(queue);
  const attempts: number[] = [];
  await consumer.serve(({ attempt }) => {
    attempts.push(attempt);
    if (attempt === 1) throw new Error("once");
    void consumer.cancel();
  }, { retry: { attempts: 2, backoff: 0 }, onError: () => {} });
  assertEquals(attempts, [1, 2]);
});

Deno.test("10,000 requests at once have each its own answer", async () => {
  await using connection = createConnection("memory://many-requests");
  await serving(connection, (n) => Number(n) + 1, async (routingKey) => {
    const answers = await Promise.all(
      Array.from(
        { length: 10_000 },
        (_, n) =>
          connection.request<number>(n, { routingKey, timeout: 120_000 }),
      ),
    );
    assert(answers.every((answer, n) => answer === n + 1));
    assertEquals(connection.health().requests.waiting, 0);
  });
});

Deno.test("a connection that its pool takes back asks no more, and its next user may", async () => {
  await using broker = createTestBroker();
  const { clock } = broker;
  await using pool = broker.connection.pool();
  const connection = await pool.acquire();
  const queue = new Queue("nobody");
  await connection.declare(queue);
  const asking = connection.request(1, { routingKey: "nobody" });
  const failed = assertRejects(() => asking, Error, "closed");
  while (connection.health().requests.waiting === 0) await Promise.resolve();
  await connection.release();
  await failed;
  const again = await pool.acquire();
  await assertRejects(
    () =>
      clock.advanceUntil(
        again.request(1, { routingKey: "nobody", timeout: 60_000 }),
      ),
    TimeoutError,
    'answer from queue "nobody" within 60000 ms',
  );
  await again.release();
});

Deno.test("an answer waits in its queue no longer than somebody waits for it", async () => {
  await using connection = createConnection("memory://answer-expires");
  const [asked, answers] = [new Queue("asked"), new Queue("answers")];
  await connection.declare([asked, answers]);
  const consumer = connection.consumer(asked);
  const served = consumer.serve(({ payload }) => payload);
  const ask = (options: object) =>
    connection.send(asked, 1, { replyTo: "answers", ...options });
  await ask({ expiration: 60_000 });
  await ask({});
  const simple = connection.simpleQueue("answers");
  const first = await simple.get();
  const second = await simple.get();
  const { expiration = 0 } = first.properties;
  assert(expiration > 50_000 && expiration < 120_000, String(expiration));
  assertEquals(second.properties.expiration, undefined);
  for (const each of [first, second]) await each.ack();
  await consumer.cancel();
  await served;
});

/** A transport that confirms no publish before it is told to. */
function confirming(confirmed: Promise<void>): Transport {
  return withChannels((channel) => {
    const publish = channel.publish.bind(channel);
    channel.publish = async (...given) => {
      const outcome = await publish(...given);
      await confirmed;
      return outcome;
    };
  });
}

Deno.test("a request that its server has, though its publish is not confirmed yet, may have been sent when its deadline passes", async () => {
  const confirmed = Promise.withResolvers<void>();
  const transport = confirming(confirmed.promise);
  const url = `memory://${crypto.randomUUID()}`;
  await using connection = createConnection(url);
  const asking = createConnection(url, { transport });
  await asking.connect();
  const queue = new Queue("late-confirm");
  await connection.declare(queue);
  const called = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  const consumer = connection.consumer(queue);
  const served = consumer.serve(async () => {
    called.resolve();
    await goOn.promise;
  });
  const failed = assertRejects(
    () => asking.request(1, { routingKey: queue.name, timeout: 1000 }),
    TimeoutError,
    "the broker has not confirmed the request yet",
  );
  await called.promise;
  assertEquals((await failed).outcome, "unknown");
  goOn.resolve();
  confirmed.resolve();
  await asking.close();
  await consumer.cancel();
  await served;
});

Deno.test("a request that its server has, though its publish is not confirmed yet, may have been sent when its connection closes", async () => {
  const confirmed = Promise.withResolvers<void>();
  const transport = confirming(confirmed.promise);
  const url = `memory://${crypto.randomUUID()}`;
  await using connection = createConnection(url);
  const asking = createConnection(url, { transport });
  const queue = new Queue("late-confirm");
  await connection.declare(queue);
  const called = Promise.withResolvers<void>();
  const consumer = connection.consumer(queue);
  const served = consumer.serve(() => called.resolve());
  const request = asking.request(1, { routingKey: queue.name });
  const failed = assertRejects(() => request, ClosedError, "while the request");
  await called.promise;
  const closing = asking.close({ drainTimeout: 1000 });
  assertEquals((await failed).outcome, "unknown");
  confirmed.resolve();
  await closing;
  await consumer.cancel();
  await served;
});

Deno.test("a request is published when its reply queue is there, and that is gone when the connection is closed", async () => {
  const steps: string[] = [];
  const isReplies = (name: string) => name.startsWith("dashi.reply.");
  const soon = () => new Promise<void>((resolve) => setTimeout(resolve, 20));
  const transport = withChannels((channel) => {
    const { declareQueue, deleteQueue, publish } = channel;
    channel.declareQueue = async (queue, call) => {
      const declared = await declareQueue.call(channel, queue, call);
      if (!isReplies(queue.name)) return declared;
      await soon();
      steps.push("declared");
      return declared;
    };
    channel.publish = async (message, call) => {
      if (isReplies(message.properties.replyTo ?? "")) steps.push("published");
      return await publish.call(channel, message, call);
    };
    channel.deleteQueue = async (name, call) => {
      if (!isReplies(name)) return await deleteQueue.call(channel, name, call);
      await soon();
      steps.push("deleted");
      throw new NotFoundError("it went with its consumer");
    };
  });
  const url = `memory://${crypto.randomUUID()}`;
  const connection = createConnection(url, { transport });
  await serving(connection, (n) => n, async (routingKey) => {
    assertEquals(await connection.request(1, { routingKey }), 1);
  });
  await connection.close();
  assertEquals(steps, ["declared", "published", "deleted"]);
});

Deno.test("a request that is still being written when its pool takes the connection back is not sent", async () => {
  await using pool = createConnection("memory://pool-of-writers").pool();
  const connection = await pool.acquire();
  const queue = new Queue("unsent");
  await connection.declare(queue);
  const asking = connection.request(1, {
    routingKey: queue.name,
    serializer: "yaml", // which has to be loaded first
    timeout: 5000,
  });
  const failed = assertRejects(() => asking, ClosedError);
  await connection.release();
  assertEquals((await failed).outcome, "not-sent");
  const again = await pool.acquire();
  assertEquals((await again.declare(queue)).messageCount, 0);
  await again.release();
});

Deno.test("the time that a request has had is told in whole milliseconds", async () => {
  await using connection = createConnection(`memory://${crypto.randomUUID()}`);
  const queue = new Queue("nobody");
  await connection.declare(queue);
  await assertRejects(
    () =>
      connection.request(1, {
        routingKey: queue.name,
        timeout: 50.609_471_284,
      }),
    TimeoutError,
    "within 51 ms:",
  );
});
