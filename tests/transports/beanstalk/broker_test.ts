/** The features that only beanstalkd has: tubes, jobs, priorities, sockets, leases. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  createConnection,
  MessagingError,
  PublishError,
  Queue,
} from "@dashi/mq";
import type { Delivery } from "../../../transports/transport.ts";
import golden from "../../golden/beanstalk_kombu3.json" with { type: "json" };
import {
  connect,
  proxyTo,
  queueOf,
  RawClient,
  testOnServer,
} from "../../support/beanstalk.ts";
import { SLACK } from "../../support/slack.ts";

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

testOnServer(
  "a message that Kombu 3 put is read, and it would read ours",
  async (server) => {
    using raw = await RawClient.open(server);
    await using connection = createConnection(server.url);
    for (const { name, protocol } of golden.cases) {
      if (name !== "publish" && name !== "publish_priority_ttr") continue;
      for (const command of protocol) {
        const [line = "", body] = command.replaceAll("TUBE", "celery")
          .split("\r\n");
        // The length is that of another tube's name.
        const put = line.replace(/\d+$/, String(body?.length));
        await raw.ask(body === undefined ? line : put, body);
      }
    }
    const seen: unknown[] = [];
    const consumer = connection.consumer("celery");
    for await (const message of consumer) {
      seen.push([message.payload, message.properties.priority]);
      await message.ack();
      if (seen.length === 2) break;
    }
    assertEquals(seen, [[{ hello: "world" }, 0], ["b", 7]]);

    await connection.producer().publish({ a: 1 }, {
      routingKey: "celery",
      priority: 2,
    });
    await raw.ask("watch celery");
    const { line, body } = await raw.ask("reserve-with-timeout 5");
    assertEquals(line.split(" ")[0], "RESERVED");
    const envelope = JSON.parse(text(body));
    assertEquals(atob(envelope.body), '{"a":1}');
    assertEquals(envelope["content-type"], "application/json");
    assertEquals(envelope["content-encoding"], "utf-8");
    assertEquals(envelope.properties.body_encoding, "base64");
    assertEquals(envelope.properties.delivery_info, {
      exchange: "",
      routing_key: "celery",
    });
    const id = line.split(" ")[1];
    assertEquals(await raw.number(`stats-job ${id}`, "pri"), 7);
    assertEquals(await raw.number(`stats-job ${id}`, "ttr"), 120);
  },
);

testOnServer(
  "put, count and delete do not wait for a reserve, which takes ten seconds",
  async (server) => {
    await using connection = await connect(server.url);
    const channel = await connection.openChannel();
    using raw = await RawClient.open(server);
    for (const name of ["idle", "other"]) {
      await channel.declareQueue(queueOf(name));
    }
    const subscription = await channel.consume("idle", () => {}, {
      prefetch: 9,
    });
    while (await raw.number("stats-tube idle", "current-waiting") === 0);
    const quick = async (what: string, call: PromiseLike<unknown>) => {
      const began = performance.now();
      await call;
      const took = performance.now() - began;
      assert(took < 1000 + SLACK, `${what} took ${took} ms`);
    };
    const message = {
      exchange: "",
      routingKey: "other",
      mandatory: false,
      delay: 0,
      properties: {},
      body: new Uint8Array(10),
    };
    await quick("put", channel.publish(message));
    await quick("count", channel.checkQueue("other"));
    await quick("declare", channel.declareQueue(queueOf("third")));
    let delivery: Delivery | undefined;
    await quick("get", channel.get("other").then((got) => delivery = got));
    assert(delivery !== undefined);
    await quick("ack", channel.ack(delivery.deliveryTag));
    await quick("purge", channel.purgeQueue("other"));
    await quick("delete", channel.deleteQueue("other"));
    await quick(
      "consume",
      channel.consume("third", () => {}, { prefetch: 1 }),
    );
    await quick("cancel", subscription[Symbol.asyncDispose]());
    assertEquals(await raw.number("stats-tube idle", "current-waiting"), 0);
  },
);

testOnServer(
  "more messages are held than sockets may wait, and the next comes",
  async (server) => {
    await using connection = createConnection(server.url);
    const queue = new Queue("sparse");
    const producer = connection.producer<number>({ declare: [queue] });
    const consumer = connection.consumer<number>(queue, { prefetch: 50 });
    const iterator = consumer[Symbol.asyncIterator]();
    const held = [];
    for (let i = 0; i < 20; i++) {
      const next = iterator.next();
      await producer.publish(i, { routingKey: queue.name });
      const { value } = await next;
      assertEquals([value?.payload, value?.deliveryInfo.redelivered], [
        i,
        false,
      ]);
      held.push(value);
    }
    using raw = await RawClient.open(server);
    assert(await raw.number("stats", "current-connections") <= 12);
    for (const each of held) await each?.ack();
    assertEquals((await connection.declare(queue)).messageCount, 0);
    await iterator.return?.();
    assertEquals(await raw.number("stats", "current-jobs-reserved"), 0);
  },
);

testOnServer(
  "reserves, what they ask of their jobs, and deletes leave in batches, not one by one",
  async (server) => {
    const { proxy, url } = proxyTo(server);
    await using _ = proxy;
    await using connection = createConnection(url);
    const queue = new Queue("many");
    const producer = connection.producer<number>({ declare: [queue] });
    const publishAll = () =>
      Promise.all(
        Array.from({ length: 500 }, (_, i) => {
          return producer.publish(i, { routingKey: queue.name });
        }),
      );
    await publishAll();
    // Commands that came in one piece were sent without waiting for an answer in between.
    const pieces: string[] = [];
    proxy.onSent = (bytes) => pieces.push(text(bytes));
    const most = (command: string) =>
      Math.max(0, ...pieces.map((piece) => piece.split(command).length - 1));
    const consumer = connection.consumer<number>(queue, { prefetch: 500 });
    const seen: number[] = [];
    const acks: Promise<void>[] = [];
    for await (const message of consumer) {
      seen.push(message.payload);
      acks.push(message.ack());
      if (seen.length === 500) break;
    }
    await Promise.all(acks);
    assertEquals(seen, Array.from({ length: 500 }, (_, i) => i));
    assert(most("reserve-with-timeout 0\r\n") >= 64);
    assert(most("stats-job ") >= 64);
    assert(most("delete ") >= 64);
    const pieced = pieces.length;
    assert(pieced < 100, `${pieced} pieces`);
    await publishAll();
    assert(
      pieces.slice(pieced).some((piece) => piece.split("put ").length > 8),
    );
  },
);

testOnServer("an idle consumer asks for little", async (server) => {
  await using connection = createConnection(server.url, { heartbeat: 1000 });
  const queue = new Queue("idle");
  const producer = connection.producer({ declare: [queue] });
  await producer.publish("x", { routingKey: queue.name });
  const consumer = connection.consumer(queue);
  const iterator = consumer[Symbol.asyncIterator]();
  await (await iterator.next()).value?.ack();
  const waiting = iterator.next();
  using raw = await RawClient.open(server);
  const count = () => raw.number("stats", "cmd-reserve-with-timeout");
  const others = async () =>
    await raw.number("stats", "cmd-list-tube-used") +
    await raw.number("stats", "cmd-watch");
  const [began, before, asked] = [
    performance.now(),
    await count(),
    await others(),
  ];
  // Three waits at the server: it is idle, and a heartbeat is a second.
  while (await count() < before + 3) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const seconds = (performance.now() - began) / 1000;
  assert(seconds > 1.5, `three waits took ${seconds} s`);
  // Of three sockets two have nothing to do but to be heard of.
  assert(await others() - asked <= 2 * Math.ceil(seconds) + 2);
  await consumer.cancel();
  await waiting;
});

testOnServer(
  "a job that is too big is refused before it is sent, and the connection lives on",
  async (server) => {
    await using connection = createConnection(server.url);
    const queue = new Queue("small");
    const producer = connection.producer<Uint8Array>({ declare: [queue] });
    for (const size of [800, 10_000]) {
      const error = await assertRejects(
        () =>
          producer.publish(new Uint8Array(size), { routingKey: queue.name }),
        PublishError,
      );
      assertEquals(error.code, "message-too-large");
      assertEquals(error.outcome, "not-sent");
      assert(error.message.includes("1024 at most"), error.message);
    }
    await producer.publish(new Uint8Array(400), { routingKey: queue.name });
    assertEquals((await connection.declare(queue)).messageCount, 1);
  },
  { maxJobSize: 1024, binlog: false },
);

testOnServer(
  "a body that is no message goes to onInvalid, and is buried when it is rejected",
  async (server) => {
    using raw = await RawClient.open(server);
    await using connection = createConnection(server.url);
    const bodies = [
      Uint8Array.of(0xff, 0xfe, 13, 10, 0),
      new Uint8Array(0),
      new TextEncoder().encode("[1]"),
      new TextEncoder().encode('{"body": 7}'),
      new TextEncoder().encode(
        '{"body": "%", "properties": {"body_encoding": "base64"}}',
      ),
    ];
    await raw.ask("use mixed");
    for (const body of bodies) {
      await raw.ask(`put 5 0 60 ${body.length}`, body);
    }
    const bad: number[][] = [];
    const consumer = connection.consumer("mixed", {
      onInvalid: async (_error, message) => {
        bad.push([...message.body]);
        await message.reject();
      },
    });
    const iterator = consumer[Symbol.asyncIterator]();
    const next = iterator.next();
    await connection.producer().publish("good", { routingKey: "mixed" });
    const { value } = await next;
    assertEquals(value?.payload, "good");
    await value?.ack();
    assertEquals(bad, bodies.map((each) => [...each]));
    while (await raw.number("stats-tube mixed", "current-jobs-buried") < 5);
    const { body } = await raw.ask("peek-buried");
    assertEquals([...body], bad[0]);
    await iterator.return?.();
    // Deleting the queue leaves nothing of it.
    const channel = await connection.channel();
    await channel.deleteQueue("mixed");
    await raw.ask("use default");
    assertEquals((await raw.ask("stats-tube mixed")).line, "NOT_FOUND");
  },
);

testOnServer(
  "priorities are beanstalkd's, and stay when a message goes back",
  async (server) => {
    using raw = await RawClient.open(server);
    await using connection = createConnection(server.url);
    const routingKey = "p";
    const producer = connection.producer<number>();
    for (const priority of [0, 9, 5]) {
      await producer.publish(priority, { routingKey, priority });
    }
    await raw.ask("use p");
    await raw.ask("put 70 0 60 2", "{}"); // somebody else's
    const consumer = connection.consumer<number>("p");
    const seen: unknown[] = [];
    for await (const message of consumer) {
      seen.push(message.properties.priority);
      if (seen.length === 3) break;
    }
    await consumer[Symbol.asyncDispose]();
    assertEquals(seen, [9, 5, 0]);
    const found: number[] = [];
    await raw.ask("watch p");
    for (let i = 0; i < 4; i++) {
      const { line } = await raw.ask("reserve-with-timeout 5");
      found.push(await raw.number(`stats-job ${line.split(" ")[1]}`, "pri"));
    }
    assertEquals(found, [0, 4, 9, 70]);
  },
);

testOnServer(
  "names that no tube may have are told apart, and carried",
  async (server) => {
    using raw = await RawClient.open(server);
    await using connection = createConnection(server.url);
    const names = ["app:orders", "a b", "celery@host", "-x", "é", "a$20b", "q"];
    const producer = connection.producer<string>();
    for (const name of names) {
      const queue = new Queue(name);
      await connection.declare(queue);
      await producer.publish(name, { routingKey: name });
    }
    const seen = new Map<string, string>();
    const consumer = connection.consumer<string>(names);
    for await (const message of consumer) {
      seen.set(message.deliveryInfo.queue, message.payload);
      await message.ack();
      if (seen.size === names.length) break;
    }
    assertEquals(seen, new Map(names.map((name) => [name, name])));
    assertEquals(await raw.number("stats-tube app$3aorders", "total-jobs"), 1);
    assertEquals(await raw.number("stats-tube q", "total-jobs"), 1);
    const error = await assertRejects(
      () => connection.declare(new Queue("é".repeat(40))),
      MessagingError,
    );
    assertEquals(error.code, "precondition-failed");
  },
);

testOnServer(
  "messages arrive whole when their bytes come one by one",
  async (server) => {
    const { proxy, url } = proxyTo(server);
    proxy.split(1);
    await using connection = createConnection(url);
    const queue = new Queue("bytes");
    const producer = connection.producer<Uint8Array>({ declare: [queue] });
    const bodies = [0, 1, 300].map((size) =>
      Uint8Array.from({ length: size }, (_, i) => i)
    );
    await Promise.all(
      bodies.map((body) => producer.publish(body, { routingKey: queue.name })),
    );
    const consumer = connection.consumer<Uint8Array>(queue);
    let seen = 0;
    for await (const message of consumer) {
      assertEquals(message.payload, bodies[seen++]);
      await message.ack();
      if (seen === bodies.length) break;
    }
    assertEquals((await connection.declare(queue)).messageCount, 0);
    await connection.close();
    await proxy[Symbol.asyncDispose]();
  },
);

testOnServer(
  "TLS, users and virtual hosts are refused: beanstalkd has none",
  async (server) => {
    const { port } = server;
    for (
      const url of [
        `beanstalk://user:secret@127.0.0.1:${port}`,
        `beanstalk://127.0.0.1:${port}/orders`,
        `beanstalk://127.0.0.1:${port}?ssl=1`,
      ]
    ) {
      await using connection = createConnection(url);
      const error = await assertRejects(
        () => connection.connect(),
        MessagingError,
      );
      assertEquals(error.code, "unsupported");
      assert(!error.message.includes("secret"));
    }
    await using connection = createConnection(`${server.url}?ttr=0.5`);
    const error = await assertRejects(
      () => connection.connect(),
      MessagingError,
    );
    assertEquals(error.code, "option-invalid");
  },
);

testOnServer("without a binlog there is no persistence", async (server) => {
  await using connection = createConnection(server.url);
  await connection.connect();
  assertEquals(connection.capabilities.has("persistence"), false);
}, { binlog: false });
