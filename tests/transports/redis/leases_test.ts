import { assert, assertEquals } from "@std/assert";
import { type Message, Queue } from "@dashi/mq";
import { until } from "../../conformance/support.ts";
import { connectTo, pause, Raw, test } from "../../support/redis.ts";
import { Worker } from "../../support/worker.ts";
import { SLACK } from "../../support/slack.ts";

/** The visibility timeout of these tests. */
const LEASE = 1000;
const OPTIONS = { transportOptions: { visibilityTimeout: LEASE } };

test("a handler longer than the visibility timeout gets its message once, with two consumers (row 4)", async (server) => {
  // Renewed each two seconds: it bears a machine that stands still for three.
  const lease = 6000;
  const options = { transportOptions: { visibilityTimeout: lease } };
  await using one = connectTo(server.url, options);
  await using two = connectTo(server.url, options);
  const queue = new Queue("long");
  const producer = one.producer<number>({ declare: [queue] });
  const calls: number[] = [];
  const done = Promise.withResolvers<void>();
  const handler = async ({ payload }: Message<number>) => {
    calls.push(payload);
    await pause(lease + 2000);
    if (calls.length === 2) done.resolve();
  };
  // Prefetched ones wait here for longer than their lease, too.
  const consumers = [one, two].map((each) => each.consumer<number>(queue));
  const running = consumers.map((each) => each.run(handler));
  for (let i = 0; i < 2; i++) {
    await producer.publish(i, { routingKey: queue.name });
  }
  await done.promise;
  await Promise.all([one.close(), two.close()]);
  await Promise.all(running);
  assertEquals(calls.sort(), [0, 1]);
  await using raw = new Raw(server.port);
  assertEquals(await raw.number("EXISTS", "unacked", "long"), 0);
});

test("messages that a killed process held are delivered again once, marked and counted, within the lease and a sweep (rows 4, 6)", async (server) => {
  await using connection = connectTo(server.url, OPTIONS);
  const queue = new Queue("killed");
  const producer = connection.producer<number>({ declare: [queue] });
  await producer.publish(1, { routingKey: queue.name });
  await using holder = new Worker({
    mode: "hold",
    url: server.url,
    queue: queue.name,
    ...OPTIONS,
  });
  const first = await holder.until(({ got }) => got === 1);
  assertEquals([first.redelivered, first.count], [false, 0]);
  await holder.kill();
  const began = performance.now();
  const iterator = connection.consumer<number>(queue)[Symbol.asyncIterator]();
  const { value } = await iterator.next();
  const took = performance.now() - began;
  assert(value !== undefined);
  assertEquals(
    [value.payload, value.deliveryInfo.redelivered, value.deliveryCount],
    [1, true, 1],
  );
  // A sweep comes twice in the time of a lease.
  assert(took < 1.5 * LEASE + SLACK, `it took ${took} ms`);
  await value.ack();
  await iterator.return?.();
  await using raw = new Raw(server.port);
  assertEquals(await raw.number("EXISTS", "unacked", "unacked_index"), 0);
  assertEquals(await raw.number("LLEN", queue.name), 0);
});

test("a process whose event loop is blocked for three leases loses its message: its ack rejects and removes nothing (row 5)", async (server) => {
  // Who gets it keeps it, though the machine stands still for three seconds.
  const lease = 5000;
  const options = { transportOptions: { visibilityTimeout: lease } };
  await using connection = connectTo(server.url, options);
  const queue = new Queue("blocked");
  const producer = connection.producer<number>({ declare: [queue] });
  await producer.publish(1, { routingKey: queue.name });
  await using holder = new Worker({
    mode: "hold",
    url: server.url,
    queue: queue.name,
    prefetch: 1,
    ...options,
  });
  await holder.until(({ got }) => got === 1);
  await holder.tell(String(3 * lease));
  const iterator = connection.consumer<number>(queue)[Symbol.asyncIterator]();
  const { value } = await iterator.next();
  assert(value !== undefined);
  const { signal } = value;
  assertEquals(value.deliveryInfo.redelivered, true);
  const outcome = await holder.until(({ acked }) => acked !== undefined);
  assertEquals(outcome, { acked: "lease-lost", aborted: true });
  await using raw = new Raw(server.port);
  assertEquals(await raw.number("HLEN", "unacked"), 1);
  assertEquals(signal.aborted, false);
  await value.ack();
  await iterator.return?.();
  assertEquals(await raw.number("EXISTS", "unacked", queue.name), 0);
  assertEquals(holder.words.filter(({ got }) => got !== undefined).length, 1);
});

const ENVELOPE =
  '{"body": "eyJuIjogMX0=", "content-encoding": "utf-8", "content-type": "application/json", "headers": {"h": 1}, "properties": {"delivery_mode": 2, "delivery_info": {"exchange": "", "routing_key": "q1"}, "priority": 4, "body_encoding": "base64", "delivery_tag": "00000000-0000-4000-8000-000000000001"}}';
/** As Kombu writes it when it gives back. */
const RESTORED = ENVELOPE.replace('{"h": 1}', '{"h": 1, "redelivered": true}')
  .replace('"routing_key": "q1"}', '"routing_key": "q1", "redelivered": true}');
const TAG = "00000000-0000-4000-8000-000000000001";

/** Waits until a list is as long as it should be. */
async function untilLength(
  raw: Raw,
  list: string,
  length: number,
): Promise<void> {
  const end = performance.now() + 30_000;
  while (await raw.number("LLEN", list) !== length) {
    assert(performance.now() < end, `"${list}" has not ${length} messages`);
    await pause(20);
  }
}

test("a message that Kombu took and never settled goes back to its list, marked, to be served first", async (server) => {
  await using raw = new Raw(server.port);
  const list = "q1\x06\x163";
  await raw.send("LPUSH", list, "another that waits");
  await raw.send("HSET", "unacked", TAG, `[${ENVELOPE}, "", "q1"]`);
  await raw.send("ZADD", "unacked_index", 1_700_000_000, TAG);
  await using connection = connectTo(server.url, OPTIONS);
  await connection.connect();
  await untilLength(raw, list, 2);
  const [last, first] = await raw.texts("LRANGE", list, 0, -1);
  assertEquals(last, "another that waits");
  assert(first !== undefined);
  const { properties, ...envelope } = JSON.parse(first);
  const { properties: wanted, ...rest } = JSON.parse(RESTORED);
  assertEquals(envelope, rest);
  const { delivery_tag, ...others } = properties;
  const { delivery_tag: tag, ...wantedOthers } = wanted;
  assertEquals(others, wantedOthers);
  // How often it was given back stands behind Kombu's own tag.
  assert(delivery_tag.startsWith(`${tag};count=1`), delivery_tag);
  assertEquals(await raw.number("EXISTS", "unacked", "unacked_index"), 0);
});

test("what a sweep has found and could not give back is tried again after another lease", async (server) => {
  await using raw = new Raw(server.port);
  const list = "q1\x06\x163";
  // So far a sweep comes, too, whose process is killed: it has found it, and put nothing back.
  await raw.send("SET", list, "no list");
  await raw.send("HSET", "unacked", TAG, `[${ENVELOPE}, "", "q1"]`);
  const score = 1_700_000_000;
  await raw.send("ZADD", "unacked_index", score, TAG);
  await using connection = connectTo(server.url, OPTIONS);
  await connection.connect();
  await until(
    async () => await raw.number("ZSCORE", "unacked_index", TAG) > score,
    "a sweep that finds the message",
  );
  await pause(200); // it tries to put it back
  const began = performance.now();
  await raw.send("DEL", list);
  await untilLength(raw, list, 1);
  const took = performance.now() - began;
  assert(took < 2 * LEASE + SLACK, `it took ${took} ms`);
});

test("a message that Kombu took from an exchange goes back to the queues that are bound to it", async (server) => {
  await using raw = new Raw(server.port);
  const text = ENVELOPE.replace(
    '{"exchange": "", "routing_key": "q1"}',
    '{"exchange": "ex", "routing_key": "k"}',
  );
  await raw.send("SADD", "_kombu.binding.ex", "k\x06\x16\x06\x16a");
  await raw.send("SADD", "_kombu.binding.ex", "other\x06\x16\x06\x16b");
  await raw.send("HSET", "unacked", TAG, `[${text}, "ex", "k"]`);
  await raw.send("ZADD", "unacked_index", 1_700_000_000, TAG);
  await using connection = connectTo(server.url, OPTIONS);
  await connection.connect();
  await untilLength(raw, "a\x06\x163", 1);
  assertEquals(
    await raw.number("EXISTS", "b", "b\x06\x163", "k", "unacked"),
    0,
  );
});

test("a message that Kombu took lately is left to it", async (server) => {
  await using raw = new Raw(server.port);
  await raw.send("HSET", "unacked", TAG, `[${ENVELOPE}, "", "q1"]`);
  await raw.send("ZADD", "unacked_index", Date.now() / 1000, TAG);
  await raw.send("HSET", "unacked", "old", `[${ENVELOPE}, "", "q2"]`);
  await raw.send("ZADD", "unacked_index", 1_700_000_000, "old");
  await using connection = connectTo(server.url, {
    transportOptions: { visibilityTimeout: 30_000 },
  });
  // A sweep may come after a second, with other clients' shorter leases.
  await using other = connectTo(server.url, OPTIONS);
  await Promise.all([connection.connect(), other.connect()]);
  await untilLength(raw, "q2\x06\x163", 1);
  assertEquals(await raw.texts("HKEYS", "unacked"), [TAG]);
});

test("an entry that nobody can read stays, and the others behind it go back", async (server) => {
  await using raw = new Raw(server.port);
  await raw.send("HSET", "unacked", "bad", "no JSON");
  await raw.send("ZADD", "unacked_index", 1_600_000_000, "bad");
  await raw.send("ZADD", "unacked_index", 1_600_000_000, "gone");
  await raw.send("HSET", "unacked", TAG, `[${ENVELOPE}, "", "q1"]`);
  await raw.send("ZADD", "unacked_index", 1_700_000_000, TAG);
  await using connection = connectTo(server.url, OPTIONS);
  await connection.connect();
  await untilLength(raw, "q1\x06\x163", 1);
  assertEquals(await raw.texts("HKEYS", "unacked"), ["bad"]);
  assertEquals(await raw.texts("ZRANGE", "unacked_index", 0, -1), ["bad"]);
});
