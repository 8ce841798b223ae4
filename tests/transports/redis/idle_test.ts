import { assert, assertEquals } from "@std/assert";
import { Queue } from "@dashi/mq";
import { connectTo, pause, Raw, test } from "../../support/redis.ts";
import { ALL } from "../../support/targets.ts";

/** For what is about the library's cost, and not the disk's. */
const NO_DISK = { arguments: ["--appendonly", "no"] };

/** How often each command was called, those that scripts call among them. */
async function calls(raw: Raw): Promise<Map<string, number>> {
  const stats = String(await raw.send("INFO", "commandstats"));
  return new Map(
    [...stats.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)]
      .map(([, name = "", count]) => [name, Number(count)]),
  );
}

/** The commands that a client sends: scripts call the rest of those that are counted. */
const SENT = ["evalsha", "eval", "ping", "client|caching", "script|load"]
  .concat("hscan", "subscribe", "psubscribe", "select", "client|id");

/** How much is sent within so many ms: where a busy machine looked later, its share of what it saw. */
async function sentWithin(raw: Raw, ms: number): Promise<number> {
  const [before, began] = [await calls(raw), performance.now()];
  await pause(ms);
  const [after, ended] = [await calls(raw), performance.now()];
  const sent = SENT.reduce(
    (sum, name) => sum + (after.get(name) ?? 0) - (before.get(name) ?? 0),
    0,
  );
  return Math.floor(sent * Math.min(1, ms / (ended - began)));
}

/** Waits until nothing is sent for a while. */
async function quiet(raw: Raw): Promise<void> {
  for (let i = 0; await sentWithin(raw, 400) > 0; i++) {
    assert(i < 50, "it is busy all the time");
  }
}

test(
  "an idle consumer of fifty queues sends a command a second at the most, and no script looks at each of them (row 28)",
  async (server) => {
    await using raw = new Raw(server.port);
    const queues = Array.from({ length: 50 }, (_, i) => new Queue(`q${i}`));
    await using connection = connectTo(server.url);
    const iterator = connection.consumer<number>(queues)
      [Symbol.asyncIterator]();
    const first = iterator.next();
    await connection.producer({ declare: queues })
      .publish(1, { routingKey: "q0" });
    await (await first).value?.ack();
    const next = iterator.next();
    await quiet(raw); // what it acked is on its way
    const pops = (await calls(raw)).get("rpop");
    const sent = await sentWithin(raw, 6000);
    assert(sent <= 6, `${sent} commands in 6 s`);
    assertEquals((await calls(raw)).get("rpop"), pops);
    await iterator.return?.();
    assertEquals((await next).done, true);
  },
  NO_DISK,
);

test(
  "messages that came by SWAPDB, of which the server tells nobody, are found all the same (row 28)",
  async (server) => {
    await using raw = new Raw(server.port);
    const queue = new Queue<number>("swapped");
    await using connection = connectTo(server.url);
    const producer = connection.producer({ queue });
    const iterator = connection.consumer(queue)[Symbol.asyncIterator]();
    for (const payload of [1, 2]) {
      const next = iterator.next();
      await producer.publish(payload);
      const { value } = await next;
      assertEquals(value?.payload, payload);
      await value?.ack();
    }
    const next = iterator.next();
    await quiet(raw); // it has seen that there is nothing
    await using other = connectTo(server.url.replace(/\/0$/, "/1"));
    await other.producer({ queue }).publish(3);
    await other.close();
    await raw.send("SELECT", 1);
    const texts = await raw.texts("LRANGE", "swapped", 0, -1);
    assertEquals(texts.length, 1);
    await raw.send("SELECT", 0);
    for (const key of await raw.texts("KEYS", "*")) {
      await raw.send("COPY", key, key, "DB", 1, "REPLACE");
    }
    await raw.send("SELECT", 1);
    await raw.send("DEL", "swapped");
    await raw.send("LPUSH", "swapped", ...texts);
    await raw.send("SWAPDB", 0, 1);
    const { value } = await next;
    assertEquals(value?.payload, 3);
    await value?.ack();
    await iterator.return?.();
  },
  NO_DISK,
);

test("a consumer whose prefetch is used up asks for nothing, and costs no time (row 28)", async (server) => {
  await using raw = new Raw(server.port);
  await using connection = connectTo(server.url);
  const queue = new Queue("full");
  const producer = connection.producer<number>({ declare: [queue] });
  for (let i = 0; i < 20; i++) {
    await producer.publish(i, { routingKey: queue.name });
  }
  const iterator = connection.consumer<number>(queue, { prefetch: 5 })
    [Symbol.asyncIterator]();
  const held = [];
  for (let i = 0; i < 5; i++) held.push((await iterator.next()).value);
  await quiet(raw);
  const { user, system } = usage();
  const sent = await sentWithin(raw, 3000);
  const spent = usage().user - user + usage().system - system;
  assert(sent <= 1, `${sent} commands in 3 s`);
  assert(spent < 150, `${spent} ms of 3 s`);
  assertEquals(await raw.number("LLEN", queue.name), 15);
  for (const message of held) await message?.ack();
  const { value } = await iterator.next();
  assertEquals(value?.payload, 5);
  await iterator.return?.();
});

/** The processor time of this thread, ms: other files of tests may run beside it. */
function usage(): { readonly user: number; readonly system: number } {
  const [, , , , , , , , , , , , , user = "0", system = "0"] = Deno.build.os ===
      "linux"
    ? Deno.readTextFileSync("/proc/thread-self/stat").replace(/^.*\) /, "0 0 ")
      .split(" ")
    : [];
  return { user: Number(user) * 10, system: Number(system) * 10 };
}

test(
  "five hundred queues on one connection use three sockets at the most, and get their messages (row 31)",
  async (server) => {
    await using raw = new Raw(server.port);
    await using connection = connectTo(server.url);
    const queues = Array.from({ length: 500 }, (_, i) => new Queue(`q${i}`));
    await connection.declare(queues);
    const iterator = connection.consumer<number>(queues)
      [Symbol.asyncIterator]();
    const first = iterator.next();
    await using sender = connectTo(server.url);
    const producer = sender.producer<number>();
    await Promise.all(
      queues.map(({ name }, i) => producer.publish(i, { routingKey: name })),
    );
    let { value } = await first;
    const seen: number[] = [];
    for (;;) {
      assert(value !== undefined);
      assertEquals(value.deliveryInfo.queue, `q${value.payload}`);
      seen.push(value.payload);
      await value.ack();
      if (seen.length === 500) break;
      value = (await iterator.next()).value;
    }
    assertEquals(
      seen.sort((a, b) => a - b),
      Array.from({ length: 500 }, (_, i) => i),
    );
    await sender.close();
    const clients = await raw.clients();
    assert(clients.length <= 3, clients.join("\n"));
    await iterator.return?.();
  },
  NO_DISK,
);

/** How many are published at once. */
const COUNT = ALL ? 100_000 : 20_000;

test(
  `${COUNT} publishes at once all settle, on two sockets (row 31)`,
  async (server) => {
    await using raw = new Raw(server.port);
    await using connection = connectTo(server.url, {
      operationTimeout: 60_000,
    });
    const queue = new Queue("many");
    const producer = connection.producer<number>({ declare: [queue] });
    const all = Array.from(
      { length: COUNT },
      (_, i) => producer.publish(i, { routingKey: queue.name }),
    );
    await Promise.all(all);
    assertEquals(await raw.number("LLEN", queue.name), COUNT);
    assertEquals((await raw.clients()).length, 2);
    const [oldest] = await raw.texts("LRANGE", queue.name, -1, -1);
    assertEquals(JSON.parse(oldest ?? "").body, btoa("0"));
  },
  NO_DISK,
);

for (
  const [what, rules] of [
    ["the command", ["-client|tracking"]],
    ["all of CLIENT", ["-client"]],
    ["the channel on which it tells", ["resetchannels"]],
  ] as const
) {
  test(`a server that refuses CLIENT TRACKING (${what}) is polled: messages come, and waiting costs little (row 28)`, async (server) => {
    await using raw = new Raw(server.port);
    await raw.send(
      ...["ACL", "SETUSER", "limited", "on", ">secret", "~*", "&*"] as const,
      "+@all",
      ...rules,
    );
    await using connection = connectTo(
      `redis://limited:secret@127.0.0.1:${server.port}/0`,
    );
    const queue = new Queue("polled");
    await connection.declare([queue]);
    const iterator = connection.consumer<number>(queue.name)
      [Symbol.asyncIterator]();
    await using sender = connectTo(server.url);
    const producer = sender.producer<number>({ declare: [queue] });
    for (let i = 0; i < 3; i++) {
      const next = iterator.next();
      await producer.publish(i, { routingKey: queue.name });
      const { value } = await next;
      assertEquals(value?.payload, i);
      await value?.ack();
    }
    const next = iterator.next();
    await sender.close();
    if (what === "the command") {
      await pause(3000); // the waits between polls grow
      const sent = await sentWithin(raw, 5000);
      assert(sent <= 8, `${sent} commands in 5 s`);
    }
    await iterator.return?.();
    assertEquals((await next).done, true);
    // No notification comes when the queue is deleted, either.
    const channel = await connection.channel();
    const { ended } = await channel.consume(queue.name, () => {}, {
      prefetch: 1,
    });
    await using deleting = connectTo(server.url);
    await (await deleting.channel()).deleteQueue(queue.name);
    assertEquals((await ended).type, "ended-by-broker");
  });
}
