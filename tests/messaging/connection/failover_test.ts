import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { ConnectionError, createConnection, type Transport } from "@dashi/mq";
import type { FailoverStrategy } from "../../../messaging/connection/connection_options.ts";
import { readEndpoints } from "../../../messaging/connection/endpoint.ts";
import { createTransport } from "../../../transports/memory/mod.ts";
import { Failover } from "../../../messaging/connection/failover.ts";

/** The hosts that are tried, in order. */
function order(
  urls: string,
  strategy: FailoverStrategy,
  count: number,
  random: () => number = () => 0,
): (string | undefined)[] {
  const failover = new Failover(readEndpoints(urls, {}), strategy, random);
  return Array.from({ length: count }, () => {
    const { hostname } = failover.current.url;
    failover.advance();
    return hostname;
  });
}

Deno.test("round-robin goes round, the first included", () => {
  assertEquals(order("amqp://a;amqp://b;amqp://c", "round-robin", 7), [
    "a",
    "b",
    "c",
    "a",
    "b",
    "c",
    "a",
  ]);
  assertEquals(order("amqp://a", "round-robin", 2), ["a", "a"]);
});

Deno.test("each URL keeps its own parts, and only a bare host takes the first one's", () => {
  const parts = (urls: string) =>
    readEndpoints(urls, {}).map((
      { url },
    ) => [url.hostname, url.username, url.password, url.port, url.virtualHost]);
  assertEquals(parts("amqp://u:p@a:1234/v1;amqp://b"), [
    ["a", "u", "p", 1234, "v1"],
    ["b", "guest", "guest", 5672, "/"],
  ]);
  assertEquals(parts("amqp://u:p@a:1234/v1;b"), [
    ["a", "u", "p", 1234, "v1"],
    ["b", "u", "p", 1234, "v1"],
  ]);
});

Deno.test("options of one URL do not leak into the next", () => {
  const [a, b] = readEndpoints(
    "amqp://a?heartbeat=1&ssl=1&connect_timeout=2;amqp://b",
    {},
  );
  assertEquals([a?.heartbeat, a?.tls, a?.connectTimeout], [1000, true, 2000]);
  assertEquals([b?.heartbeat, b?.tls, b?.connectTimeout], [
    10_000,
    undefined,
    5000,
  ]);
});

Deno.test("shuffle tries all before it tries one again", () => {
  let seed = 5;
  const random = () => (seed = (seed * 16_807) % 2_147_483_647) / 2_147_483_647;
  const hosts = order("amqp://a;amqp://b;amqp://c", "shuffle", 7, random).slice(
    1,
  );
  for (const round of [hosts.slice(0, 3), hosts.slice(3)]) {
    assertEquals(round.sort(), ["a", "b", "c"]);
  }
});

Deno.test("a function chooses among the URLs that it is given, and begins again at its end", () => {
  const given: string[][] = [];
  const backwards: FailoverStrategy = (urls) => {
    given.push([...urls]);
    return [...urls].reverse();
  };
  assertEquals(order("amqp://a;amqp://b", backwards, 5), [
    "b",
    "a",
    "b",
    "a",
    "b",
  ]);
  assertEquals(given[0], [
    "amqp://guest:**@a:5672//",
    "amqp://guest:**@b:5672//",
  ]);
  assertThrows(
    () => order("amqp://a;amqp://b", () => ["amqp://c"], 1),
    TypeError,
    "amqp://c",
  );
  assertThrows(
    () => order("amqp://a;amqp://b", () => [], 1),
    TypeError,
    "none",
  );
});

Deno.test("one of several that failed rests for a second, the only one does not", () => {
  const two = new Failover(
    readEndpoints("amqp://a;amqp://b", {}),
    "round-robin",
    () => 0,
  );
  assertEquals(two.rest(0), 0);
  two.fail(0); // a
  assertEquals([two.current.url.hostname, two.rest(1)], ["b", 0]);
  two.fail(400); // b
  assertEquals([two.current.url.hostname, two.rest(400)], ["a", 600]);
  two.advance();
  assertEquals([two.current.url.hostname, two.rest(400)], ["b", 1000]);
  two.succeed();
  assertEquals(two.rest(400), 0);
  const one = new Failover(
    readEndpoints("amqp://a", {}),
    "round-robin",
    () => 0,
  );
  one.fail(0);
  assertEquals(one.rest(0), 0);
});

Deno.test("a strategy that gives one of two URLs waits for that one", async () => {
  const dials: number[] = [];
  const second = Promise.withResolvers<void>();
  const connection = createConnection(["memory://one", "memory://two"], {
    transport: {
      name: "counting",
      connect: () => {
        if (dials.push(performance.now()) === 2) second.resolve();
        return Promise.reject(
          new ConnectionError("Cannot connect: it is away", {
            code: "connection-failed",
          }),
        );
      },
    },
    failoverStrategy: ([first]) => first === undefined ? [] : [first],
    reconnect: { initialDelay: 1 },
  });
  const failed = assertRejects(() => connection.connect());
  await second.promise;
  await connection.close();
  await failed;
  const [first = 0, next = 0] = dials;
  assert(next - first > 900, `${next - first} ms`);
});

Deno.test("a transport is told whether there are others that may answer", async () => {
  for (const count of [1, 2]) {
    const memory = createTransport();
    const told: unknown[] = [];
    const transport: Transport = {
      ...memory,
      connect(url, options) {
        told.push(options.hasOthers);
        return memory.connect(url, options);
      },
    };
    const urls = Array(count).fill(`memory://${crypto.randomUUID()}`);
    await using connection = createConnection(urls, { transport });
    await connection.connect();
    assertEquals(told, [count > 1]);
  }
});
