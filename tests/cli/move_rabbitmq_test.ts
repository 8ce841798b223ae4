/** RabbitMQ with its management API and without, and the queues that only it has: as a source, and listed; and messages that it does not take. */

import { assertEquals, assertMatch } from "@std/assert";
import {
  binding,
  type Connection,
  createConnection,
  Exchange,
  Queue,
} from "@dashi/mq";
import { findRabbitmq, type Rabbitmq } from "../brokers/rabbitmq.ts";
import { until } from "../brokers/server.ts";
import { unique } from "../conformance/support.ts";
import { startManagedRabbitmq } from "../support/managed_rabbitmq.ts";
import { dashiHere, isDone, Pair } from "./moving.ts";

Deno.test({
  name: "dashi move from RabbitMQ, by its management API and without it",
  ignore: findRabbitmq() === undefined,
  fn: async (t) => {
    const { server, managementUrl } = await startManagedRabbitmq();
    try {
      await using source = createConnection(server.url, {
        onUnhandled: () => {},
      });
      await source.connect();
      const from = server.url;
      await t.step(
        "the management API tells what leads to its queues",
        () => topology(source, { from, managementUrl }),
      );
      await t.step(
        "a stream is left out, or refused, and others go on",
        () => streams(source, { from, managementUrl }),
      );
      await t.step(
        "the queue of another connection keeps no other",
        () => exclusive(source, { from }),
      );
      await t.step(
        "it tells of messages that are delayed",
        () => delayed(source, { from }),
      );
      await t.step(
        "a message that was delivered before is new at the target",
        () => counted(source, { from }),
      );
      await t.step(
        "what it does not take stays, and keeps no other",
        () => notTaken(server),
      );
      await t.step(
        "list has those queues of delays in which something waits, and dlq list none",
        () => listed(source, { from, managementUrl }),
      );
    } finally {
      await server.stop();
    }
  },
});

/** Where from. */
interface From {
  readonly from: string;
  readonly managementUrl?: string;
}

async function topology(source: Connection, from: From): Promise<void> {
  const to = `memory://${unique("rabbit")}`;
  await using target = createConnection(to);
  const outer = new Exchange("t.outer", { type: "topic" });
  const inner = new Exchange("t.inner", {
    type: "headers",
    bindings: [binding(outer, "a.#")],
  });
  const letters = new Exchange("t.letters", { type: "fanout" });
  const queue = new Queue("t.jobs", {
    bindings: [binding(inner, "", { kind: "new" })],
    maxPriority: 7,
    messageTtl: 3_600_000,
    deadLetterExchange: letters,
  });
  for (const each of [outer, inner, letters]) await source.declare(each);
  await source.declare(queue);
  await source.producer({ queue }).publishAll([1, 2, 3]);
  await isListed(from, "t.jobs");
  const { code, rows, err } = await dashiHere(["move", "t.*"], { ...from, to });
  const { moved, ready, unacked, done } = rows.at(-1);
  // They are those of now: the API tells of a moment ago.
  assertEquals(
    { code, moved, ready, unacked: unacked ?? 0, done, err },
    { code: 0, moved: 3, ready: 0, unacked: 0, done: true, err: "" },
  );
  const { declaration } = await target.inspect().queue("t.jobs");
  assertEquals(declaration?.arguments, {
    "x-max-priority": 7,
    "x-message-ttl": 3_600_000,
    "x-dead-letter-exchange": "t.letters",
  });
  const exchanges = await target.inspect().exchanges();
  assertEquals(
    exchanges.filter(({ name }) => name.startsWith("t."))
      .map(({ name, type }) => `${name} ${type}`).toSorted(),
    ["t.inner headers", "t.letters fanout", "t.outer topic"],
  );
  const producer = target.producer({ exchange: "t.outer" });
  const headers = { kind: "new" };
  await producer.publish(4, { routingKey: "a.b", headers });
  assertEquals((await target.queueStatus("t.jobs")).messageCount, 4);
}

async function streams(source: Connection, from: From): Promise<void> {
  const stream = { "x-queue-type": "stream", "x-max-age": "1h" };
  await source.declare(new Queue("s.stream", { arguments: stream }));
  for (const name of ["s.stream", "s.other"]) {
    await source.send(name === "s.other" ? new Queue(name) : name, name);
  }
  await isListed(from, "s.stream");
  const to = `memory://${unique("rabbit")}`;
  for (const way of [from, { from: from.from }]) {
    const { code, out, err } = await dashiHere(["move", "s.stream"], {
      ...way,
      to,
    });
    assertEquals([code, out], [1, ""]);
    assertMatch(err, /Cannot move queue "s\.stream": it is a stream/);
  }
  await isListed(from, "s.other");
  const all = await dashiHere(["move", "s.*"], { ...from, to });
  assertEquals(
    [
      all.code,
      all.rows.filter(isDone).map(({ queue, moved }) => [queue, moved]),
    ],
    [0, [["s.other", 1]]],
  );
  assertMatch(all.err, /"s\.stream" is a stream, and is left out/);
}

async function exclusive(source: Connection, from: From): Promise<void> {
  const names = ["x.a", "x.b", "x.c"];
  for (const name of names) await source.send(new Queue(name), name);
  await using channel = await source.channel();
  await channel.consume("x.b", () => {}, { prefetch: 1, exclusive: true });
  const to = `memory://${unique("rabbit")}`;
  const { code, rows, err } = await dashiHere(["move", ...names], {
    ...from,
    to,
  });
  const done = rows.filter(isDone);
  assertEquals([code, done.map(({ queue }) => queue)], [1, ["x.a", "x.c"]]);
  assertMatch(err, /0 messages of queue "x\.b" are moved.*exclusive/);
}

async function delayed(source: Connection, from: From): Promise<void> {
  const queue = new Queue("d.jobs");
  await source.send(queue, "now");
  await source.send(queue, "later", { delay: 3_600_000 });
  const to = `memory://${unique("rabbit")}`;
  const { code, rows, err } = await dashiHere(["move", "d.jobs"], {
    ...from,
    to,
  });
  assertEquals([code, rows.at(-1).moved], [0, 1]);
  assertMatch(err, /1 delayed message waits on the source/);
}

async function listed(source: Connection, from: From): Promise<void> {
  const queue = new Queue("l.jobs", { deadLetter: "l.dead" });
  await source.send(queue, "later", { delay: 3_600_000 });
  await isListed(from, "l.jobs");
  const names = async (...args: readonly string[]) => {
    const { code, rows } = await dashiHere(args, from);
    assertEquals(code, 0);
    return rows.map(({ name }) => name as string);
  };
  // An hour is 111000010000 in binary: it waits where its highest digit is.
  await until(
    "the delayed messages are counted",
    60_000,
    async () => (await names("list")).includes("dashi_delayed_11"),
  );
  const delays = (await names("list"))
    .filter((each) => each.startsWith("dashi_delayed_"));
  assertEquals(delays, ["dashi_delayed_11"]);
  const letters = await names("dlq", "list");
  assertEquals(
    letters.filter((each) => /^l\.|^dashi_delayed_/.test(each)),
    ["l.dead"],
  );
  const exchanges = await names("list", "exchanges");
  assertEquals(exchanges.filter((each) => each.startsWith("dashi_")), []);
  const { rows } = await dashiHere(["list", "bindings"], from);
  assertEquals(
    rows.filter(({ source }) => source.startsWith("dashi_")),
    [],
  );
}

async function counted(source: Connection, from: From): Promise<void> {
  const queue = new Queue("c.jobs", { type: "quorum" });
  await source.send(queue, "again", { headers: { tenant: 7 } });
  await using handle = source.queue(queue);
  // A quorum queue has what is put back a moment later.
  for (const time of ["first", "second"]) {
    await until(`the ${time} get`, 15_000, async () => {
      const message = await handle.get();
      await message?.requeue();
      return message !== undefined;
    });
  }
  const to = `memory://${unique("rabbit")}`;
  await using target = createConnection(to);
  await until("it is moved", 15_000, async () => {
    const { rows } = await dashiHere(["move", "c.jobs"], { ...from, to });
    return rows.at(-1)?.moved === 1;
  });
  await using there = target.queue("c.jobs");
  assertEquals((await there.get())?.headers, { tenant: 7 });
}

/** It ends a channel over each of them, with all that is in flight there. */
async function notTaken(server: Rabbitmq): Promise<void> {
  const before = await server.ask(
    "application:get_env(rabbit, max_message_size, 134217728)",
  );
  const most = (size: string) =>
    server.ask(`application:set_env(rabbit, max_message_size, ${size})`);
  await most("50000");
  try {
    await using pair = new Pair(`memory://${unique("rabbit")}`, server.url);
    await pair.open();
    const large = "x".repeat(60_000);
    const producer = pair.source.producer({ queue: pair.name });
    for (let i = 0; i < 200; i++) {
      await producer.publish(i % 40 === 5 ? large : i, {
        messageId: `id-${i}`,
        // Nobody waits there.
        replyTo: i % 50 === 7 ? "amq.rabbitmq.reply-to" : undefined,
      });
    }
    const { code, rows, err } = await pair.move();
    const { moved, kept } = rows.at(-1);
    assertEquals([code, moved, kept], [1, 191, 9], err);
    assertMatch(err, /stays: .*message size 60000 is larger than .*50000/);
    assertMatch(err, /stays: .*fast reply consumer does not exist/);
    assertEquals((await pair.source.queueStatus(pair.name)).messageCount, 9);
    assertEquals((await pair.arrived()).size, 191);
    // More than ten times as many as are on their way at once.
    await producer.publishAll([large, large]);
    await producer.publish("last", { messageId: "last" });
    const rest = await pair.move(["--in-flight", "1"]);
    assertEquals([rest.code, rest.rows.at(-1).moved], [1, 1], rest.err);
    assertEquals([...(await pair.arrived()).keys()], ["last"]);
  } finally {
    await most(before);
  }
}

/** The management API tells of a queue a moment later. */
async function isListed(
  { from, managementUrl }: From,
  name: string,
): Promise<void> {
  await using connection = createConnection(from, {
    transportOptions: { managementUrl },
  });
  await until("the queue is listed", 60_000, async () => {
    for await (const each of connection.inspect().queues()) {
      if (each.name === name) return true;
    }
    return false;
  });
}
