/** Failures of beanstalkd, and of the network to it. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  ConnectionError,
  createConnection,
  MessagingError,
  Queue,
} from "@dashi/mq";
import { publishing } from "../../conformance/support.ts";
import {
  connect,
  proxyTo,
  queueOf,
  RawClient,
  testOnServer,
} from "../../support/beanstalk.ts";
import { SLACK } from "../../support/slack.ts";

testOnServer(
  "kill -9 of the server: what was confirmed is there after its restart",
  async (server) => {
    const options = { reconnect: { initialDelay: 1, maxDelay: 50 } };
    await using connection = createConnection(server.url, options);
    const queue = new Queue("kept");
    const producer = connection.producer<number>({ declare: [queue] });
    const consumer = connection.consumer<number>(queue, { prefetch: 10 });
    const seen = new Set<number>();
    const all = Promise.withResolvers<void>();
    const running = consumer.run(({ payload }) => {
      seen.add(payload);
      if (seen.size === 300) all.resolve();
    });
    for (let i = 0; i < 300; i += 100) {
      const sent = Array.from(
        { length: 100 },
        (_, j) =>
          producer.publish(i + j, { routingKey: queue.name, timeout: 30_000 }),
      );
      await sent[10];
      await server.kill();
      await server.start();
      await Promise.all(sent);
    }
    await all.promise;
    await consumer.cancel();
    await running;
  },
);

testOnServer(
  "a thousand messages through connections that are cut: none confirmed is lost",
  async (server) => {
    const [sending, taking] = [proxyTo(server), proxyTo(server)];
    const options = { reconnect: { initialDelay: 1, maxDelay: 20 } };
    const one = createConnection(sending.url, options);
    const two = createConnection(taking.url, options);
    const queue = new Queue("cuts");
    const producer = one.producer<number>({
      declare: [queue],
      maxInFlight: 50,
    });
    const consumer = two.consumer<number>(queue, { prefetch: 20 });
    const seen = new Set<number>();
    const all = Promise.withResolvers<void>();
    const running = consumer.run(({ payload }) => {
      const isNew = !seen.has(payload);
      seen.add(payload);
      if (isNew && seen.size % 150 === 0) taking.proxy.cut();
      if (seen.size === 1000) all.resolve();
    }, { concurrency: 5 });
    let confirmed = 0;
    await Promise.all(Array.from({ length: 1000 }, async (_, i) => {
      await producer.publish(i, { routingKey: queue.name });
      if (++confirmed % 170 === 0) sending.proxy.cut();
    }));
    await all.promise;
    await consumer.cancel();
    await running;
    for (const each of [one, two]) await each.close();
    for (const { proxy } of [sending, taking]) {
      await proxy[Symbol.asyncDispose]();
    }
  },
);

for (const what of ["idle", "waiting", "publishing", "holding"] as const) {
  testOnServer(
    `a black hole is noticed within two heartbeats and a second while ${what}`,
    async (server) => {
      const { proxy, url } = proxyTo(server);
      const heartbeat = 1000;
      const connection = await connect(url, { heartbeat });
      const channel = await connection.openChannel();
      await channel.declareQueue(queueOf("q"));
      let published: Promise<unknown> | undefined;
      if (what === "waiting") {
        await channel.consume("q", () => {}, { prefetch: 1 });
        using raw = await RawClient.open(server);
        while (await raw.number("stats-tube q", "current-waiting") === 0);
      } else if (what === "holding") {
        await channel.publish(publishing("", "q", "0123456789"));
        const held = Promise.withResolvers<unknown>();
        await channel.consume("q", held.resolve, { prefetch: 1 });
        await held.promise;
      }
      proxy.stall();
      const began = performance.now();
      if (what === "publishing") {
        published = assertRejects(
          () => channel.publish(publishing("", "q", "0123456789")),
          ConnectionError,
        );
      }
      const reason = await connection.closed;
      const took = performance.now() - began;
      assert(reason.type === "lost");
      assert(reason.error instanceof ConnectionError);
      assertEquals(reason.error.code, "connection-lost");
      assert(took < 2 * heartbeat + SLACK, `it took ${took} ms`);
      await published;
      await connection[Symbol.asyncDispose]();
      await proxy[Symbol.asyncDispose]();
    },
  );
}

testOnServer(
  "nothing waits for ever without heartbeats: a publish and a close have their deadlines",
  async (server) => {
    const { proxy, url } = proxyTo(server);
    const options = { heartbeat: 0, operationTimeout: 1500 };
    const connection = await connect(url, options);
    const channel = await connection.openChannel();
    proxy.stall();
    const began = performance.now();
    const error = await assertRejects(
      () =>
        channel.publish(publishing("", "q", "0123456789"), {
          deadline: performance.now() + 300,
        }),
      MessagingError,
    );
    assertEquals([error.code, error.outcome], ["timed-out", "unknown"]);
    assertEquals((await connection.closed).type, "lost");
    const late = await assertRejects(
      () => connect(url, options),
      MessagingError,
    );
    assertEquals(late.code, "timed-out");
    proxy.heal();
    const other = await connect(url, options);
    proxy.stall();
    await other[Symbol.asyncDispose]();
    assert(performance.now() - began < 10_000 + SLACK);
    await proxy[Symbol.asyncDispose]();
  },
);

testOnServer(
  "a pending reserve ends when its connection dies",
  async (server) => {
    const connection = await connect(server.url);
    const channel = await connection.openChannel();
    await channel.declareQueue(queueOf("q"));
    const subscription = await channel.consume("q", () => {}, { prefetch: 1 });
    using raw = await RawClient.open(server);
    while (await raw.number("stats-tube q", "current-waiting") === 0);
    await server.kill();
    const reason = await subscription.ended;
    assert(reason.type === "lost");
    assert(reason.error instanceof ConnectionError);
    assertEquals((await connection.closed).type, "lost");
    const error = await assertRejects(
      () => connect(server.url),
      ConnectionError,
    );
    assertEquals(error.code, "connection-failed");
    assert(error.message.includes(String(server.port)), error.message);
    await server.start();
  },
);

testOnServer(
  "a server that answers and does not speak the protocol is not beanstalkd",
  async () => {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const serving = (async () => {
      for await (const socket of listener) {
        await socket.write(new TextEncoder().encode("HTTP/1.1 400 Bad\n\n"));
        await socket.read(new Uint8Array(100)).catch(() => {});
        socket.close();
      }
    })();
    const error = await assertRejects(
      () => connect(`beanstalk://127.0.0.1:${listener.addr.port}`),
      ConnectionError,
    );
    assert(error.message.includes("does not speak"), error.message);
    listener.close();
    await serving;
  },
);

testOnServer(
  "kill -9 of a consumer's process: its message is delivered again, marked",
  async (server) => {
    await using connection = createConnection(server.url);
    const queue = new Queue("held");
    await connection.producer({ declare: [queue] }).publish("x", {
      routingKey: queue.name,
    });
    const program = `
    import { createConnection } from "@dashi/mq";
    const connection = createConnection(${JSON.stringify(server.url)});
    for await (const message of connection.consumer("held")) {
      console.log(message.payload);
      await new Promise((resolve) => setTimeout(resolve, 60_000));
    }
  `;
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", "-"],
      cwd: new URL("../../..", import.meta.url).pathname,
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const input = child.stdin.getWriter();
    await input.write(new TextEncoder().encode(program));
    await input.close();
    const output = child.stdout.getReader();
    const { value } = await output.read();
    assertEquals(new TextDecoder().decode(value).trim(), "x");
    const iterator = connection.consumer(queue)[Symbol.asyncIterator]();
    const next = iterator.next();
    child.kill("SIGKILL");
    const again = (await next).value;
    assertEquals(
      [again?.payload, again?.deliveryInfo.redelivered],
      ["x", true],
    );
    await again?.ack();
    await iterator.return?.();
    await output.cancel();
    await child.status;
  },
);
