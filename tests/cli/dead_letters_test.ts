import { assert, assertEquals, assertMatch } from "@std/assert";
import {
  type Connection,
  createConnection,
  Queue,
  type QueueInfo,
} from "@dashi/mq";
import { until } from "../brokers/server.ts";
import { dashiHere } from "./moving.ts";
import { lettersIn } from "../../cli/dead_letters.ts";
import { onTerminal } from "./running.ts";
import { Raw, test } from "../support/redis.ts";
import { askUi, ownHeaders, startUi } from "../support/ui.ts";

/** Four dead letters: two of each queue, of two customers. */
async function fail(connection: Connection, dead: string): Promise<void> {
  for (const name of ["orders", "bills"]) {
    const queue = new Queue(name, { deadLetter: dead });
    const consumer = connection.consumer(queue);
    for (const customer of [7, 8]) {
      await connection.send(queue, { customer: { id: customer } }, {
        messageId: `${name}-${customer}`,
        headers: { "x.tenant": name === "orders" ? "acme" : "other" },
      });
    }
    let count = 0;
    await consumer.run(() => {
      if (++count === 2) queueMicrotask(() => void consumer.close());
      throw new Error(count === 1 ? "Timeout of 5 s" : "no such customer");
    }, { retry: { attempts: 1 } });
  }
}

async function withLetters(
  run: (
    connection: Connection,
    dashi: (
      ...args: readonly string[]
      // deno-lint-ignore no-explicit-any -- of whatever the program writes
    ) => Promise<{ code: number; err: string; rows: any[] }>,
  ) => Promise<void>,
): Promise<void> {
  const url = `memory://${crypto.randomUUID()}`;
  await using connection = createConnection(url, { onUnhandled: () => {} });
  await fail(connection, "dead");
  await run(connection, async (...args) => {
    const { code, out, err } = await onTerminal(["--json", ...args], url, 80);
    const lines = out.split("\n").filter((each) => each !== "");
    return { code, err, rows: lines.map((each) => JSON.parse(each)) };
  });
}

for (
  const [filters, ids] of [
    [["from=orders"], ["orders-7", "orders-8"]],
    [["from!=orders"], ["bills-7", "bills-8"]],
    [["failure~timeout"], ["orders-7", "bills-7"]],
    [["payload.customer.id=8"], ["orders-8", "bills-8"]],
    [["headers.x.tenant=acme", "attempt=1"], ["orders-7", "orders-8"]],
    [["from=orders", "failure~customer"], ["orders-8"]],
    [['payload~{"id":7}', "id~bills"], ["bills-7"]],
    [["headers.missing=1"], []],
    [["headers.missing!=1", "reason=rejected", "id=bills-8"], ["bills-8"]],
  ] as const
) {
  Deno.test(`dlq show --filter ${filters.join(" ")} shows ${ids.join(", ") || "none"}`, () =>
    withLetters(async (_, dashi) => {
      const options = filters.flatMap((each) => ["--filter", each]);
      const { code, rows } = await dashi("dlq", "show", "dead", ...options);
      assertEquals([code, rows.map(({ id }) => id)], [0, ids]);
    }));
}

Deno.test("dlq show shows the one message that an id means, wherever it stands", () =>
  withLetters(async (_, dashi) => {
    const show = ["dlq", "show", "dead", "--id"];
    for (const id of ["bills-8", "orders-7"]) {
      const { code, rows } = await dashi(...show, id);
      assertEquals([code, rows.map((each) => each.id)], [0, [id]]);
    }
    const other = ["--filter", "from=orders"];
    const missing = [
      await dashi(...show, "orders-9"),
      await dashi(...show, "bills-8", ...other),
    ];
    for (const { code, rows, err } of missing) {
      assertEquals([code, rows], [1, []]);
      assertMatch(err, /none of the \d messages .* has the id/);
    }
  }));

Deno.test("dlq redrive puts back what a filter or an id means, and the others keep their order", () =>
  withLetters(async (connection, dashi) => {
    const redrive = ["dlq", "redrive", "dead"];
    const plan = await dashi(...redrive, "--filter", "id~7", "--dry-run");
    assertEquals(plan.rows, [
      { to: "orders", messages: 1 },
      { to: "bills", messages: 1 },
    ]);
    const one = await dashi(...redrive, "--id", "orders-8");
    assertEquals([one.code, one.rows], [0, [{
      moved: 1,
      kept: 0,
      skipped: 1,
    }]]);
    const timeouts = await dashi(
      ...[...redrive, "--filter", "failure~timeout", "--rate", "1000/s"],
      ...["--limit", "1"],
    );
    assertEquals(timeouts.rows, [{ moved: 1, kept: 0, skipped: 0 }]);
    const left = await dashi("dlq", "show", "dead");
    assertEquals(left.rows.map(({ id }) => id), ["bills-7", "bills-8"]);
    const { messageCount } = await connection.queueStatus("orders");
    assertEquals(messageCount, 2);
    const missing = await dashi(...redrive, "--id", "orders-9");
    assertEquals([missing.code, missing.rows], [1, []]);
    assertMatch(missing.err, /none of the 2 messages .*"orders-9"/);
  }));

Deno.test("dlq drop removes what a filter or an id means, and the others keep their order", () =>
  withLetters(async (connection, dashi) => {
    const drop = ["dlq", "drop", "dead", "--yes"];
    const one = await dashi(...drop, "--id", "orders-8");
    assertEquals([one.code, one.rows], [0, [{ dropped: 1, skipped: 1 }]]);
    const all = await dashi(...drop, "--filter", "from=bills");
    assertEquals(all.rows, [{ dropped: 2, skipped: 1 }]);
    const missing = await dashi(...drop, "--id", "orders-8");
    assertEquals([missing.code, missing.rows], [1, []]);
    const dead = connection.queue("dead");
    const rest = await dead.peek();
    assertEquals(rest.map((each) => each.properties.messageId), ["orders-7"]);
    assert(!rest[0]?.taken);
  }));

Deno.test("dlq redrive of a queue that is not there says so, and that it was to be redriven", () =>
  withLetters(async (_, dashi) => {
    const { code, err } = await dashi("dlq", "redrive", "ded");
    assertEquals(code, 1);
    assertMatch(err, /Cannot redrive .*"ded": there is no such queue\n/);
  }));

Deno.test("a queue without dead letters says so, and prints no table", async () => {
  const url = `memory://${crypto.randomUUID()}`;
  await using connection = createConnection(url);
  await connection.declare(new Queue("dead"));
  const told = 'dashi: queue "dead" has no message that is ready\n';
  for (
    const [args, out] of [
      [["dlq", "show", "dead"], ""],
      [["dlq", "redrive", "dead", "--dry-run"], ""],
      [["dlq", "redrive", "dead"], "MOVED  KEPT\n    0     0\n"],
    ] as const
  ) {
    assertEquals(await onTerminal(args, url, 80), { code: 0, out, err: told });
  }
  const bindings = await onTerminal(["list", "bindings"], url, 80);
  assertEquals([bindings.code, bindings.out], [0, ""]);
  assertEquals(bindings.err, "dashi: there are no bindings\n");
});

const beanstalk = Deno.env.get("DASHI_TEST_BEANSTALK_URL");
Deno.test({
  name: "dlq redrive and drop of a tube that is empty end well on beanstalkd",
  ignore: beanstalk === undefined,
  fn: async () => {
    const name = `dashi-${crypto.randomUUID()}`;
    const url = beanstalk ?? "";
    await using connection = createConnection(url);
    await connection.send(name, 1);
    const redrive = ["dlq", "redrive", name, "--to", `${name}.b`, "--json"];
    const drop = ["dlq", "drop", name, "--filter", "id=7", "--yes", "--json"];
    try {
      for (
        const [args, row] of [
          [redrive, { moved: 1, kept: 0 }],
          [redrive, { moved: 0, kept: 0 }],
          [drop, { dropped: 0, skipped: 0 }],
        ] as const
      ) {
        const { code, out } = await onTerminal(args, url, 80);
        assertEquals([code, JSON.parse(out)], [0, row]);
      }
    } finally {
      await connection.delete(`${name}.b`);
    }
  },
});

Deno.test("dlq redrive that is interrupted gives back what it holds", async () => {
  const url = `memory://${crypto.randomUUID()}`;
  await using connection = createConnection(url, { onUnhandled: () => {} });
  await fail(connection, "dead");
  const left = async (of: string) =>
    (await connection.queueStatus(of)).messageCount;
  let interrupt = () => {};
  const redriving = dashiHere(
    ["dlq", "redrive", "dead", "--filter", "id~8", "--rate", "1/h"],
    { from: url, onInterrupt: (call) => interrupt = call },
  );
  const isUnderWay = async () => await left("orders") > 0;
  await until("the first, which goes at once", 60_000, isUnderWay);
  interrupt();
  const { code, rows, err } = await redriving;
  assertEquals([code, rows.length, rows[0]?.moved], [130, 1, 1]);
  assertMatch(err, /interrupted.*run it again/);
  assertEquals([await left("orders"), await left("dead")], [1, 3]);
});

Deno.test("dlq redrive says why some are kept, and how to put them somewhere", async () => {
  const url = `memory://${crypto.randomUUID()}`;
  await using connection = createConnection(url);
  await connection.send(new Queue("dead"), "it came from nowhere");
  const kept = await onTerminal(["dlq", "redrive", "dead"], url, 80);
  assertEquals([kept.code, kept.out], [1, "MOVED  KEPT\n    0     1\n"]);
  assertMatch(kept.err, /names no other queue.*dlq redrive dead --to QUEUE/);
});

test("dlq redrive that ends with a dead letter which cannot be written says how many were put back", async (server) => {
  await using raw = new Raw(server.port);
  await using connection = createConnection(server.url);
  await connection.declare([new Queue("dead"), new Queue("jobs")]);
  // No broker of ours takes its priority.
  await raw.send(
    "LPUSH",
    "dead",
    '{"properties": {"priority": 300, "delivery_info": {"exchange": "", "routing_key": "dead"}, "body_encoding": "base64", "delivery_tag": "1"}, "headers": {}, "content-type": "application/json", "content-encoding": "utf-8", "body": "MQ=="}',
  );
  const numbers = Array.from({ length: 30 }, (_, i) => i);
  await connection.producer({ queue: "dead" }).publishAll(numbers);
  const redriven = await dashiHere(
    ["dlq", "redrive", "dead", "--to", "jobs"],
    { from: server.url },
  );
  assertEquals([redriven.code, ...redriven.rows], [1, { moved: 30, kept: 1 }]);
  assertMatch(redriven.err, /priority 300/);
  assertEquals((await connection.queueStatus("jobs")).messageCount, 30);

  await connection.producer({ queue: "dead" }).publishAll(numbers);
  await using ui = await startUi([server.url]);
  const { status, text } = await askUi(ui.port, "/redrive", {
    method: "POST",
    headers: ownHeaders(ui),
    body: JSON.stringify({ broker: 0, queue: "dead", to: "jobs" }),
  });
  const { error } = JSON.parse(text);
  assertEquals(status, 400);
  assertMatch(error, /^30 messages were redriven before this: .*priority 300/);
});

Deno.test("a queue has dead letters if another one names it, or if its name says so", () => {
  const names = [
    ...["orders", "orders.failed", "bills-dead", "bills", "x_dlq", "X-DLQ"],
    ...["a.dead-letters", "a", "deadlock", "dead", "failed", "the.undead"],
  ];
  const queues = names.map((name) => looked(name));
  assertEquals([...lettersIn(queues, [])], [
    ["orders.failed", ["orders"]],
    ["bills-dead", ["bills"]],
    ["x_dlq", []],
    ["X-DLQ", []],
    ["a.dead-letters", ["a"]],
  ]);
  const table = {
    "x-dead-letter-exchange": "",
    "x-dead-letter-routing-key": "dead",
  };
  const orders = looked("orders", new Queue("orders", { arguments: table }));
  assertEquals([...lettersIn([orders, looked("dead")], [])], [
    ["dead", ["orders"]],
  ]);
});

Deno.test("the queue that delayed messages of RabbitMQ are for has no dead letters for that, nor have those where they wait", () => {
  const delivery = "dashi_delayed_delivery";
  const delays = [["dashi_delayed_0", delivery], [
    "dashi_delayed_1",
    "dashi_delayed_0",
  ]]
    .map(([name = "", exchange]) =>
      looked(
        name,
        new Queue(name, {
          arguments: { "x-dead-letter-exchange": exchange ?? "" },
        }),
      )
    );
  const bindings = [[delivery, "orders"], [
    "dashi_delayed_0",
    "dashi_delayed_0",
  ]]
    .map(([source = "", name = ""]) => ({
      source,
      destination: { kind: "queue", name } as const,
      routingKey: "",
      arguments: {},
    }));
  const queues = [...delays, looked("orders"), looked("orders.failed")];
  assertEquals([...lettersIn(queues, bindings)], [
    ["orders.failed", ["orders"]],
  ]);
});

Deno.test("a queue to which its own dead letters come back, when they have waited, has none itself", () => {
  const to = (name: string, ttl?: number) => ({
    "x-dead-letter-exchange": "",
    "x-dead-letter-routing-key": name,
    ...ttl && { "x-message-ttl": ttl },
  });
  const jobs = new Queue("jobs", { arguments: to("jobs.wait") });
  const wait = new Queue("jobs.wait", { arguments: to("jobs", 5000) });
  const bills = new Queue("bills", { arguments: to("expired", 5000) });
  const queues = [jobs, wait, bills].map((each) => looked(each.name, each));
  assertEquals([...lettersIn([...queues, looked("expired")], [])], [
    ["jobs.wait", ["jobs"]],
    ["expired", ["bills"]],
  ]);
});

/** A queue as it is when one looks in. */
function looked(name: string, declaration?: Queue): QueueInfo {
  const none = { delayed: 0, unacked: 0, consumers: 0, bytes: 0 };
  return { name, declaration, ready: 0, oldestAge: undefined, ...none };
}

/** Brokers that do not know which queue names which. */
for (
  const [broker, url, written] of [
    ["SQS", Deno.env.get("DASHI_TEST_SQS_URL"), "-"],
    ["beanstalkd", Deno.env.get("DASHI_TEST_BEANSTALK_URL"), "."],
  ] as const
) {
  Deno.test({
    name: `dlq list finds a queue of dead letters on ${broker}${
      url === undefined ? " (there is no broker)" : ""
    }`,
    ignore: url === undefined,
    fn: () => listed(url ?? "", written),
  });
}

async function listed(url: string, written: string): Promise<void> {
  await using connection = createConnection(url);
  const name = `dashi-letters-${crypto.randomUUID()}`;
  const queues = [name, `${name}.dead`];
  for (const each of queues) await connection.send(new Queue(each), 1);
  try {
    const args = ["dlq", "list", "--json"];
    const { code, out } = await onTerminal(args, url, 80);
    const rows = out.trim().split("\n").map((each) => JSON.parse(each));
    const row = rows.find((each) => each.name === `${name}${written}dead`);
    assertEquals([code, row?.ready, row?.of], [0, 1, [name]]);
  } finally {
    for (const each of queues) await connection.delete(each);
  }
}

Deno.test("a table is cut to the terminal's width, and not where that tells none", async () => {
  const url = `memory://${crypto.randomUUID()}`;
  await using connection = createConnection(url);
  await connection.declare(new Queue("orders", { deadLetter: "orders.dead" }));
  const widths = [40, 0].map(async (columns) => {
    const { out } = await onTerminal(["dlq", "list"], url, columns);
    return out.split("\n").map((each) => each.trimEnd());
  });
  assertEquals(await Promise.all(widths), [
    [
      "QUEUE        READY  OLDEST S  OF",
      "orders.dead      0            orders",
      "",
    ],
    [
      "QUEUE        READY  OLDEST S  OF",
      "orders.dead      0            orders",
      "",
    ],
  ]);
  const narrow = await onTerminal(["dlq", "list"], url, 24);
  assertEquals(narrow.out.split("\n")[0], "QUEUE        READY  OLD…");
  const messageId = "order-7-of-customer-12";
  await connection.send("orders.dead", { id: 7 }, { messageId });
  for (
    const [columns, words] of [[60, /^dashi: .*--json/], [0, /^$/]] as const
  ) {
    const args = ["dlq", "show", "orders.dead"];
    const { out, err } = await onTerminal(args, url, columns);
    assertEquals(out.includes(messageId), columns === 0);
    assertMatch(err, words); // how to see the id
  }
});

Deno.test("dlq list that finds none says by what it looked", async () => {
  const url = `memory://${crypto.randomUUID()}`;
  await using connection = createConnection(url);
  await connection.declare(new Queue("orders"));
  const { code, err } = await onTerminal(["dlq", "list"], url, 80);
  assertEquals(code, 0);
  assertMatch(err, /none of the 1 queues .*\.dlq; dashi list shows all/);
});
