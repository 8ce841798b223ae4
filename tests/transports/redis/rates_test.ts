/** Rates that hold over all processes, by the server's clock. */

import { assert, assertEquals } from "@std/assert";
import { Queue } from "@dashi/mq";
import { connectTo, pause, Raw, test } from "../../support/redis.ts";
import { SYSTEM_CLOCK } from "../../../async/clock.ts";
import { createTransport } from "../../../transports/redis/mod.ts";
import type { TransportConnection } from "../../../transports/transport.ts";
import { parseUrl } from "../../../url/mod.ts";

const RATED = new URL("../../support/rated.ts", import.meta.url).pathname;
const CONFIG = new URL("../../../deno.json", import.meta.url).pathname;

function dial(url: string): Promise<TransportConnection> {
  return createTransport().connect(parseUrl(url), {
    heartbeat: 0,
    transportOptions: {},
    operationTimeout: 10_000,
    owner: crypto.randomUUID(),
    clock: SYSTEM_CLOCK,
  });
}

test("three connections that ask without a break are let in at the limit, and never above it in any interval", async ({ url, port }) => {
  await using raw = new Raw(port);
  const rate = { limit: 20, interval: 100 };
  const moments = new Set<string>();
  const connections = await Promise.all([1, 2, 3].map(() => dial(url)));
  const began = performance.now();
  await Promise.all(connections.map(async (each) => {
    while (moments.size < 200) {
      const delay = await each.rates?.admit("q", "key", rate);
      if (delay === 0) {
        // The server's own record, before it is forgotten.
        const list = "dashi.rate.1.q.key";
        for (const at of await raw.texts("LRANGE", list, 0, -1)) {
          moments.add(at);
        }
      } else assert(delay !== undefined && delay <= 100, `${delay}`);
    }
  }));
  const took = performance.now() - began;
  for (const each of connections) await each[Symbol.asyncDispose]();
  const sorted = [...moments].map(Number).sort((a, b) => a - b);
  const least = Math.min(
    ...sorted.slice(20).map((at, n) => at - (sorted[n] ?? 0)),
  );
  assert(least >= 100_000, `21 within ${least} µs`);
  assert(took >= 900, `${took}`);
  const ttl = await raw.number("PTTL", "dashi.rate.1.q.key");
  assert(ttl <= 101, `it is kept for ${ttl} ms`);
});

test("a limit goes on where the server's clock was set back", async ({ url, port }) => {
  await using raw = new Raw(port);
  const connection = await dial(url);
  const rate = { limit: 1, interval: 60_000 };
  assertEquals(await connection.rates?.admit("q", "", rate), 0);
  const later = (await raw.number("LINDEX", "dashi.rate.1.q.", 0)) + 3600e6;
  await raw.send("LSET", "dashi.rate.1.q.", 0, later);
  assertEquals(await connection.rates?.admit("q", "", rate), 0);
  const delay = await connection.rates?.admit("q", "", rate) ?? 0;
  assert(delay > 0 && delay <= 60_000, `${delay}`);
  await connection[Symbol.asyncDispose]();
});

test("three processes handle a queue at the limit for all of them", async ({ url, port }) => {
  await using raw = new Raw(port);
  await using connection = connectTo(url);
  const queue = new Queue("rated");
  const [count, limit, interval] = [60, 10, 300];
  await connection.declare(queue);
  const now = async () => {
    const [seconds, micros] = await raw.texts("TIME");
    return Number(seconds) * 1e6 + Number(micros);
  };
  const begun: [number, number][] = [];
  const all = Promise.withResolvers<void>();
  const children = [1, 2, 3].map(() =>
    new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", "--config", CONFIG, RATED].concat(
        url,
        queue.name,
        JSON.stringify({ limit, interval }),
      ),
      stdout: "piped",
      stderr: "null",
    }).spawn()
  );
  const busy = new Set<number>();
  const reading = children.map(async (child, n) => {
    let rest = "";
    const texts = child.stdout.pipeThrough(new TextDecoderStream());
    for await (const text of texts) {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) begun.push(JSON.parse(line));
      if (lines.length > 0) busy.add(n);
      if (begun.length === count) all.resolve();
    }
  });
  const consumers = async () =>
    (await connection.queueStatus(queue)).consumerCount ?? 0;
  while (await consumers() < 3) await pause(20);
  const start = await now();
  await connection.producer({ queue }).publishAll(Array(count).keys());
  await all.promise;
  for (const child of children) child.kill("SIGTERM");
  await Promise.all([...reading, ...children.map(({ status }) => status)]);
  const payloads = begun.map(([payload]) => payload).sort((a, b) => a - b);
  assertEquals(payloads, [...Array(count).keys()]);
  assert(busy.size > 1, "one process did all");
  // A handler begins after it was counted: never before all that the limit allows since the start.
  const moments = begun.map(([, at]) => at).sort((a, b) => a - b);
  moments.forEach((at, n) =>
    assert(at - start >= Math.floor(n / limit) * interval * 1000, `${n}`)
  );
});
