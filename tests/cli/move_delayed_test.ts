import { assert, assertEquals, assertMatch } from "@std/assert";
import { BROKERS, Pair } from "./moving.ts";

/** Each source that shows delayed messages, and a target whose delays can be seen. */
const PAIRS = [
  ["Redis", "MongoDB"],
  ["MongoDB", "Redis"],
  ["CouchDB", "Redis"],
  ["beanstalkd", "Redis"],
  ["memory", "CouchDB"],
  ["PostgreSQL", "SQLite"],
  ["SQLite", "NATS"],
  ["NATS", "PostgreSQL"],
  ["Redis", "Redis Cluster"],
  ["Redis Cluster", "Redis"],
] as const;

const HOUR = 3_600_000;

for (const [a, b] of PAIRS) {
  const [from, to] = [BROKERS[a], BROKERS[b]];
  Deno.test({
    name:
      `dashi move takes delayed messages from ${a} to ${b}, for the rest of their delay${
        from && to ? "" : " (there is no broker)"
      }`,
    ignore: !from || !to,
    fn: () => moveDelayed(from ?? "", to ?? ""),
  });
}

async function moveDelayed(from: string, to: string): Promise<void> {
  await using pair = new Pair(from, to);
  await pair.open();
  const producer = pair.source.producer({ queue: pair.name });
  for (let i = 0; i < 3; i++) {
    await producer.publish(i, { messageId: `later-${i}`, delay: HOUR + i });
  }
  await producer.publish("soon", { messageId: "soon", delay: 900 });
  await producer.publish("now", { messageId: "now" });
  const { code, rows, err } = await pair.move(["--wait", "5"]);
  const { moved, kept, twice } = rows.at(-1);
  assertEquals([code, moved, kept, twice], [0, 5, 0, 0], err);
  await using channel = await pair.target.channel();
  const found = new Map<string | undefined, number>();
  for await (const page of channel.listDelayed?.(pair.name) ?? []) {
    for (const { message, delay } of page) {
      found.set(message.properties.messageId, delay);
    }
  }
  assertEquals([...found.keys()].sort(), ["later-0", "later-1", "later-2"]);
  for (const delay of found.values()) {
    assert(delay > HOUR - 600_000 && delay < HOUR + 2000, `${delay}`);
  }
  assertEquals([...(await pair.arrived()).keys()].sort(), ["now", "soon"]);
}

Deno.test({
  name: `dashi move says that delayed messages of SQS stay${
    BROKERS.SQS ? "" : " (there is no SQS)"
  }`,
  ignore: !BROKERS.SQS,
  fn: async () => {
    await using pair = new Pair(BROKERS.SQS ?? "", "memory://");
    await pair.open();
    await pair.source.send(pair.name, 1, { delay: 600_000 });
    await pair.source.send(pair.name, 2);
    const { code, rows, err } = await pair.move(["--wait", "3"]);
    assertEquals([code, rows.at(-1).moved, rows.at(-1).delayed], [1, 1, 1]);
    assertMatch(err, /1 message of queue .* is not due yet, and stays/);
  },
});

Deno.test({
  name:
    `dashi move keeps what the target cannot have, delayed or not, and tells why${
      BROKERS.SQS ? "" : " (there is no SQS)"
    }`,
  ignore: !BROKERS.SQS,
  fn: () => keepSome(BROKERS.SQS ?? ""),
});

async function keepSome(to: string): Promise<void> {
  await using pair = new Pair("memory://kept", to);
  await pair.open();
  const producer = pair.source.producer({ queue: pair.name });
  for (const delay of [0, HOUR]) {
    await producer.publish("short-lived", {
      messageId: `${delay}`,
      expiration: HOUR,
      delay,
    });
    await producer.publish("long-lived", { delay: delay / 1000 });
  }
  const { code, rows, err } = await pair.move();
  const { moved, kept, ready, delayed } = rows.at(-1);
  assertEquals([code, moved, kept, ready, delayed], [1, 2, 2, 1, 1]);
  assertMatch(err, /message "3600000" .*stays: .*expiration.*\n.*message "0" /);
}
