/** Sessions above a store: they declare again, go on, and emit events. On brokers in this process. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  binding,
  ClosedError,
  createConnection,
  Exchange,
  NotFoundError,
  Queue,
} from "@dashi/mq";
import { until } from "../conformance/support.ts";
import { restartable } from "../support/restartable.ts";
import { narrowTransport } from "../support/stores.ts";

const QUICK = { initialDelay: 1, maxDelay: 10 };

Deno.test("a queue that this session declared and somebody deleted is declared again for a publish", async () => {
  const { transport } = restartable();
  const options = { transport, reconnect: QUICK, operationTimeout: 5000 };
  await using connection = createConnection("restartable://", options);
  await using other = createConnection("restartable://", options);
  const exchange = new Exchange("again", { type: "topic" });
  const bound = new Queue("bound", { bindings: [binding(exchange, "a.#")] });
  const plain = new Queue("plain");
  const producer = connection.producer({ declare: [bound, plain] });
  const counts = async () =>
    (await connection.declare([bound, plain])).map((each) => each.messageCount);
  await producer.publish(1, { exchange: exchange.name, routingKey: "a.b" });
  await producer.publish(1, { routingKey: "plain" });
  assertEquals(await counts(), [1, 1]);
  const channel = await other.channel();
  await channel.deleteQueue("plain");
  await producer.publish(2, { routingKey: "plain" });
  assertEquals(await counts(), [1, 1]);
  await channel.deleteQueue("bound");
  const message = { exchange: exchange.name, routingKey: "a.c" };
  await producer.publish(2, { ...message, mandatory: true });
  assertEquals(await counts(), [1, 1]);
  await channel.deleteExchange("again");
  await producer.publish(3, message);
  assertEquals(await counts(), [2, 1]);
  // A queue that the session never declared is not declared again by it.
  await assertRejects(
    () => producer.publish(3, { exchange: "never", routingKey: "k" }),
    NotFoundError,
  );
});

Deno.test("an exchange that this session deleted does not come back with its connection", async () => {
  const { transport, restart } = restartable();
  await using connection = createConnection("restartable://", {
    transport,
    reconnect: QUICK,
  });
  const [kept, deleted] = [new Exchange("kept"), new Exchange("deleted")];
  await connection.declare([kept, deleted]);
  await connection.delete(deleted);
  await restart();
  await connection.connect();
  await connection.check(kept);
  await assertRejects(() => connection.check(deleted), NotFoundError);
});

Deno.test("a publish that fails leaves the producer as it was, without any retry", async () => {
  await using connection = createConnection("memory://failing", {
    reconnect: false,
  });
  const queue = new Queue("q");
  const producer = connection.producer({ declare: [queue] });
  for (let i = 1; i <= 3; i++) {
    await assertRejects(
      () => producer.publish(1, { exchange: "missing", routingKey: "k" }),
      NotFoundError,
    );
    await producer.publish(i, { routingKey: "q" });
    assertEquals((await connection.declare(queue)).messageCount, i);
  }
});

Deno.test("a connection that is closed ends its consumers, loops and runs, and makes no more", async () => {
  const connection = createConnection("memory://closing");
  const queue = new Queue("q");
  await connection.declare(queue);
  const iterator = connection.consumer(queue)[Symbol.asyncIterator]();
  const waiting = iterator.next();
  const running = connection.consumer(queue).run(() => {});
  const producer = connection.producer();
  await connection.close();
  assertEquals((await waiting).done, true);
  await running;
  await assertRejects(
    () => producer.publish(1, { routingKey: "q" }),
    ClosedError,
  );
  for (
    const make of [
      () => connection.consumer(queue),
      () => connection.producer(),
    ]
  ) {
    let error: unknown;
    try {
      make();
    } catch (caught) {
      error = caught;
    }
    assert(error instanceof ClosedError);
  }
});

Deno.test("a handler that throws is called again, whether it has read the payload or not, and not where the payload cannot be read", async () => {
  await using connection = createConnection("memory://reading");
  const queue = new Queue("q");
  const producer = connection.producer({ declare: [queue] });
  const calls: Record<string, number> = {};
  await producer.publish({}, { routingKey: "q", messageId: "read" });
  await producer.publish({}, { routingKey: "q", messageId: "unread" });
  await producer.publish("{", {
    routingKey: "q",
    messageId: "broken",
    contentType: "application/json",
  });
  await producer.publish({}, { routingKey: "q", messageId: "caught" });
  const done = Promise.withResolvers<void>();
  const running = connection.consumer(queue).run((message) => {
    const id = message.properties.messageId ?? "";
    calls[id] = (calls[id] ?? 0) + 1;
    if (calls["read"] === 3 && calls["unread"] === 3 && calls["caught"] === 3) {
      done.resolve();
    }
    if (id === "caught") throw new Error("its own");
    if (id !== "unread") void message.payload;
    throw new Error("on purpose");
  }, { retry: { attempts: 3, backoff: 0 } });
  await done.promise;
  await connection.close();
  await running;
  assertEquals(calls, { read: 3, unread: 3, broken: 1, caught: 3 });
});

Deno.test("the quarantine of a queue in which nothing is has nothing, and takes no wrong limit", async () => {
  await using connection = createConnection("memory://quarantine");
  await connection.declare(new Queue("q"));
  const quarantine = connection.quarantine("q");
  assertEquals(await quarantine.list(), []);
  assertEquals(await quarantine.putBack(), 0);
  assertEquals(await quarantine.putBack([]), 0);
  for (const limit of [0, -1, 0.5]) {
    await assertRejects(() => quarantine.list({ limit }), RangeError);
  }
});

Deno.test("events tell of each step of a loss, in order, and the state is theirs", async () => {
  const { transport, restart } = restartable();
  const connection = createConnection("restartable://", {
    transport,
    reconnect: QUICK,
  });
  const events: string[] = [];
  const reading = (async () => {
    for await (const event of connection.events()) {
      events.push(event.type === "state" ? event.state.type : event.type);
    }
  })();
  await connection.connect();
  await restart();
  const queue = new Queue("q");
  await connection.declare(queue);
  await restart();
  const producer = connection.producer();
  await producer.publish(1, { routingKey: "q" });
  await connection.close();
  await reading;
  assertEquals(events.filter((each) => each !== "waiting"), [
    ...["connecting", "open", "lost"],
    ...["connecting", "open", "lost"],
    ...["connecting", "open", "closed"],
  ]);
});

Deno.test("a consumer of several queues goes on with all of them after each loss", async () => {
  const { transport, restart } = restartable();
  await using connection = createConnection("restartable://", {
    transport,
    reconnect: QUICK,
  });
  const queues = ["a", "b", "c"].map((name) => new Queue(name));
  const seen = new Set<string>();
  let next = Promise.withResolvers<void>();
  let most = 3;
  const running = connection.consumer<string>(queues).run(({ payload }) => {
    seen.add(payload); // one whose ack was lost comes again
    if (seen.size === most) next.resolve();
  });
  await using other = createConnection("restartable://", { transport });
  const producer = other.producer({ declare: queues });
  for (let i = 1; i <= 4; i++) {
    for (const { name } of queues) {
      await producer.publish(`${name}${i}`, { routingKey: name });
    }
    await next.promise;
    next = Promise.withResolvers<void>();
    most += 3;
    if (i < 4) await restart();
  }
  await connection.close();
  await running;
  assertEquals(
    [...seen].sort(),
    ["a", "b", "c"].flatMap((name) => [1, 2, 3, 4].map((i) => `${name}${i}`)),
  );
});

Deno.test("a queue that is refused for good ends its consumer with all its other queues", async () => {
  const url = `memory://${crypto.randomUUID()}`;
  await using connection = createConnection(url, {
    reconnect: { ...QUICK, maxRefusals: 1 },
  });
  await using other = createConnection(url);
  await other.declare([new Queue("kept"), new Queue("gone")]);
  const consumer = connection.consumer(["kept", "gone"]);
  const handled = Promise.withResolvers<void>();
  const running = consumer.run(() => handled.resolve());
  const failed = assertRejects(() => running, NotFoundError);
  await other.send("kept", 1);
  await handled.promise;
  await other.delete(new Queue("gone"));
  await failed;
  await until(
    async () => (await other.declare(new Queue("kept"))).consumerCount === 0,
    "its other queue without a consumer",
  );
});

Deno.test("a consumer was last heard of by the queue that was heard of last, though another is gone", async () => {
  const url = `memory://${crypto.randomUUID()}`;
  await using connection = createConnection(url, { reconnect: QUICK });
  await using other = createConnection(url);
  const [kept, gone] = [new Queue("kept"), new Queue("gone")];
  await other.declare([kept, gone]);
  const consumer = connection.consumer(["kept", "gone"]);
  let handled = 0;
  const running = consumer.run(() => void handled++);
  const heard = () => consumer.health().lastSuccess?.getTime() ?? 0;
  const handle = async (queue: Queue) => {
    const before = handled;
    await other.send(queue, 1);
    await until(() => handled > before, "the message");
  };
  const isGone = () =>
    consumer.health().reason?.startsWith("one of its queues") === true;
  await handle(kept);
  await other.delete(gone);
  await until(isGone, "the loss of one");
  assert(heard() > 0, String(heard()));
  await other.declare(gone);
  await handle(gone);
  await other.delete(gone);
  await until(isGone, "the loss of it again");
  const before = heard();
  await new Promise((resolve) => setTimeout(resolve, 20));
  await handle(kept);
  assert(heard() > before, `${heard()}, and ${before} before`);
  await consumer.cancel();
  await running;
});

Deno.test("no message is fetched that no handler would begin with, if each fetch is counted", async () => {
  const transport = narrowTransport();
  await using connection = createConnection("narrow://", { transport });
  await using other = createConnection("narrow://", { transport });
  const queue = new Queue("counted");
  for (const each of [1, 2]) await connection.send(queue, each);
  const goOn = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  const consumer = connection.consumer(queue);
  const running = consumer.run(() => {
    begun.resolve();
    return goOn.promise;
  });
  await begun.promise;
  const second = await other.queue(queue).get();
  await second?.ack();
  goOn.resolve();
  await consumer.close();
  assertEquals(second?.payload, 2);
  await running;
});
