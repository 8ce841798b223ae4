import { assert, assertEquals, assertMatch } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { freePort } from "../brokers/ports.ts";
import { dashi, onTerminal } from "./running.ts";

const SECRET = "hunter2-and-more";

Deno.test("dashi ping sends a message through each step, as a process", async () => {
  const { code, rows, err } = await dashi(["ping"], {
    DASHI_URL: "memory://ping",
  });
  assertEquals([code, err], [0, ""]);
  assertEquals(
    rows.map(({ step, ok }) => [step, ok]),
    ["connect", "declare", "publish", "consume", "delete"].map((each) => [
      each,
      true,
    ]),
  );
});

Deno.test("dashi ping says which step failed, why and what to do, and no password", async () => {
  const file = await Deno.makeTempFile();
  try {
    const url = `redis://me:${SECRET}@127.0.0.1:${freePort()}`;
    await Deno.writeTextFile(file, `${url}\n`);
    const { code, rows, out, err } = await dashi(
      ["ping", "--url-file", file, "--timeout", "5"],
    );
    assertEquals([code, rows.length], [1, 1]);
    const [{ step, ok, error, advice }] = rows;
    assertEquals([step, ok], ["connect", false]);
    assertMatch(error, /127\.0\.0\.1/);
    assertMatch(advice, /broker running/);
    assert(!(out + err).includes(SECRET));
  } finally {
    await Deno.remove(file);
  }
});

Deno.test("dashi refuses a password in its arguments, and does not say it again", async () => {
  for (
    const url of [
      `amqp://me:${SECRET}@localhost//`,
      `sqs://localhost?password=${SECRET}`,
      `redis://me:with/${SECRET}@localhost`,
      `nats://${SECRET}@localhost`, // a token
    ]
  ) {
    const { code, out, err } = await onTerminal(
      ["--url", url, "list"],
      "memory://",
      80,
    );
    assertEquals([code, out], [2, ""]);
    assertMatch(err, /DASHI_URL.*--url-file/);
    assert(!err.includes(SECRET));
  }
});

Deno.test("dashi without a URL says where it is looked for", async () => {
  const { code, err } = await onTerminal(["list"], "", 80);
  assertEquals(code, 2);
  assertMatch(err, /DASHI_URL.*--url-file/);
});

Deno.test("the URL of a management API does no harm to another broker's", async () => {
  const { code, rows, err } = await dashi(["doctor"], {
    DASHI_URL: "memory://",
    DASHI_MANAGEMENT_URL: "http://localhost:15672",
  });
  assertEquals([code, err], [0, ""]);
  assertEquals(rows[0].transport, "memory");
});

Deno.test("dashi --help has each command, and each command's help an example", async () => {
  const { code, out } = await onTerminal(["--help"], "", 80);
  assertEquals(code, 0);
  const { out: script } = await onTerminal(["completions", "bash"], "", 80);
  const paths = [...script.matchAll(/^ +'([a-z ]+)'\) all=/gm)]
    .map(([, path = ""]) => path.split(" "));
  assert(paths.length > 15, script);
  for (const path of paths) {
    if (path.length === 1) assert(out.includes(`\n  ${path} `), String(path));
    const help = await onTerminal([...path, "--help"], "", 80);
    assertEquals(help.code, 0);
    assertMatch(help.out, /Examples?:\n {2}\S/, path.join(" "));
  }
});

Deno.test("the name of a queue is told, and not obeyed by the terminal", async () => {
  const { code, err } = await dashi(["delete", "a\x1b[2Jb\nc", "--yes"], {
    DASHI_URL: "memory://told",
  });
  assertEquals(code, 0);
  assertEquals(
    err,
    'dashi: there was no queue "a\\u001b[2Jb\\nc": look at the spelling\n',
  );
});

Deno.test("on a terminal there are tables, as wide as that, and what a message says is not obeyed", async () => {
  const url = "memory://tables";
  await using connection = createConnection(url);
  const queue = new Queue("some queue");
  await connection.send(queue, `\x1b[2J${"long ".repeat(100)}`);
  const list = await onTerminal(["list"], url, 80);
  assertEquals(list.code, 0);
  assertEquals(list.out.split("\n").map((each) => each.slice(0, 17)), [
    "QUEUE       READY",
    "some queue      1",
    "",
  ]);
  const peek = await onTerminal(["peek", "some queue"], url, 100);
  assert(!peek.out.includes("\x1b"));
  assert(peek.out.includes("\\u001b[2Jlong"));
  const [, row = ""] = peek.out.split("\n");
  assertEquals(row.length, 100);
  assert(row.endsWith("…"));
  const json = await onTerminal(["--json", "peek", "some queue"], url, 100);
  assertMatch(JSON.parse(json.out).payload, /long $/);
  const doctor = await onTerminal(["doctor"], url, 80);
  assertMatch(doctor.out, /transport: +memory\n/);
  const missing = await onTerminal(["peek", "other queue"], url, 80);
  assertEquals(missing.code, 1);
  assertMatch(missing.err, /"other queue".*\n.*spelling/);
});

Deno.test("dashi delete deletes several, and one that stays does not keep the others", async () => {
  const url = "memory://several-of-dashi";
  await using connection = createConnection(url);
  await connection.declare(
    ["first", "full", "fuller", "last"].map((name) => new Queue(name)),
  );
  await using producer = connection.producer();
  for (const routingKey of ["full", "fuller"]) {
    await producer.publish(1, { routingKey });
  }
  const names = ["first", "full", "gone", "fuller", "last"];
  const args = ["--json", "delete", ...names, "--if-empty", "--yes"];
  const { code, out, err } = await onTerminal(args, url, 80);
  assertEquals(code, 1);
  assertEquals(out.trim().split("\n").map((each) => JSON.parse(each)), [
    { done: "deleted", name: "first", messages: 0 },
    { done: "missing", name: "gone" },
    { done: "deleted", name: "last", messages: 0 },
  ]);
  assertMatch(err, /no queue "gone"[^]*"full"[^]*"fuller"/);
  const left: string[] = [];
  for await (const { name } of connection.inspect().queues()) left.push(name);
  assertEquals(left.sort(), ["full", "fuller"]);
});

Deno.test("dashi declares, binds, publishes to an exchange, purges and deletes", async () => {
  const url = "memory://tables-of-dashi";
  await using connection = createConnection(url);
  const dashi = async (...args: readonly string[]) => {
    const { code, out, err } = await onTerminal(["--json", ...args], url, 80);
    assertEquals([code, err], [0, ""], args.join(" "));
    return out.trim().split("\n").filter((each) => each !== "")
      .map((each) => JSON.parse(each));
  };
  const own = ["--argument", "x-max-length=2", "--argument", "x-note=two"];
  assertEquals(await dashi("declare", "video", ...own), [
    { done: "declared", name: "video", messages: 0 },
  ]);
  await dashi("declare", "media", "--exchange", "topic");
  await dashi("bind", "video", "media", "video.#");
  const { declaration } = await connection.inspect().queue("video");
  assertEquals(declaration?.arguments, { "x-max-length": 2, "x-note": "two" });
  await dashi("publish", "video.new", "1", "--exchange", "media");
  const [row] = await dashi("peek", "video");
  assertEquals([row.payload, row.exchange], [1, "media"]);
  assertEquals(
    (await dashi("list", "bindings")).map(({ source, routingKey }) => [
      source,
      routingKey,
    ]),
    [["media", "video.#"]],
  );
  const misspelt = ["--json", "unbind", "video", "media", "vidoe.#"];
  const missing = await onTerminal(misspelt, url, 80);
  assertEquals(missing.out, '{"done":"missing","name":"video"}\n');
  assertMatch(missing.err, /"video" was not bound .*"media".*"vidoe\.#"/);
  assertEquals(await dashi("unbind", "video", "media", "video.#"), [
    { done: "unbound", name: "video" },
  ]);
  assertEquals(await dashi("list", "bindings"), []);
  await dashi("publish", "video", "2");
  const full = await onTerminal(
    ["delete", "video", "--if-empty", "--yes"],
    url,
    80,
  );
  assertEquals([full.code, full.out], [1, ""]);
  assertMatch(full.err, /^dashi: .*"video" if empty: it has messages\n$/);
  assertEquals(await dashi("purge", "video", "--yes"), [{ purged: 2 }]);
  const empty = ["delete", "video", "--if-empty", "--yes"];
  assertEquals(await dashi(...empty), [
    { done: "deleted", name: "video", messages: 0 },
  ]);
  await dashi("delete", "media", "--exchange", "--yes");
  assertEquals(await dashi("list"), []);
  for (const [kind, ...option] of [["queue"], ["exchange", "--exchange"]]) {
    const gone = ["--json", "delete", "video", "--yes", ...option];
    const { code, out, err } = await onTerminal(gone, url, 80);
    assertEquals([code, out], [0, '{"done":"missing","name":"video"}\n']);
    assertEquals(
      err,
      `dashi: there was no ${kind} "video": look at the spelling\n`,
    );
  }
});

/** Each broker on which a day's work is done. RabbitMQ lists by its management API alone. */
const BROKERS = [
  ["Redis", Deno.env.get("DASHI_TEST_REDIS_URL"), true],
  ["Redis Cluster", Deno.env.get("DASHI_TEST_REDIS_CLUSTER_URL"), true],
  ["RabbitMQ", Deno.env.get("DASHI_TEST_AMQP_URL"), false],
] as const;

for (const [broker, url, lists] of BROKERS) {
  Deno.test({
    name: `dashi publishes, peeks, gets, and redrives on ${broker}${
      url === undefined ? " (there is no broker)" : ""
    }`,
    ignore: url === undefined,
    fn: () => work(url ?? "", lists),
  });
}

async function work(url: string, lists: boolean): Promise<void> {
  const variables = { DASHI_URL: url };
  const name = `dashi-cli-${crypto.randomUUID()}`;
  const failed = `${name}.failed`;
  await using connection = createConnection(url, { onUnhandled: () => {} });
  const queue = new Queue(name);
  await connection.declare(queue);
  try {
    const published = await dashi(
      ["publish", name, "--ndjson", "--header", "tenant=7"],
      variables,
      '{"id":1}\n{"id":2}\n',
    );
    assertEquals([published.code, published.err], [0, ""]);
    assertEquals(published.rows, [{ published: 2, failed: 0 }]);

    const peeked = await dashi(["peek", name, "-n", "1"], variables);
    assertEquals(peeked.code, 0);
    const [{ payload, headers, taken, queue: from }] = peeked.rows;
    assertEquals([payload, headers.tenant, from], [{ id: 1 }, "7", name]);
    assertEquals(taken, !lists);

    const list = await dashi(["list"], variables);
    if (lists) {
      const row = list.rows.find((each) => each.name === name);
      assertEquals([row?.ready, row?.unacked], [2, 0]);
    } else {
      assertEquals([list.code, list.out], [1, ""]);
      assertMatch(list.err, /DASHI_MANAGEMENT_URL/);
    }

    const consumer = connection.consumer(queue);
    let count = 0;
    await consumer.run(() => {
      if (++count === 2) queueMicrotask(() => void consumer.close());
      throw new TypeError("no such customer");
    }, { retry: { attempts: 1 } });

    if (lists) {
      const { rows } = await dashi(["dlq", "list"], variables);
      const row = rows.find((each) => each.name === failed);
      assertEquals([row?.ready, row?.of], [2, [name]]);
    }
    const shown = await dashi(["dlq", "show", failed, "-n", "1"], variables);
    const [letter] = shown.rows;
    assertEquals(letter.from, name);
    assertEquals(letter.failure, "TypeError: no such customer");
    assertEquals(letter.deaths[0].reason, "rejected");

    const plan = await dashi(
      ["dlq", "redrive", failed, "--dry-run"],
      variables,
    );
    assertEquals(plan.rows, [{ to: name, messages: 2 }]);
    const limited = ["dlq", "redrive", failed, "--limit", "1"];
    const redriven = await dashi(limited, variables);
    assertEquals([redriven.code, ...redriven.rows], [0, { moved: 1, kept: 0 }]);
    const purged = await dashi(["dlq", "purge", failed, "--yes"], variables);
    assertEquals([purged.code, ...purged.rows], [0, { purged: 1 }]);

    const kept = await dashi(["get", name, "--keep"], variables);
    assertEquals([kept.code, kept.rows.length], [0, 1]);
    const got = await dashi(["get", name, "-n", "5"], variables);
    assertEquals(got.rows.map((each) => each.headers.tenant), ["7"]);
    const { messageCount } = await connection.queueStatus(name);
    assertEquals(messageCount, 0);
  } finally {
    await connection.delete(queue);
    await connection.delete(failed);
  }
}

Deno.test("a queue that has nothing to show is told to be empty", async () => {
  const url = "memory://nothing-to-show";
  await using connection = createConnection(url);
  await connection.declare(new Queue("empty"));
  for (const args of [["peek"], ["get"], ["dlq", "show"]]) {
    const { code, err } = await onTerminal([...args, "empty"], url, 80);
    assertEquals(
      [code, err],
      [0, 'dashi: queue "empty" has no message that is ready\n'],
    );
  }
});

Deno.test("a payload that is too deep for JSON.stringify is shown as bytes, and the others as they are", async () => {
  const url = `memory://${crypto.randomUUID()}`;
  await using connection = createConnection(url);
  await connection.declare(new Queue("deep"));
  const bodyOf = (levels: number) => "[".repeat(levels) + "]".repeat(levels);
  for (const body of ["1", bodyOf(20_000), bodyOf(1000)]) {
    const contentType = "application/json";
    const bytes = new TextEncoder().encode(body);
    await connection.send("deep", bytes, { contentType });
  }
  for (const command of [["peek", "deep"], ["dlq", "show", "deep"]]) {
    const args = ["--json", ...command];
    const { code, out, err } = await onTerminal(args, url, 80);
    assertEquals([code, err], [0, ""]);
    const rows = out.trim().split("\n").map((each) => JSON.parse(each));
    assertEquals(rows.map(({ payload }) => typeof payload), [
      "number",
      "undefined",
      "object",
    ]);
    assertEquals(rows[1].error, "its payload has more than 1000 levels");
    assertEquals(atob(rows[1].body), bodyOf(20_000));
  }
});

Deno.test("dashi --version prints the version of the package, without a URL", async () => {
  const { version } = JSON.parse(
    await Deno.readTextFile(new URL("../../deno.json", import.meta.url)),
  );
  for (const args of [["--version"], ["-V"], ["dlq", "list", "--version"]]) {
    const { code, out, err } = await onTerminal(args, "", 80);
    assertEquals([code, out, err], [0, `${version}\n`, ""]);
  }
});

Deno.test("the help of each command has the options that all commands take", async () => {
  const { code, out } = await onTerminal(["dlq", "show", "--help"], "", 80);
  assertEquals(code, 0);
  assertMatch(out, /Global Options:\n +--url <url>[^]*--timeout[^]*--json/);
});

Deno.test("an argument that a queue cannot have is not taken for one that is there", async () => {
  const args = ["declare", "q", "--argument", "x-max-length=abc"];
  const { code, err } = await onTerminal(args, "memory://none", 80);
  assertEquals(code, 1);
  assertMatch(
    err,
    /"x-max-length" "abc": it must be .*\nIf it is there already/,
  );
});

Deno.test("what cannot be followed is told to be no exchange and no queue", async () => {
  const { code, err } = await onTerminal(["tail", "x"], "memory://none", 80);
  assertEquals(code, 1);
  assertMatch(
    err,
    /Cannot follow "x": there is no exchange .*, and no queue\n/,
  );
});

Deno.test("publish says that broken JSON is sent as text", async () => {
  const url = `memory://${crypto.randomUUID()}`;
  await using connection = createConnection(url);
  await connection.declare(new Queue("orders"));
  for (
    const [payload, words] of [['{"id":', /is none/], ["hi", /^$/]] as const
  ) {
    const args = ["publish", "orders", payload];
    const { code, err } = await onTerminal(args, url, 80);
    assertEquals(code, 0);
    assertMatch(err, words);
  }
});

Deno.test("a queue that is not there is to be looked up in the list", async () => {
  for (const args of [["peek", "q"], ["publish", "q", "1"]]) {
    const { code, err } = await onTerminal(args, "memory://none", 80);
    assertEquals(code, 1);
    assertMatch(
      err,
      /"q": there is no such queue.*\nLook at the spelling; dashi list shows what is there\.\n$/,
    );
  }
});
