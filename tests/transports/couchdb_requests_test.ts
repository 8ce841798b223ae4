/** What the CouchDB transport asks for: how often, and what it makes of a conflict. */

import { assert, assertEquals } from "@std/assert";
import { type Connection, createConnection, Queue } from "@dashi/mq";
import { HttpRelay } from "../support/http_relay.ts";
import { assertNothingLeft, resources } from "../support/leaks.ts";

const given = Deno.env.get("DASHI_TEST_COUCHDB_URL");
const reason = Deno.env.get("DASHI_TEST_COUCHDB_REASON") ??
  "there is no broker";

interface Stage {
  readonly relay: HttpRelay;
  readonly queue: Queue;
  /** Opens a connection, through the relay unless it is to be `directly`. */
  open(directly?: boolean): Connection;
}

function test(name: string, run: (stage: Stage) => Promise<void>): void {
  Deno.test({
    name: `couchdb: ${name}${given === undefined ? ` (${reason})` : ""}`,
    ignore: given === undefined,
    fn: async () => {
      const before = resources();
      const url = (given ?? "couchdb://").replace(
        /\/[^/]*$/,
        `/t${crypto.randomUUID()}`,
      );
      {
        await using relay = new HttpRelay(url);
        const connections: Connection[] = [];
        try {
          await run({
            relay,
            queue: new Queue("q"),
            open(directly = false) {
              const connection = createConnection(
                directly ? url : relay.urlOf(url),
                { connectTimeout: 15_000 },
              );
              connections.push(connection);
              return connection;
            },
          });
        } finally {
          relay.hold = () => undefined;
          for (const each of connections) await each.close();
        }
      }
      await assertNothingLeft(before);
    },
  });
}

for (const status of [400, 404]) {
  test(`a gateway that answers ${status} in CouchDB's place for a while is no refusal`, async ({ relay, queue, open }) => {
    const connection = open();
    const producer = connection.producer<number>({ declare: [queue] });
    await producer.publish(1, { routingKey: "q" });
    const iterator = connection.consumer<number>(queue)[Symbol.asyncIterator]();
    const first = await iterator.next();
    await first.value?.ack();
    let answered = 0;
    const often = Promise.withResolvers<void>();
    relay.hold = () => {
      if (++answered === 3) often.resolve();
      return Promise.resolve(new Response(null, { status }));
    };
    const publishing = producer.publish(2, { routingKey: "q" });
    await often.promise;
    relay.hold = () => undefined;
    await publishing;
    const second = await iterator.next();
    assertEquals(second.value?.payload, 2);
    await second.value?.ack();
    await iterator.return?.();
  });
}

test("what was held comes again at once, though the next connection was lost when it took it back", async ({ relay, queue, open }) => {
  const connection = open();
  const producer = connection.producer<number>({ declare: [queue] });
  await producer.publish(1, { routingKey: "q" });
  const iterator = connection.consumer<number>(queue, { prefetch: 1 })
    [Symbol.asyncIterator]();
  const first = await iterator.next();
  const again = iterator.next();
  let losses = 0;
  let isNext = true;
  relay.hold = ({ body }) => {
    const isLost = isNext && losses < 2;
    // The second is right after the first step of taking back.
    isNext = body.includes('"missed":true');
    if (!isLost) return undefined;
    losses++;
    return Promise.resolve(new Response(null, { status: 503 }));
  };
  const began = performance.now();
  await producer.publish(2, { routingKey: "q" });
  const second = await again;
  assertEquals([second.value?.payload, losses], [first.value?.payload, 2]);
  assert(performance.now() - began < 15_000); // half of a lease
  await second.value?.ack();
  await iterator.return?.();
});

test("publishes, claims and acks of one turn are one write each", async ({ relay, queue, open }) => {
  const connection = open();
  const producer = connection.producer<number>({ declare: [queue] });
  await producer.publish(0, { routingKey: "q" });
  const taken = async (count: number) => {
    const acks: Promise<void>[] = [];
    for await (const message of connection.consumer(queue, { prefetch: 300 })) {
      acks.push(message.ack());
      if (acks.length === count) break;
    }
    await Promise.all(acks);
  };
  await taken(1);
  relay.requests.length = 0;
  await Promise.all(
    Array.from(
      { length: 300 },
      (_, i) => producer.publish(i, { routingKey: "q" }),
    ),
  );
  const counts = () =>
    relay.of("/_bulk_docs").map(({ body }) => JSON.parse(body).docs.length);
  assertEquals(counts(), [300]);
  relay.requests.length = 0;
  await taken(300);
  // Their names, claims and acks; and what a consumer says of itself.
  const large = counts().filter((count) => count > 10);
  assertEquals(large.reduce((sum, count) => sum + count), 600);
  assert(counts().length <= 10, `${counts()}`);
});

test("of two who take one message at once one has it, and the other's conflict is no error", async ({ relay, queue, open }) => {
  const producer = open(true).producer<string>({ declare: [queue] });
  const takers = [open(), open()];
  const queues = takers.map((each) => each.simpleQueue<string>(queue));
  for (const each of queues) assertEquals(await each.get(), undefined);
  await producer.publish("one", { routingKey: "q" });
  // Both have read it before either claims it.
  const { promise: both, resolve } = Promise.withResolvers<void>();
  let claims = 0;
  relay.hold = ({ path, body }) => {
    if (!path.endsWith("/_bulk_docs") || !body.includes('"holder"')) return;
    if (++claims === 2) resolve();
    return both;
  };
  const got = await Promise.all(queues.map((each) => each.get()));
  const messages = got.filter((each) => each !== undefined);
  assertEquals(messages.map(({ payload }) => payload), ["one"]);
  const answers = relay.of("/_bulk_docs").filter(({ body }) =>
    body.includes('"holder"')
  ).map(({ answer = "" }) => JSON.parse(answer)[0]);
  assertEquals(answers.filter(({ rev }) => rev !== undefined).length, 1);
  assertEquals(
    answers.filter(({ error }) => error === "conflict").length,
    answers.length - 1,
  );
  assert(answers.length >= 2);
  for (const message of messages) await message.ack();
  assertEquals((await takers[0]?.declare(queue))?.[0]?.messageCount, 0);
});

test("who waits asks for the feed of changes once, and for nothing else until something comes", async ({ relay, queue, open }) => {
  const producer = open(true).producer<string>({ declare: [queue] });
  await producer.publish("first", { routingKey: "q" });
  const consumer = open().consumer<string>(queue);
  const iterator = consumer[Symbol.asyncIterator]();
  await (await iterator.next()).value?.ack();
  const next = iterator.next();
  await relay.until("/_changes", 1);
  // What it asks for before it waits has been asked for when two seconds bring no more.
  let before: number;
  do {
    before = relay.requests.length;
    await new Promise((resolve) => setTimeout(resolve, 2000));
  } while (relay.requests.length > before);
  await producer.publish("second", { routingKey: "q" });
  const { value } = await next;
  assertEquals(value?.payload, "second");
  // For the message, and the three of a beat that may fall between.
  const asked = relay.requests.length - before;
  assert(asked <= 3 + 3, `${asked} requests for one message`);
  assertEquals(relay.of("/_changes").length, 1);
  await value?.ack();
  await iterator.return?.();
});
