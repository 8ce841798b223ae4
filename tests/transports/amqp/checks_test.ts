import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  createConnection,
  EncodeError,
  Exchange,
  PublishError,
  Queue,
  UnsupportedError,
} from "@dashi/mq";
import { checkTable } from "../../../model/checks.ts";
import { encodeFields } from "../../../transports/amqp/fields.ts";
import { FrameWriter } from "../../../transports/amqp_client/frame_writer.ts";
import { sizeOfTable } from "../../../transports/amqp_protocol/fields.ts";
import { test } from "../../support/amqp.ts";

const queueOf = () =>
  new Queue(`dashi-checks-${crypto.randomUUID()}`, {
    expires: 60_000,
  });

test("headers that a frame holds are carried, and larger ones refused before they are sent", async ({ url }) => {
  for (const frameMax of [0, 8192]) {
    await using connection = createConnection(url, {
      transportOptions: { frameMax },
      reconnect: false,
    });
    const queue = queueOf();
    const producer = connection.producer({ declare: [queue] });
    const publish = (size: number) =>
      producer.publish(size, {
        routingKey: queue.name,
        headers: { big: "é".repeat(size / 2) },
      });
    const [fits, exceeds] = frameMax === 0
      ? [[4000, 65_000, 66_000, 130_000], [131_100, 400_000]]
      : [[4000, 7900], [8200, 66_000]];
    for (const size of fits) await publish(size);
    for (const size of exceeds) {
      await assertRejects(() => publish(size), EncodeError, "frames");
    }
    const seen: unknown[] = [];
    for await (const { payload, headers } of connection.consumer(queue)) {
      assertEquals(String(headers.big).length, Number(payload) / 2);
      seen.push(payload);
      if (seen.length === fits.length) break;
    }
    assertEquals(seen, fits);
    assertEquals(connection.connected, true);
  }
});

test("arguments that no frame holds are refused by every verb, also while another call waits", async ({ url }) => {
  await using connection = createConnection(url, {
    transportOptions: { frameMax: 8192 },
    reconnect: false,
  });
  const large = { "x-note": "n".repeat(9000) };
  const queue = queueOf();
  const exchange = new Exchange(`dashi-checks-${crypto.randomUUID()}`, {
    autoDelete: true,
  });
  await connection.declare([exchange, queue]);
  const channel = await connection.channel();
  const binding = {
    source: exchange.name,
    destination: { kind: "queue", name: queue.name },
    routingKey: "",
    arguments: large,
  } as const;
  const waits = channel.checkQueue(queue.name);
  for (
    const call of [
      () => channel.declareQueue({ ...queueOf(), arguments: large }),
      () => channel.declareExchange({ ...exchange, arguments: large }),
      () => channel.bind(binding),
      () => channel.unbind(binding),
      () =>
        channel.consume(queue.name, () => {}, {
          prefetch: 1,
          arguments: large,
        }),
      () => connection.consumer(queue, { arguments: large }).run(() => {}),
    ]
  ) await assertRejects(call, EncodeError, "frames");
  await waits;
  await channel.bind({ ...binding, arguments: {} });
  await channel.deleteExchange(exchange.name);
  await channel[Symbol.asyncDispose]();
});

test("a name with a line end is refused by every verb, for RabbitMQ drops it", async ({ url }) => {
  await using connection = createConnection(url, { reconnect: false });
  const channel = await connection.channel();
  const queue = queueOf();
  await channel.declareQueue(queue);
  for (const name of ["line\nend", "return\r"]) {
    const bind = (source: string, name: string) => ({
      source,
      destination: { kind: "queue", name },
      routingKey: "",
      arguments: {},
    } as const);
    const message = {
      exchange: "",
      routingKey: name,
      mandatory: false,
      delay: 0,
      properties: {},
      body: new Uint8Array(),
    };
    for (
      const call of [
        () => connection.declare(new Queue(name)),
        () => connection.declare(new Exchange(name)),
        () => connection.consumer(name).run(() => {}),
        () => connection.producer().publish(1, { routingKey: name }),
        () => channel.checkQueue(name),
        () => channel.deleteQueue(name),
        () => channel.purgeQueue(name),
        () => channel.checkExchange(name),
        () => channel.deleteExchange(name),
        () => channel.bind(bind(name, queue.name)),
        () => channel.bind(bind("amq.direct", name)),
        () => channel.unbind(bind(name, queue.name)),
        () => channel.get(name),
        () => channel.publish(message),
        () => channel.publish({ ...message, exchange: name, routingKey: "k" }),
      ]
    ) await assertRejects(call, UnsupportedError, "line ends");
  }
  // As a key it is as good as any other.
  await channel.bind({
    source: "amq.direct",
    destination: { kind: "queue", name: queue.name },
    routingKey: "line\nend",
    arguments: {},
  });
  await channel.publish({
    exchange: "amq.direct",
    routingKey: "line\nend",
    mandatory: false,
    delay: 0,
    properties: {},
    body: new Uint8Array(),
  });
  assertEquals((await channel.get(queue.name))?.routingKey, "line\nend");
  await channel.deleteQueue(queue.name);
  await channel[Symbol.asyncDispose]();
});

test("one consumer of the same queue twice under a tag is told so, and the connection lives", async ({ url }) => {
  await using connection = createConnection(url, { reconnect: false });
  const queue = queueOf();
  await connection.declare(queue);
  await assertRejects(
    () =>
      connection.consumer([queue, queue.name], { consumerTag: "worker" })
        .run(() => {}),
    Error,
    "in use",
  );
  assertEquals(connection.connected, true);
});

Deno.test("sizeOfTable() is the size that is written, and checkTable() no less", () => {
  const table = {
    text: "é董☺",
    yes: true,
    nothing: null,
    left: undefined,
    int: -1,
    long: 2 ** 40,
    big: 2n ** 62n,
    double: 0.5,
    zero: -0,
    bytes: new Uint8Array(300),
    date: new Date(0),
    list: [1, "two", [3.5]],
    "tâble": { inner: { deep: "x" } },
  };
  const parts: Uint8Array[] = [];
  const writer = new FrameWriter((bytes) => parts.push(bytes.slice()));
  writer.method(1, [40, 10], () => writer.table(table));
  writer.flush();
  const written = (parts[0]?.byteLength ?? 0) - 12;
  assertEquals(sizeOfTable(table), written);
  assert(checkTable(table) >= written);
  encodeFields(table, (bytes) => bytes);
});

test("RabbitMQ takes the arguments of a queue that are refused by stores", async ({ url }) => {
  await using connection = createConnection(url);
  const name = `dashi-${crypto.randomUUID()}`;
  const queue = new Queue(name, {
    expires: 60_000,
    maxLength: 1,
    deadLetter: new Queue(`${name}.dead`, { expires: 60_000 }),
    arguments: {
      "x-single-active-consumer": true,
      "x-overflow": "reject-publish-dlx",
    },
  });
  await connection.declare(queue);
  await connection.send(name, 1);
  await assertRejects(() => connection.send(name, 2), PublishError);
  const dead = connection.queue<number>(`${name}.dead`);
  const [refused] = await dead.receive({ max: 1, wait: 30_000 });
  assertEquals(refused?.payload, 2);
  assertEquals(refused?.deaths[0]?.reason, "maxlen");
  await refused?.ack();
  await connection.delete(name);
  await connection.delete(`${name}.dead`);
});
