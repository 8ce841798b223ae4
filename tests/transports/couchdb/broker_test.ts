/** The features that only the CouchDB transport has, on the server that the runner provides. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { createConnection, type Message, Queue } from "@dashi/mq";
import { AuthenticationError, ConnectionError } from "../../../model/errors.ts";
import { databaseName } from "../../../transports/couchdb/options.ts";
import { createTransport } from "../../../transports/couchdb/mod.ts";
import { connect } from "../../conformance/broker.ts";
import { publishing, soon } from "../../conformance/support.ts";
import { Proxy } from "../../support/proxy.ts";
import { SLACK } from "../../support/slack.ts";

const given = Deno.env.get("DASHI_TEST_COUCHDB_URL");
const reason = Deno.env.get("DASHI_TEST_COUCHDB_REASON") ??
  "there is no broker";
const PATIENCE = { connectTimeout: 60_000, operationTimeout: 60_000 };

/** A database of a test's own. */
function ownUrl(name = `t${crypto.randomUUID()}`): string {
  return (given ?? "couchdb://").replace(/\/[^/]*$/, `/${name}`);
}

function test(name: string, run: () => Promise<void>): void {
  Deno.test({
    name: `couchdb: ${name}${given === undefined ? ` (${reason})` : ""}`,
    ignore: given === undefined,
    fn: run,
  });
}

/** Asks the server itself. */
async function ask(
  url: string,
  path: string,
  body?: unknown,
): Promise<Record<string, unknown>> {
  const { username, password, host, pathname } = new URL(
    url.replace(/^couchdb/, "http"),
  );
  const response = await fetch(`http://${host}${pathname}${path}`, {
    method: body === undefined ? "GET" : "POST",
    headers: {
      authorization: `Basic ${btoa(`${username}:${password}`)}`,
      "content-type": "application/json",
    },
    body: body === undefined ? null : JSON.stringify(body),
  });
  return await response.json();
}

Deno.test("databaseName() keeps what CouchDB allows, and makes one name of each other", () => {
  assertEquals(databaseName("shop_(1)+-2"), "shop_(1)+-2");
  assertEquals(databaseName("Shop"), "db$_$53hop");
  assertEquals(databaseName("a/b"), "a$2fb");
  assertEquals(databaseName("_users"), "db$__users");
  assertEquals(databaseName("é$"), "db$_$c3$a9$24");
  const names = ["/", "%2F", "$2f", "db$_$2f", "_", "1"].map(databaseName);
  assertEquals(new Set(names).size, names.length);
  for (const name of names) assert(/^[a-z][a-z0-9_$()+-]*$/.test(name), name);
});

test("8 racing consumers get each of 300 messages once", async () => {
  const url = ownUrl();
  const queue = new Queue("q");
  await using connection = createConnection(url, PATIENCE);
  const producer = connection.producer<number>({ declare: [queue] });
  const numbers = Array.from({ length: 300 }, (_, i) => i);
  await Promise.all(
    numbers.map((i) => producer.publish(i, { routingKey: "q" })),
  );
  const seen: number[] = [];
  const again: number[] = [];
  const { promise: all, resolve } = Promise.withResolvers<void>();
  const connections = numbers.slice(0, 8).map(() =>
    createConnection(url, PATIENCE)
  );
  const consumers = connections.map((each) =>
    each.consumer<number>(queue, { prefetch: 20 })
  );
  const running = consumers.map((consumer) =>
    consumer.run(({ payload, deliveryInfo }) => {
      if (deliveryInfo.redelivered) again.push(payload);
      seen.push(payload);
      if (seen.length >= numbers.length) resolve();
    })
  );
  await all;
  for (const consumer of consumers) await consumer.cancel();
  await Promise.all(running);
  for (const each of connections) await each.close();
  assertEquals(again, []);
  assertEquals(seen.toSorted((a, b) => a - b), numbers);
  assertEquals((await connection.declare(queue)).messageCount, 0);
});

test("get() takes in order what lies behind 110 messages that another holds", async () => {
  const url = ownUrl();
  const queue = new Queue("q");
  await using connection = createConnection(url, PATIENCE);
  const producer = connection.producer<number>({ declare: [queue] });
  for (let i = 0; i < 115; i++) {
    await producer.publish(i, { routingKey: "q" });
  }
  const harness = {
    transport: createTransport(),
    url,
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  const holder = await connect(harness);
  const channel = await holder.openChannel(soon());
  const { promise: full, resolve } = Promise.withResolvers<void>();
  let held = 0;
  await channel.consume("q", () => {
    if (++held === 110) resolve();
  }, { prefetch: 110, ...soon() });
  await full;
  const simple = connection.simpleQueue<number>("q");
  const taken: unknown[] = [];
  for (let i = 0; i < 5; i++) taken.push((await simple.get())?.payload);
  assertEquals(taken, [110, 111, 112, 113, 114]);
  await holder[Symbol.asyncDispose]();
});

test("a lease is renewed while a handler works, and what a killed holder had comes again", async () => {
  const url = ownUrl();
  const queue = new Queue("q");
  const options = {
    ...PATIENCE,
    // Renewed each two seconds: it bears a machine that stands still for three.
    transportOptions: { visibilityTimeout: 6000 },
  };
  await using other = createConnection(url, options);
  await other.declare(queue);
  await other.producer().publish("x", { routingKey: "q" });
  const proxy = Proxy.to(url);
  const holder = createConnection(proxy.urlOf(url), {
    ...options,
    reconnect: false,
  });
  const { value: held } = await holder.consumer<string>(queue)
    [Symbol.asyncIterator]().next();
  const arrivals: Message<string>[] = [];
  const waiting = other.consumer<string>(queue)[Symbol.asyncIterator]();
  const second = waiting.next().then(({ value }) => {
    if (value !== undefined) arrivals.push(value);
  });
  await new Promise((resolve) => setTimeout(resolve, 7000));
  assertEquals(arrivals.length, 0); // longer than the lease: still the holder's
  proxy.stall();
  await second;
  assertEquals(arrivals[0]?.deliveryInfo.redelivered, true);
  await arrivals[0]?.ack();
  proxy.heal();
  await assertRejects(async () => await held?.ack());
  await waiting.return?.();
  await holder.close();
  await proxy[Symbol.asyncDispose]();
});

test("removed documents keep nothing but their name and revision", async () => {
  const url = ownUrl();
  await using connection = createConnection(url, PATIENCE);
  await connection.declare(new Queue("q"));
  const before = await ask(url, "");
  await connection.producer().publish("x".repeat(1000), { routingKey: "q" });
  const simple = connection.simpleQueue("q");
  await (await simple.get())?.ack();
  const { results } = await ask(
    url,
    `/_changes?since=${before.update_seq}&include_docs=true`,
  );
  assert(Array.isArray(results));
  const removed = results.filter(({ deleted }) => deleted);
  assert(removed.some(({ id }) => id.startsWith("m/q/")));
  for (const { doc } of removed) {
    assertEquals(Object.keys(doc).sort(), ["_deleted", "_id", "_rev"]);
  }
});

test("a wrong password, and a port that nobody listens on, say so", async () => {
  const url = ownUrl();
  const wrong = createConnection(url.replace(":secret@", ":Wr0ng@"), {
    reconnect: false,
  });
  const error = await assertRejects(() => wrong.connect(), AuthenticationError);
  assertEquals(error.retryable, false);
  assert(!error.message.includes("Wr0ng"), error.message);
  await wrong.close();
  const nobody = createConnection("couchdb://u:Wr0ng@127.0.0.1:1/x", {
    reconnect: false,
  });
  const refused = await assertRejects(() => nobody.connect(), ConnectionError);
  assertEquals([refused.code, refused.retryable, refused.outcome], [
    "connection-failed",
    true,
    "not-sent",
  ]);
  assert(!refused.message.includes("Wr0ng"), refused.message);
  await nobody.close();
});

test("garbage goes to onInvalid and is set aside, and the good messages come", async () => {
  const url = ownUrl();
  const queue = new Queue("q");
  await using connection = createConnection(url, PATIENCE);
  await connection.declare(queue);
  await ask(url, "/_bulk_docs", {
    docs: [
      { _id: "m/q/9/0", hello: "world" },
      { _id: "m/q/9/00", envelope: "{" },
      { _id: "m/q/9/01", envelope: 7 },
    ],
  });
  await connection.producer().publish("good", { routingKey: "q" });
  const bad: string[] = [];
  await using consumer = connection.consumer<string>(queue, {
    onInvalid: (_error, message) => {
      bad.push(new TextDecoder().decode(message.body));
    },
  });
  for await (const message of consumer) {
    assertEquals(message.payload, "good");
    await message.ack();
    break;
  }
  assertEquals(bad, ['{"hello":"world"}', "{", '{"envelope":7}']);
});

for (const fault of ["cut", "stall"] as const) {
  test(`a feed that is ${fault === "cut" ? "cut" : "black-holed"} is a lost connection within bounds, and consuming goes on`, async () => {
    const url = ownUrl();
    const queue = new Queue("q");
    await using direct = createConnection(url, PATIENCE);
    await direct.declare(queue);
    const proxy = Proxy.to(url);
    const harness = {
      transport: createTransport(),
      url: proxy.urlOf(url),
      transportOptions: { visibilityTimeout: 1000 },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
    const low = await connect(harness, { heartbeat: 500 });
    const channel = await low.openChannel(soon());
    await channel.publish(publishing("", "q", "x"), soon());
    const { promise: got, resolve } = Promise.withResolvers<void>();
    const first = await channel.consume("q", () => resolve(), {
      prefetch: 10,
      ...soon(),
    });
    await got;
    const began = performance.now();
    if (fault === "cut") proxy.cut();
    else proxy.stall();
    const { type } = await low.closed;
    assertEquals(type, "lost");
    assertEquals((await first.ended).type, "lost");
    const took = performance.now() - began;
    assert(took < 5000 + SLACK, `it took ${took} ms`);
    await low[Symbol.asyncDispose]();
    proxy.heal();

    const through = createConnection(harness.url, {
      ...PATIENCE,
      transportOptions: harness.transportOptions,
      heartbeat: 500,
    });
    const messages = through.consumer<string>(queue)[Symbol.asyncIterator]();
    const before = await messages.next();
    await before.value?.ack();
    if (fault === "cut") proxy.cut();
    else {
      proxy.stall();
      setTimeout(() => proxy.heal(), 2000);
    }
    await direct.producer().publish("after", { routingKey: "q" });
    for (;;) {
      const { value } = await messages.next();
      await value?.ack().catch(() => {}); // of before the fault: it comes again
      if (value?.payload === "after") break;
    }
    await messages.return?.();
    await through.close();
    await proxy[Symbol.asyncDispose]();
  });
}
