// deno-lint-ignore-file no-top-level-await -- what is missing must be known before the tests are named
import { assert, assertEquals } from "@std/assert";
import { createConnection, type FieldTable, Queue } from "@dashi/mq";
import { run } from "../brokers/server.ts";
import { providePython } from "./python.ts";

const url = Deno.env.get("DASHI_TEST_AMQP_URL");
const found = url === undefined
  ? { reason: Deno.env.get("DASHI_TEST_AMQP_REASON") ?? "there is no broker" }
  : await providePython();
const reason = "reason" in found ? found.reason : undefined;
const PEER = new URL("amqp_peer.py", import.meta.url).pathname;

function test(name: string, run: (python: string) => Promise<void>): void {
  Deno.test({
    name: `${name}${reason === undefined ? "" : ` (${reason})`}`,
    ignore: reason !== undefined,
    fn: () => run("python" in found ? found.python : ""),
  });
}

const HEADERS: FieldTable = {
  zero: 0,
  small: 127,
  byte: 128,
  short: 300,
  word: 40_000,
  negative: -7,
  lower: -300,
  least: -40_000,
  int: 2 ** 31 - 1,
  long: 2 ** 31,
  longNegative: -(2 ** 40),
  big: 2n ** 62n,
  float: 1.5,
  text: "é",
  yes: true,
  nothing: null,
  date: new Date("2024-05-06T07:08:09Z"),
  bytes: Uint8Array.of(255, 0),
  list: [1, "a", null, [-1]],
  table: { deep: { n: -1 } },
};

/** How the peer shows them. */
function shown(value: unknown): unknown {
  if (typeof value === "bigint" || Number.isInteger(value)) {
    return { int: String(value) };
  }
  if (value instanceof Date) {
    return { datetime: value.toISOString().slice(0, 19) };
  }
  if (value instanceof Uint8Array) return { bytes: [...value] };
  if (Array.isArray(value)) return value.map(shown);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, each]) => [name, shown(each)]),
  );
}

test("Kombu reads what we publish: payloads, headers of every type, properties", async (python) => {
  await using connection = createConnection(url);
  const queue = new Queue(`dashi-interop-${crypto.randomUUID()}`, {
    expires: 60_000,
    maxPriority: 9,
  });
  const producer = connection.producer({ declare: [queue] });
  const routingKey = queue.name;
  const payload = {
    hello: "world",
    n: 7,
    when: new Date("2024-05-06T07:08:09Z"),
    raw: Uint8Array.of(255),
  };
  await producer.publish(payload, {
    routingKey,
    headers: HEADERS,
    correlationId: "c",
    replyTo: "r",
    messageId: "m",
    type: "t",
    priority: 3,
    expiration: 60_000,
  });
  await producer.publish("plain é", { routingKey });
  await producer.publish(Uint8Array.of(0, 255), { routingKey });
  const output = await run(python, [
    PEER,
    "consume",
    url ?? "",
    queue.name,
    "3",
  ]);
  const [object, text, bytes] = output.trim().split("\n").map((line) =>
    JSON.parse(line)
  );
  assertEquals(object.payload, shown(payload));
  assertEquals(object.headers, shown(HEADERS));
  assertEquals([object.content_type, object.content_encoding], [
    "application/json",
    "utf-8",
  ]);
  assertEquals(object.properties, {
    correlation_id: "c",
    reply_to: "r",
    message_id: "m",
    type: "t",
    delivery_mode: 2,
    priority: 3,
    expiration: "60000",
  });
  assertEquals([text.payload, text.content_type], ["plain é", "text/plain"]);
  assertEquals([bytes.payload, bytes.content_type, bytes.content_encoding], [
    { bytes: [0, 255] },
    "application/data",
    "binary",
  ]);
});

test("we read what Kombu publishes: payloads, headers of every type, properties", async (python) => {
  await using connection = createConnection(url);
  const queue = new Queue(`dashi-interop-${crypto.randomUUID()}`, {
    expires: 60_000,
    maxPriority: 9,
  });
  await connection.declare(queue);
  await run(python, [PEER, "publish", url ?? "", queue.name]);
  const messages = [];
  for await (
    const message of connection.consumer<Record<string, unknown>>(queue)
  ) {
    messages.push(message);
    if (messages.length === 3) break;
  }
  const [object, text, bytes] = messages;
  assert(object !== undefined && text !== undefined && bytes !== undefined);
  assertEquals(object.payload, {
    hello: "world",
    when: new Date("2024-05-06T07:08:09Z"),
    raw: Uint8Array.of(255),
  });
  assertEquals<FieldTable>(object.headers, {
    small: 1,
    negative: -7,
    short: 300,
    int: 2 ** 31 - 1,
    long: 2 ** 31,
    unsigned: 2 ** 53 - 1,
    big: 2n ** 62n,
    float: 1.5,
    text: "é",
    yes: true,
    none: null,
    date: new Date("2024-05-06T07:08:09Z"),
    list: [1, "a", null],
    table: { deep: { n: -1 } },
    bytes: Uint8Array.of(255, 0),
  });
  const {
    correlationId,
    replyTo,
    messageId,
    type,
    priority,
    expiration,
    deliveryMode,
  } = object.properties;
  assertEquals(
    [
      correlationId,
      replyTo,
      messageId,
      type,
      priority,
      expiration,
      deliveryMode,
    ],
    ["c", "r", "m", "t", 3, 60_000, "persistent"],
  );
  assertEquals<unknown>([text.payload, bytes.payload], [
    "plain",
    Uint8Array.of(0, 255),
  ]);
  for (const message of messages) await message.ack();
});
