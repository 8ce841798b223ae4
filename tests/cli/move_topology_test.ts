import { assert, assertEquals, assertMatch } from "@std/assert";
import {
  binding,
  type Connection,
  createConnection,
  Exchange,
  Queue,
} from "@dashi/mq";
import { unique } from "../conformance/support.ts";
import { BROKERS, dashiHere, isDone, Pair } from "./moving.ts";

/** What leads to a queue, through an exchange and another: with names of its own. */
function entities(name: string): readonly (Exchange | Queue)[] {
  const [outer, inner, letters] = ["outer", "inner", "letters"].map((each) =>
    new Exchange(`${name}.${each}`, { type: "topic" })
  );
  assert(outer && inner && letters);
  const bound = new Exchange(`${name}.inner`, {
    type: "topic",
    bindings: [binding(outer, "a.#")],
  });
  const failed = new Queue(`${name}.failed`, {
    bindings: [binding(letters, "#")],
  });
  const queue = new Queue(name, {
    bindings: [binding(bound, "*.new")],
    messageTtl: 3_600_000,
    deadLetterExchange: letters,
  });
  return [outer, bound, letters, failed, queue];
}

async function forget(connection: Connection, name: string): Promise<void> {
  for (const each of entities(name)) {
    await connection.delete(each).catch(() => {});
  }
}

for (
  const broker of [
    "Redis",
    "Redis Cluster",
    "MongoDB",
    "RabbitMQ",
    "CouchDB",
    "PostgreSQL",
    "SQLite",
    "NATS",
  ]
) {
  const url = BROKERS[broker];
  Deno.test({
    name: `dashi move declares on ${broker} what leads to its queues${
      url ? "" : " (there is no broker)"
    }`,
    ignore: !url,
    fn: () => routed(url ?? ""),
  });
}

async function routed(url: string): Promise<void> {
  const from = `memory://${unique("routes")}`;
  const name = unique("move");
  await using source = createConnection(from, { onUnhandled: () => {} });
  await using target = createConnection(url, { onUnhandled: () => {} });
  for (const each of entities(name)) {
    if (each instanceof Queue) await source.declare(each);
    else await source.declare(each);
  }
  await source.declare(new Queue("another"));
  await source.send(name, 1);
  try {
    const { code, rows, err } = await dashiHere(["move", `${name}*`], {
      from,
      to: url,
    });
    assertEquals(
      [
        code,
        rows.filter(isDone).map(({ queue, moved }) => [queue, moved]),
        err,
      ],
      [0, [[name, 1], [`${name}.failed`, 0]], ""],
    );
    // A message that goes through both exchanges dies in the queue, and is in the other.
    const producer = target.producer({ exchange: `${name}.outer` });
    await producer.publish(2, { routingKey: "a.new" });
    await using handle = target.queue(name);
    assertEquals((await handle.get())?.payload, 1);
    const second = await handle.get();
    assertEquals(second?.payload, 2);
    await second?.reject();
    await using letters = target.queue(`${name}.failed`);
    assertEquals((await letters.get())?.payload, 2);
  } finally {
    await forget(target, name);
  }
}

Deno.test("dashi move of a pattern names each queue by what its * is", async () => {
  const [from, to] = [unique("a"), unique("b")].map((each) =>
    `memory://${each}`
  );
  assert(from && to);
  await using source = createConnection(from);
  await using target = createConnection(to);
  for (const name of ["mails.in", "mails.out", "others"]) {
    await source.send(new Queue(name), name);
  }
  const args = ["move", "mails.*", "--to", "old.*.mails"];
  const { code, rows } = await dashiHere(args, { from, to });
  assertEquals([code, rows.filter(isDone).map(({ to }) => to)], [
    0,
    ["old.in.mails", "old.out.mails"],
  ]);
  await using handle = target.queue<string>("old.out.mails");
  assertEquals((await handle.get())?.payload, "mails.out");
  const rest = await dashiHere(["move", "--all"], { from, to });
  assertEquals(
    rest.rows.filter(isDone).map(({ queue, moved }) => [queue, moved]),
    [["mails.in", 0], ["mails.out", 0], ["others", 1]],
  );
  const none = await dashiHere(["move", "x.*"], { from, to });
  assertEquals([none.code, none.out], [1, ""]);
  assertMatch(none.err, /no queue that can be moved is named as "x\.\*"/);
});

Deno.test("dashi move says whose dead letters would reach nobody at the target", async () => {
  const [from, to] = [unique("a"), unique("b")].map((each) =>
    `memory://${each}`
  );
  assert(from && to);
  await using source = createConnection(from);
  await using target = createConnection(to);
  const letters = new Exchange("letters", { type: "fanout" });
  await source.declare([
    new Queue("parked", { bindings: [binding(letters)] }),
    new Queue("by.exchange", { deadLetterExchange: letters }),
    new Queue("by.name", { deadLetter: "dead" }),
    new Queue("dead"),
  ]);
  const noted = async (...args: readonly string[]) => {
    const { err } = await dashiHere(["move", ...args, "--dry-run"], {
      from,
      to,
    });
    return err.split("\n").filter((line) => line.includes("dead letters"));
  };
  const alone = await noted("by.*");
  assertMatch(alone[0] ?? "", /queue "by\.exchange" go to "parked"/);
  assertMatch(alone[1] ?? "", /queue "by\.name" go to "dead"/);
  assertEquals(alone.length, 2);
  assertEquals(await noted("--all"), []);
  // The key is the name of before.
  const renamed = await noted("*", "--to", "old.*");
  assertMatch(renamed.join(), /queue "old\.by\.name" go to "dead"/);
  assertEquals(renamed.length, 1);
  await target.declare([new Queue("dead"), new Queue("parked")]);
  assertEquals(await noted("by.*"), []);
});

Deno.test("dashi move on the same broker empties a queue before others come into it", async () => {
  const from = `memory://${unique("chain")}`;
  await using connection = createConnection(from);
  for (const name of ["a", "aa", "aaaa"]) {
    await connection.send(new Queue(name), name);
  }
  const { code, rows } = await dashiHere(["move", "a*", "--to", "aa*"], {
    from,
  });
  assertEquals(
    [
      code,
      rows.filter(isDone).map(({ queue, to, moved }) => [queue, to, moved]),
    ],
    [0, [["aa", "aaa", 1], ["a", "aa", 1], ["aaaa", "aaaaa", 1]]],
  );
  for (const [name, payload] of [["aa", "a"], ["aaa", "aa"]]) {
    await using handle = connection.queue<string>(name ?? "");
    assertEquals((await handle.get())?.payload, payload);
  }
});

for (const broker of ["memory", "Redis"]) {
  const url = BROKERS[broker];
  Deno.test({
    name: `dashi move on ${broker} moves nothing in a circle${
      url ? "" : " (there is no broker)"
    }`,
    ignore: !url,
    fn: () => circle(url ?? ""),
  });
}

async function circle(from: string): Promise<void> {
  await using connection = createConnection(from, { onUnhandled: () => {} });
  const [a, b] = [unique("circle"), unique("circle")];
  const puts = Array.from({ length: 10 }, (_, i) => i);
  // The oldest make room, and are dead letters in the queue that they came from.
  await connection.declare([
    new Queue(a),
    new Queue(b, { maxLength: 5, deadLetter: a }),
  ]);
  await connection.producer({ queue: a }).publishAll(puts);
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    // With a rate timers have their turn, however fast the circle is.
    const args = ["move", a, "--to", b, "--rate", "1000/s"];
    const { code, rows, err } = await dashiHere(args, {
      from,
      onInterrupt: (interrupt) => timer = setTimeout(interrupt, 20_000),
    });
    const { moved, kept } = rows.at(-1);
    assertEquals([code, moved, kept], [1, 10, 5], err);
    assertMatch(err, /stays: it has died in queue ".*in a circle/);
    assertEquals((await connection.queueStatus(a)).messageCount, 5);
    assertEquals((await connection.queueStatus(b)).messageCount, 5);
    // As many as were there are put back, whatever they died of.
    await connection.purge(b);
    const back = await dashiHere(["move", a, "--to", b], { from });
    assertEquals([back.code, back.rows.at(-1).moved], [0, 5], back.err);
  } finally {
    clearTimeout(timer);
    for (const name of [a, b]) await connection.delete(name);
  }
}

Deno.test("dashi move goes on with the other queues where one is full at the target", async () => {
  const [from, to] = [unique("a"), unique("b")].map((each) =>
    `memory://${each}`
  );
  assert(from && to);
  await using source = createConnection(from);
  await using target = createConnection(to);
  for (const name of ["f.a", "f.b"]) {
    await source.send(new Queue(name), name);
  }
  await target.send(
    new Queue("f.a", { maxLength: 1, overflow: "reject-publish" }),
    "full",
  );
  const { code, rows, err } = await dashiHere(["move", "f.*"], { from, to });
  assertEquals(
    [code, rows.filter(isDone).map(({ queue, moved }) => [queue, moved])],
    [1, [["f.b", 1]]],
  );
  assertMatch(err, /0 messages of queue "f\.a" are moved/);
  assertEquals((await source.queueStatus("f.a")).messageCount, 1);
});

Deno.test("dashi move on the same broker needs another name, and binds nothing", async () => {
  const from = `memory://${unique("same")}`;
  await using connection = createConnection(from);
  const exchange = new Exchange("media", { type: "fanout" });
  await connection.send(new Queue("video", { exchange }), 1);
  const same = await dashiHere(["move", "video"], { from });
  assertEquals([same.code, same.out], [2, ""]);
  assertMatch(same.err, /"video" would be moved into itself.*DASHI_TO_URL/);
  const { code, rows } = await dashiHere(
    ["move", "video", "--to", "video.old"],
    { from },
  );
  assertEquals([code, rows.at(-1).moved], [0, 1]);
  await connection.producer({ exchange }).publish(2);
  assertEquals((await connection.queueStatus("video")).messageCount, 1);
  assertEquals((await connection.queueStatus("video.old")).messageCount, 1);
});

Deno.test({
  name:
    `dashi move moves nothing where the target cannot have what is declared${
      BROKERS.beanstalkd ? "" : " (there is no beanstalkd)"
    }`,
  ignore: !BROKERS.beanstalkd,
  fn: () => refused(BROKERS.beanstalkd ?? ""),
});

async function refused(url: string): Promise<void> {
  await using pair = new Pair(`memory://${unique("narrow")}`, url);
  await pair.open(new Queue(pair.name, { maxLength: 10 }));
  await pair.fill(2);
  const refused = await pair.move();
  assertEquals([refused.code, refused.out], [1, ""]);
  assertMatch(refused.err, /Cannot declare queue ".*--topology plain/);
  assertEquals((await pair.source.queueStatus(pair.name)).messageCount, 2);
  const plain = await pair.move(["--topology", "plain"]);
  assertEquals([plain.code, plain.rows.at(-1).moved], [0, 2]);
}
