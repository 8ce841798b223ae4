import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { createConnection, DecodeError, Queue } from "@dashi/mq";
import { nativeClient } from "@dashi/mq/nats";
import { headers } from "@nats-io/transport-node";
import { answerOf } from "../../../transports/nats/answers.ts";
import { JetStreamError, translate } from "../../../transports/nats/errors.ts";
import { parseHeaders } from "../../../transports/nats/headers.ts";
import { rejectsWith, until } from "../../conformance/support.ts";
import { testOwn as test, url } from "./own.ts";

/** One attempt, with its error as it is. */
const ONCE = { reconnect: false } as const;

test("a queue is a work-queue stream, whose messages have the body as it is", async (own) => {
  await using connection = createConnection(own.url);
  const queue = new Queue("orders.new");
  await connection.send(queue, { id: 7 }, { messageId: "seven" });
  const stream = `${own.prefix}_orders%2enew`;
  const { config } = await own.api(`STREAM.INFO.${stream}`);
  assertEquals(config?.retention, "workqueue");
  assertEquals(config?.subjects?.[0], `${own.prefix}.orders%2enew`);
  const { message } = await own.api(`STREAM.MSG.GET.${stream}`, {
    last_by_subj: `${own.prefix}.orders%2enew`,
  });
  assertEquals(atob(message?.data ?? ""), '{"id":7}');
  const head = atob(message?.hdrs ?? "");
  assert(head.includes("Dashi-Message: {"), head);
  assert(head.includes('"message_id": "seven"'), head);
});

test("what any client publishes to a queue's subject is a message", async (own) => {
  await using connection = createConnection(own.url);
  const queue = new Queue<{ id: number }>("orders");
  await connection.declare(queue);
  const given = headers();
  given.set("Content-Type", "application/json");
  given.set("tenant", "acme");
  given.set("Nats-Msg-Id", "m1");
  own.raw.publish(`${own.prefix}.orders`, '{"id":1}', { headers: given });
  own.raw.publish(`${own.prefix}.orders`, "no headers");
  for await (const message of connection.consumer(queue)) {
    assertEquals(message.payload.id, 1);
    assertEquals(message.headers.tenant, "acme");
    assertEquals(message.properties.messageId, "m1");
    await message.ack();
    break;
  }
  const plain = await connection.queue(queue.name).get();
  assertEquals(new TextDecoder().decode(plain?.body), "no headers");
  await plain?.ack();
});

test("a get() that finds nothing asks once more, for a message is confirmed before its consumer has it", async (own) => {
  await using connection = createConnection(own.url);
  const queue = new Queue<number>("orders");
  await connection.declare(queue);
  const asked: unknown[] = [];
  const requests = own.raw.subscribe(
    `$JS.API.CONSUMER.MSG.NEXT.${own.prefix}_orders.*`,
    { callback: (_, message) => void asked.push(message.json()) },
  );
  await own.raw.flush();
  assertEquals(await connection.queue(queue).get(), undefined);
  await until(() => asked.length > 1, () => "the second request");
  assertEquals(asked, [
    { batch: 1, no_wait: true },
    { batch: 1, expires: 10_000_000 },
  ]);
  requests.unsubscribe();
});

test("headers and statuses that no client of ours would write are read", async (own) => {
  await using connection = createConnection(own.url);
  const queue = new Queue("orders");
  await connection.declare(queue);
  const heads = [
    "NATS/1.0\r\na b: space\r\nDeutsch-ü: é",
    "NATS/1.0\r\n: no name\r\nno colon\r\nlf: 1\n2",
    "NATS/1.0\r\ntwice: 1\r\ntwice: 2",
    "NATS/1.0 404 No Messages",
    "NATS/1.0 503",
    "NATS/1.0 100 Idle",
  ];
  const given: Readonly<Record<string, string>>[] = [
    { "a b": "space", "Deutsch-ü": "é" },
    { "": "no name", lf: "1\n2" },
    { twice: "1, 2" },
    {},
    {},
    {},
  ];
  using socket = await Deno.connect({ port: Number(new URL(own.url).port) });
  const subject = `${own.prefix}.orders`;
  const encoder = new TextEncoder();
  let sent = 'CONNECT {"verbose":false,"headers":true}\r\n';
  for (const [i, head] of heads.entries()) {
    const length = encoder.encode(head).byteLength + 4;
    sent += `HPUB ${subject} ${length} ${length + 1}\r\n`;
    sent += `${head}\r\n\r\n${i}\r\n`;
  }
  await new Response(`${sent}PING\r\n`).body?.pipeTo(socket.writable, {
    preventClose: true,
  });
  const { length } = heads;
  const peeked = async () =>
    (await connection.queue(queue.name).peek()).map(({ headers }) => headers);
  await until(
    async () => (await peeked()).length === length,
    "all to be in the queue",
  );
  assertEquals(await peeked(), given);
  const got: unknown[] = [];
  for await (const message of connection.consumer(queue)) {
    got.push(message.headers);
    await message.ack();
    if (got.length === length) break;
  }
  assertEquals(got, given);
});

test("headers that are longer than NATS takes are carried in the body", async (own) => {
  await using connection = createConnection(own.url);
  const queue = new Queue<number>("long");
  const long = "ä".repeat(100_000);
  await connection.send(queue, 1, { headers: { long } });
  const message = await connection.queue<number>("long").get();
  assertEquals([message?.payload, message?.headers.long], [1, long]);
  await message?.ack();
});

test("messages that were put back are counted apart from those that another connection holds", async (own) => {
  await using connection = createConnection(own.url);
  await using other = createConnection(own.url);
  const queue = new Queue<number>("counted");
  for (const each of [1, 2, 3]) await connection.send(queue, each);
  const handle = connection.queue<number>("counted");
  const [first, second] = [await handle.get(), await handle.get()];
  await first?.requeue();
  const info = await other.inspect().queue("counted");
  assertEquals([info?.ready, info?.unacked], [2, 1]);
  const seen = await other.queue<number>("counted").peek();
  assertEquals(seen.map(({ payload }) => payload), [1, 3]);
  await second?.ack();
});

test("a queue that is declared again after a deletion that was cut short begins empty", async (own) => {
  await using connection = createConnection(own.url);
  const queue = new Queue<number>("again");
  await connection.send(queue, 1);
  const stream = `${own.prefix}_again`;
  const { config } = await own.api(`STREAM.INFO.${stream}`);
  await connection.delete(queue);
  // As if that process had died before it deleted the stream.
  await own.api(`STREAM.CREATE.${stream}`, {
    ...config,
    name: stream,
  });
  const options = { timeout: 30_000 };
  await own.raw.request(`${own.prefix}.again`, "old", options);
  await connection.send(queue, 2);
  assertEquals(await connection.queue("again").purge(), 1);
});

test("a stream of somebody else's is left alone, and the error says what to do", async (own) => {
  await using connection = createConnection(own.url);
  const stream = `${own.prefix}_theirs`;
  await own.api(`STREAM.CREATE.${stream}`, {
    name: stream,
    subjects: [`${own.prefix}.else`],
  });
  await rejectsWith(
    connection.declare(new Queue("theirs")),
    "precondition-failed",
    "was not made for it",
  );
  await own.api(`STREAM.INFO.${stream}`).then(({ config }) =>
    assertEquals(config?.subjects, [`${own.prefix}.else`])
  );
});

test("a stream that an operator deleted is made anew by the next publish", async (own) => {
  await using connection = createConnection(own.url);
  const queue = new Queue<number>("gone");
  const producer = connection.producer<number>({ queue });
  await producer.publish(1);
  await own.api(`STREAM.DELETE.${own.prefix}_gone`);
  await producer.publish(2);
  const message = await connection.queue<number>("gone").get();
  assertEquals(message?.payload, 2);
  await message?.ack();
});

test("the ack of what was held of a stream that an operator deleted takes no message of the new one", async (own) => {
  await using holder = createConnection(own.url);
  await using other = createConnection(own.url);
  const queue = new Queue<string>("orders");
  await holder.send(queue, "old");
  const old = await holder.queue<string>(queue.name).get();
  await own.api(`STREAM.DELETE.${own.prefix}_orders`);
  await other.send(queue, "new");
  const held = await other.queue<string>(queue.name).get();
  assertEquals([old?.payload, held?.payload], ["old", "new"]);
  await old?.ack();
  await held?.requeue();
  const again = await other.queue<string>(queue.name).get();
  assertEquals(again?.payload, "new");
  await again?.ack();
});

test("prefixes are brokers of their own, and a bad one is refused", async (own) => {
  await using connection = createConnection(own.url);
  await connection.declare(new Queue("here"));
  await using elsewhere = createConnection(`${own.url}2`);
  await rejectsWith(elsewhere.queueStatus("here"), "not-found");
  await using bad = createConnection(`${url}/a.b`, ONCE);
  await rejectsWith(bad.connect(), "option-invalid", "letters of ASCII");
  await own.api(`STREAM.DELETE.KV_${own.prefix}2`);
});

test("connection.native() is the client of NATS", async (own) => {
  await using connection = createConnection(own.url);
  const native = await connection.native(nativeClient);
  await native.flush();
});

test("a queue whose stream an operator deleted is looked at as an empty one", async (own) => {
  await using connection = createConnection(own.url);
  const queue = new Queue("looked-at");
  for (const _ of [1, 2]) {
    await connection.send(queue, 1);
    await own.api(`STREAM.DELETE.${own.prefix}_looked-at`);
    const info = await connection.inspect().queue(queue.name);
    assertEquals([info?.ready, info?.unacked], [0, 0]);
    await own.api(`STREAM.DELETE.${own.prefix}_looked-at`);
    assertEquals(await connection.queue(queue.name).peek(), []);
  }
});

Deno.test("NATS: an answer whose status says nothing is an error that says something", () => {
  const raw = parseHeaders(new TextEncoder().encode("NATS/1.0 503\r\n\r\n"));
  const answer = { subject: "_", data: new Uint8Array(), headers: raw };
  const error = assertThrows(() => answerOf(answer), JetStreamError, "nobody");
  assertMatch(
    String(Object(translate("look at queues", error)).message),
    /^Cannot look at queues: nobody answers/,
  );
  assertEquals(new JetStreamError(500, -1, "").message, "status 500");
});

test("a message that is larger than maxResponseSize is told of, and the next comes", async (own) => {
  await using sender = createConnection(own.url);
  const queue = new Queue<string>("large");
  const large = "x".repeat(1_000_000);
  for (const each of [large, "small", large, "last"]) {
    await sender.send(queue, each);
  }
  await using connection = createConnection(own.url, {
    maxResponseSize: 300_000,
  });
  const told: string[] = [];
  const telling = (async () => {
    for await (const event of connection.events()) {
      if (event.type === "lost") throw event.error;
      if (event.type === "quarantined") told.push(event.error.message);
    }
  })();
  const [peeked] = await connection.queue("large").peek({ max: 1 });
  assertThrows(() => peeked?.payload, DecodeError);
  const got: string[] = [];
  const consumer = connection.consumer(queue);
  await consumer.run(({ payload }) => {
    if (got.push(payload) === 2) void consumer.cancel();
  });
  assertEquals(got, ["small", "last"]);
  await connection.close();
  await telling;
  assertEquals(told.length, 2);
  assertMatch(told[0] ?? "", /1000\d{3} bytes .* maxResponseSize/);
  const { state } = await own.api(`STREAM.INFO.${own.prefix}_large`);
  assertEquals(state?.messages, 2);
});
