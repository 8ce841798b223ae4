/** Publish and consume with ack on Redis, beside raw ioredis with a script for each hundred, and beside Kombu. */

import { Redis } from "ioredis";
import { createConnection, Queue } from "@dashi/mq";
import { run } from "../tests/brokers/server.ts";
import { providePython } from "../tests/interop/python.ts";
import { EnvelopeWriter } from "../transports/store/mod.ts";
import { consumers } from "./consume.ts";
import { compare, rate, WINDOW } from "./measure.ts";
import { BODY, publishRate } from "./publish.ts";

const BATCH = 100;
/** Kombu takes messages one by one: so many are enough to tell how fast. */
const KOMBU_COUNT = 2000;

/** A hundred messages into a list, as many at once as one script takes. */
const PUT = `return redis.call('LPUSH', KEYS[1], unpack(ARGV))`;

/** A hundred messages out of a list, each noted as unacked. */
const TAKE = `
local texts = redis.call('RPOP', KEYS[1], ${BATCH}) or {}
local now = redis.call('TIME')[1]
for i, text in ipairs(texts) do
  local field = ARGV[1] .. i
  redis.call('HSET', KEYS[2], field, '[' .. text .. ', "", "' .. KEYS[1] .. '"]')
  redis.call('ZADD', KEYS[3], now, field)
end
return texts`;

const ACK = `
redis.call('ZREM', KEYS[2], unpack(ARGV))
return redis.call('HDEL', KEYS[1], unpack(ARGV))`;

/** Compares them at a URL. */
export async function benchRedis(url: string): Promise<void> {
  const name = `dashi-bench-${crypto.randomUUID()}`;
  const [unacked, index] = [`${name}.unacked`, `${name}.unacked_index`];
  const raw = new Redis(url, { protocol: 2 });
  const queue = new Queue(name);
  await using connection = createConnection(url);
  await using producer = connection.producer({ declare: [queue] });
  await connection.connect();

  // As many texts as are in flight: of equal ones a script would make one string.
  const texts = Array.from(
    { length: WINDOW },
    () =>
      new EnvelopeWriter().write({
        exchange: "",
        routingKey: name,
        mandatory: false,
        delay: 0,
        properties: {
          contentType: "application/data",
          contentEncoding: "binary",
          headers: { n: "x" },
          messageId: crypto.randomUUID(),
          deliveryMode: "persistent",
        },
        body: BODY,
      }, crypto.randomUUID()),
  );
  const rawPublish = async (count: number) => {
    const began = performance.now();
    for (let i = 0; i < count; i += WINDOW) {
      await Promise.all(Array.from({ length: WINDOW / BATCH }, (_, part) => {
        const batch = texts.slice(part * BATCH, (part + 1) * BATCH);
        return raw.eval(PUT, 1, name, ...batch);
      }));
    }
    return rate(count, began);
  };
  const ourPublish = (count: number) =>
    publishRate(producer, count, { routingKey: name, headers: { n: "x" } });
  const purged = (run: (count: number) => Promise<number>) =>
  async (
    count: number,
  ) => {
    await raw.del(name);
    return await run(count);
  };
  const python = await providePython();
  const kombu = async (which: "publish" | "consume") => {
    if ("reason" in python) throw new Error(python.reason);
    const script = new URL("kombu_rates.py", import.meta.url).pathname;
    const consumed = which === "consume" ? KOMBU_COUNT : 1;
    const told: Record<string, number> = JSON.parse(
      await run(python.python, [
        script,
        url,
        String(KOMBU_COUNT),
        String(consumed),
      ]),
    );
    return told[which] ?? 0;
  };
  const beside = (which: "publish" | "consume") =>
    "python" in python ? [{ name: "kombu", run: () => kombu(which) }] : [];
  await compare("Redis: publish 1 KiB, confirmed", [
    { name: "ioredis, ready bytes", run: purged(rawPublish) },
    { name: "dashi", run: purged(ourPublish) },
    ...beside("publish"),
  ], { count: 20_000, rounds: 7 });

  const rawConsume = async (count: number) => {
    const began = performance.now();
    for (let taken = 0; taken < count;) {
      const prefix = `${taken}.`;
      const found = await raw.callBuffer(
        "EVAL",
        [TAKE, 3, name, unacked, index, prefix],
      ) as Uint8Array[];
      for (const each of found) {
        if (JSON.parse(new TextDecoder().decode(each)).body === "") {
          throw new Error("empty");
        }
      }
      taken += found.length;
      await raw.eval(
        ACK,
        2,
        unacked,
        index,
        ...found.map((_, i) => prefix + (i + 1)),
      );
    }
    return rate(count, began);
  };
  const filled = (run: (count: number) => Promise<number>) =>
  async (
    count: number,
  ) => {
    await raw.del(name);
    await rawPublish(Math.ceil(count / WINDOW) * WINDOW);
    return await run(count);
  };
  await compare("Redis: consume 1 KiB with ack", [
    { name: "ioredis, a script each 100", run: filled(rawConsume) },
    ...consumers(connection, name).map(({ name, run }) => ({
      name,
      run: filled(run),
    })),
    ...beside("consume"),
  ], { count: 20_000, rounds: 7 });
  await raw.del(name);
  const channel = await connection.channel();
  await channel.deleteQueue(name);
  raw.disconnect();
}
