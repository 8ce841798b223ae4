import { assert, assertEquals, assertMatch } from "@std/assert";
import type { Delivery, FieldTable, MessageProperties } from "@dashi/mq";
import { BROKERS, Pair } from "./moving.ts";

/** Each broker is moved from, and to. */
const PAIRS = [
  ["Redis", "RabbitMQ"],
  ["RabbitMQ", "Redis"],
  ["SQS", "MongoDB"],
  ["MongoDB", "SQS"],
  ["CouchDB", "beanstalkd"],
  ["beanstalkd", "memory"],
  ["memory", "CouchDB"],
  ["PostgreSQL", "SQLite"],
  ["SQLite", "NATS"],
  ["NATS", "PostgreSQL"],
  ["Redis", "Redis Cluster"],
  ["Redis Cluster", "Redis"],
] as const;

const DEATH: FieldTable = {
  queue: "orders",
  reason: "rejected",
  exchange: "",
  "routing-keys": ["orders"],
  count: 2,
  time: new Date(1_700_000_000_000),
};

/** The properties of a message, as far as both brokers have them. */
function propertiesFor(
  can: (capability: "priority" | "message-ttl") => boolean,
): MessageProperties {
  return {
    contentType: "application/x-thing",
    contentEncoding: "binary",
    headers: {
      tenant: 7,
      list: [1, "a", true],
      "x-attempts": 3,
      "x-death": [DEATH],
    },
    deliveryMode: "persistent",
    priority: can("priority") ? 5 : undefined,
    correlationId: "order-7",
    replyTo: "answers",
    expiration: can("message-ttl") ? 3_600_000 : undefined,
    messageId: "id-1",
    timestamp: new Date(1_700_000_000_000),
    type: "thing",
    appId: "shop",
  };
}

for (const [a, b] of PAIRS) {
  const [from, to] = [BROKERS[a], BROKERS[b]];
  Deno.test({
    name: `dashi move takes messages from ${a} to ${b} as they are${
      from && to ? "" : " (there is no broker)"
    }`,
    ignore: !from || !to,
    fn: () => moveBetween(from ?? "", to ?? ""),
  });
}

async function moveBetween(from: string, to: string): Promise<void> {
  await using pair = new Pair(from, to);
  await pair.open();
  const properties = propertiesFor((capability) =>
    pair.source.capabilities.has(capability) &&
    pair.target.capabilities.has(capability)
  );
  await pair.fill(20);
  const body = new Uint8Array([0, 1, 255, 254]);
  {
    await using channel = await pair.source.channel();
    await channel.publish({
      exchange: "",
      routingKey: pair.name,
      mandatory: false,
      delay: 0,
      properties,
      body,
      republished: true,
    });
  }
  const { code, rows, err } = await pair.move(["--wait", "5"]);
  const { queue, to: name, moved, kept, duplicates, done } = rows.at(-1);
  assertEquals([code, moved, kept, duplicates], [0, 21, 0, 0], err);
  assertEquals([queue, name, done], [pair.name, pair.name, true]);
  await using channel = await pair.target.channel();
  const found: Delivery[] = [];
  while (found.length < 21) {
    const delivery = await channel.get(pair.name);
    assert(delivery !== undefined, `${found.length} are there`);
    found.push(delivery);
    await channel.ack(delivery.deliveryTag);
  }
  assertEquals(await channel.get(pair.name), undefined);
  const [special] = found.filter(({ properties: { type } }) =>
    type === "thing"
  );
  assertEquals(special?.body, body);
  const { expiration: left = 0, ...arrived } = special?.properties ?? {};
  const { expiration = 0, ...sent } = properties;
  assertEquals(toldOf(arrived), toldOf(sent));
  assert(left <= expiration && left > expiration - 600_000, `${left}`);
  assertEquals(
    found.filter((each) => each !== special)
      .map((each) => each.properties.messageId),
    Array.from({ length: 20 }, (_, i) => `id-${i}`),
  );
}

/** The properties that say something: brokers without priorities of their own tell of 0. */
function toldOf({ priority = 0, ...rest }: MessageProperties): object {
  const told = Object.entries(rest).filter(([, value]) => value !== undefined);
  return { ...Object.fromEntries(told), priority };
}

Deno.test("dashi move takes another name, a limit, a rate, and does nothing in a dry run", async () => {
  await using pair = new Pair("memory://move-a", "memory://move-b");
  await pair.open();
  await pair.fill(10);
  const plan = await pair.move(["--dry-run"]);
  assertEquals(plan.rows, [{
    queue: pair.name,
    to: pair.name,
    ready: 10,
    delayed: 0,
    unacked: 0,
    done: false,
  }]);
  assertMatch(plan.err, /nothing is done yet; it would declare 1 queue /);
  assertEquals((await pair.source.queueStatus(pair.name)).messageCount, 10);
  const some = await pair.move(["--to", "other", "--limit", "4"]);
  assertEquals([some.code, some.rows.at(-1).moved], [0, 4]);
  assertEquals([...(await pair.arrived("other")).keys()].length, 4);
  const rest = await pair.move(["--rate", "100/s"]);
  assertEquals([rest.code, rest.rows.at(-1).moved], [0, 6]);
  assertEquals([...(await pair.arrived()).values()], [1, 1, 1, 1, 1, 1]);
});
