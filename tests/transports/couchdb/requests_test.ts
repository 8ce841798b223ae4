/** The requests of the CouchDB transport: how often it makes them, and how it resolves a conflict. */

import { assert, assertEquals } from "@std/assert";
import { type Connection, createConnection, Queue } from "@dashi/mq";
import { HttpRelay } from "../../support/http_relay.ts";
import { assertNothingLeft, resources } from "../../support/leaks.ts";

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

test("messages that were held come again at once, though the next connection was lost when it took them back", async ({ relay, queue, open }) => {
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
  for (const each of queues) assertEquals(await each.getNoWait(), undefined);
  await producer.publish("one", { routingKey: "q" });
  // Both have read it before either claims it.
  const { promise: both, resolve } = Promise.withResolvers<void>();
  let claims = 0;
  relay.hold = ({ path, body }) => {
    if (!path.endsWith("/_bulk_docs") || !body.includes('"holder"')) return;
    if (++claims === 2) resolve();
    return both;
  };
  const got = await Promise.all(queues.map((each) => each.getNoWait()));
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
  assertEquals((await takers[0]?.declare(queue))?.messageCount, 0);
});

test("a consumer that waits asks for the feed of changes once, and for nothing else until something comes", async ({ relay, queue, open }) => {
  const producer = open(true).producer<string>({ declare: [queue] });
  await producer.publish("first", { routingKey: "q" });
  const consumer = open().consumer<string>(queue);
  const iterator = consumer[Symbol.asyncIterator]();
  await (await iterator.next()).value?.ack();
  const next = iterator.next();
  await relay.until("/_changes", 1);
  // Requests that it makes before it waits have been made when two seconds bring no more.
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

test("a deletion that is slow leaves alone what is put into a new queue of the name", async ({ relay, queue, open }) => {
  await using deleting = await open().channel();
  const other = open(true);
  const producer = other.producer<string>({ declare: [queue] });
  await producer.publish("old", { routingKey: "q" });
  await using channel = await other.channel();
  // The tables say that it is gone; what lay in it is still there.
  const listing = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  relay.hold = ({ path }) => {
    if (!path.includes("_all_docs?startkey=%22m%2Fq%2F")) return undefined;
    listing.resolve();
    return goOn.promise;
  };
  const deleted = deleting.deleteQueue("q");
  await listing.promise;
  await other.declare(queue);
  const first = await channel.get("q");
  await producer.publish("new", { routingKey: "q" });
  goOn.resolve();
  await deleted;
  assertEquals(first, undefined, "it was of the queue that was deleted");
  const second = await channel.get("q");
  assert(second !== undefined, "the new one is there");
  assertEquals(new TextDecoder().decode(second.body), "new");
  await channel.ack(second.deliveryTag);
});

test("messages that somebody holds are left alone by processes whose server's clock is an hour ahead", async ({ relay, queue, open }) => {
  const holder = open(true);
  const producer = holder.producer<string>({ declare: [queue] });
  await producer.publish("held", { routingKey: "q" });
  await using channel = await holder.channel();
  const held = await channel.get("q");
  assert(held !== undefined, "it is there");
  relay.ahead = 3_600_000;
  const iterator = open().consumer<string>(queue)[Symbol.asyncIterator]();
  const next = iterator.next();
  // It looks who holds messages, before it takes any.
  await relay.until("/_all_docs?startkey=%22h%2F%22", 1);
  await producer.publish("next", { routingKey: "q" });
  const { value } = await next;
  assertEquals(value?.payload, "next");
  await value?.ack();
  await channel.ack(held.deliveryTag);
  assertEquals((await holder.declare(queue)).messageCount, 0);
  await iterator.return?.();
});
