import { assert, assertEquals } from "@std/assert";
import { type Connection, Queue } from "@dashi/mq";
import { Proxy } from "../../support/proxy.ts";
import { connectTo, nextLoss, pause, Raw, test } from "../../support/redis.ts";
import { SLACK } from "../../support/slack.ts";
import { block } from "../../support/standing_loop.ts";

/** A consumer that waits for messages while something happens to its connection. */
async function assertResumes(
  { connection, direct, within }: {
    readonly connection: Connection;
    /** The server, past whatever stands before it. */
    readonly direct: string;
    /** How long all may take once the fault is over, ms. */
    readonly within: number;
  },
  happen: () => Promise<void>,
): Promise<void> {
  const queue = new Queue("idle");
  const iterator = connection.consumer<number>(queue)[Symbol.asyncIterator]();
  await using sender = connectTo(direct);
  const producer = sender.producer<number>({ declare: [queue] });
  const first = iterator.next();
  await producer.publish(-1, { routingKey: queue.name });
  const { value } = await first;
  assert(value !== undefined);
  await value.ack();
  // It waits, and nothing is on its way.
  const next = iterator.next();
  await happen();
  const began = performance.now();
  await Promise.all(
    Array.from(
      { length: 100 },
      (_, i) => producer.publish(i, { routingKey: queue.name }),
    ),
  );
  const seen: number[] = [];
  for (let each = await next;; each = await iterator.next()) {
    assert(each.value !== undefined);
    seen.push(each.value.payload);
    await each.value.ack();
    if (seen.length === 100) break;
  }
  const took = performance.now() - began;
  // The sender may have been hit too, and have sent some again.
  seen.sort((a, b) => a - b);
  assertEquals(seen, Array.from({ length: 100 }, (_, i) => i));
  assert(took < within + SLACK, `it took ${took} ms`);
  await iterator.return?.();
}

test("an idle consumer goes on after its server was restarted (row 1a)", async (server) => {
  await using connection = connectTo(server.url);
  await assertResumes(
    { connection, direct: server.url, within: 5000 },
    () => server.restart(),
  );
});

test("an idle consumer goes on after an outage longer than its waits (row 1b)", async (server) => {
  await using connection = connectTo(server.url, { heartbeat: 1000 });
  await assertResumes(
    { connection, direct: server.url, within: 5000 },
    async () => {
      await server.kill();
      await pause(6000); // one look at the queue lasts five seconds
      await server.start();
    },
  );
});

for (const type of ["normal", "pubsub"]) {
  test(`an idle consumer goes on after CLIENT KILL TYPE ${type} (row 1c)`, async (server) => {
    await using connection = connectTo(server.url);
    await using raw = new Raw(server.port);
    await assertResumes(
      { connection, direct: server.url, within: 5000 },
      async () => {
        const lost = nextLoss(connection);
        const count = await raw.number(
          ...["CLIENT", "KILL", "TYPE", type, "SKIPME", "yes"] as const,
        );
        assert(count > 0);
        await lost;
      },
    );
  });
}

for (const numbers of [[1, 2], [1], [2]]) {
  test(`a black hole in socket ${numbers.join(" and ")} of the two is noticed within two heartbeats and a second, and an idle consumer goes on (row 1d)`, async (server) => {
    await using proxy = Proxy.to(server.url);
    await using connection = connectTo(proxy.urlOf(server.url), {
      heartbeat: 2000, // less, and the second would hide a third one
    });
    await connection.connect();
    assertEquals(proxy.accepted, 2);
    await assertResumes(
      { connection, direct: server.url, within: 5000 },
      async () => {
        const lost = nextLoss(connection);
        const began = performance.now();
        for (const number of numbers) proxy.stallOne(number);
        await lost;
        const took = performance.now() - began;
        assert(took < 5000 + SLACK, `it took ${took} ms`);
      },
    );
  });
}

test(
  "an idle consumer is not taken for lost while its server answers (row 1d)",
  async (server) => {
    await using connection = connectTo(server.url, { heartbeat: 500 });
    await using raw = new Raw(server.port);
    await assertResumes(
      { connection, direct: server.url, within: 5000 },
      async () => {
        const before = await raw.clients();
        await pause(3000); // six heartbeats
        const after = await raw.clients();
        const ids = (lines: readonly string[]) =>
          lines.map((line) => /^id=\d+/.exec(line)?.[0]).sort();
        assertEquals(ids(after), ids(before));
      },
    );
  },
  { arguments: ["--appendonly", "no"] },
);

test(
  "a connection is not taken for lost because its process was busy for longer than heartbeats (row 5)",
  async (server) => {
    await using connection = connectTo(server.url, { heartbeat: 2000 });
    await using raw = new Raw(server.port);
    await connection.connect();
    const before = (await raw.clients()).length;
    const lost = nextLoss(connection);
    let isLost = false;
    lost.then(() => isLost = true, () => {});
    for (let i = 0; i < 2; i++) {
      block(3500);
      await pause(0);
    }
    await pause(2000);
    assertEquals([isLost, (await raw.clients()).length], [false, before]);
    assertEquals(connection.connected, true);
  },
  { arguments: ["--appendonly", "no"] },
);

test(
  "connect() to a server that takes no more clients says so, and waits for room",
  async (server) => {
    await using raw = new Raw(server.port);
    await raw.send("PING"); // it has the only place
    await using impatient = connectTo(server.url, { reconnect: false });
    const error = await impatient.connect().catch((error) => error);
    assertEquals([error.name, error.retryable], ["ConnectionError", true]);
    assert(error.message.includes("max number of clients"), error.message);
    await using connection = connectTo(server.url, {
      reconnect: { initialDelay: 20, maxDelay: 100 },
    });
    const connecting = connection.connect();
    await raw.send("CONFIG", "SET", "maxclients", 100);
    await connecting;
  },
  { arguments: ["--maxclients", "1"] },
);

test("an idle consumer goes on after three drops in three seconds (row 1e)", async (server) => {
  await using proxy = Proxy.to(server.url);
  await using connection = connectTo(proxy.urlOf(server.url));
  await assertResumes(
    { connection, direct: server.url, within: 5000 },
    async () => {
      for (let i = 0; i < 3; i++) {
        const lost = nextLoss(connection);
        proxy.cut();
        await lost;
        await pause(1000);
      }
    },
  );
});

test("an idle consumer goes on after drops while it is connecting again (row 1e)", async (server) => {
  await using proxy = Proxy.to(server.url);
  await using connection = connectTo(proxy.urlOf(server.url));
  await assertResumes(
    { connection, direct: server.url, within: 5000 },
    async () => {
      const lost = nextLoss(connection);
      proxy.hangUp();
      await lost;
      const { accepted } = proxy;
      while (proxy.accepted < accepted + 10) await pause(10);
      proxy.heal();
      // In the middle of a handshake, wherever that is.
      for (let i = 0; i < 10; i++) {
        await pause(i * 2);
        proxy.cut();
      }
    },
  );
});

test("messages flow through connections that are cut all the time: none confirmed is lost (row 3)", async (server) => {
  await using sending = Proxy.to(server.url);
  await using taking = Proxy.to(server.url);
  await using one = connectTo(sending.urlOf(server.url));
  await using two = connectTo(taking.urlOf(server.url));
  const queue = new Queue("flow");
  const producer = one.producer<number>({ declare: [queue], maxInFlight: 50 });
  const consumer = two.consumer<number>(queue, { prefetch: 20 });
  const seen = new Set<number>();
  const { promise: done, resolve } = Promise.withResolvers<void>();
  const running = consumer.run(({ payload }) => {
    const isNew = !seen.has(payload);
    seen.add(payload);
    if (seen.size === 5000) resolve();
    else if (isNew && seen.size % 250 === 0) taking.cut();
  }, { concurrency: 5 });
  let confirmed = 0;
  await Promise.all(Array.from({ length: 5000 }, async (_, i) => {
    await producer.publish(i, { routingKey: queue.name });
    if (++confirmed % 250 === 0) sending.cut();
  }));
  await done;
  assert(sending.accepted > 20 && taking.accepted > 20);
  await consumer.cancel();
  await running;
  await two.close();
  await using raw = new Raw(server.port);
  assertEquals(await raw.number("HLEN", "unacked"), 0);
  assertEquals(await raw.number("ZCARD", "unacked_index"), 0);
});
