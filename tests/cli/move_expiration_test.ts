import { assert, assertEquals } from "@std/assert";
import type { Channel } from "@dashi/mq";
import { until } from "../conformance/support.ts";
import { BROKERS, Pair } from "./moving.ts";

const HOUR = 3_600_000;

/** Brokers that tell how long a message has left to live. */
const SOURCES = [
  "memory",
  "SQLite",
  "Redis",
  "MongoDB",
  "CouchDB",
  "beanstalkd",
  "PostgreSQL",
  "NATS",
] as const;

for (const broker of SOURCES) {
  const url = BROKERS[broker];
  Deno.test({
    name: `dashi move leaves a message of ${broker} the rest of its life${
      url ? "" : " (there is no broker)"
    }`,
    ignore: !url,
    fn: async () => {
      await using pair = new Pair(url ?? "", "memory://expiring");
      await pair.open();
      await pair.source.send(pair.name, 1, {
        messageId: "timed",
        expiration: HOUR,
      });
      await pair.source.send(pair.name, 2, { messageId: "untimed" });
      await using channel = await pair.source.channel();
      // beanstalkd counts whole seconds.
      await until(
        async () => await leftOf(channel, pair.name) < HOUR,
        "a part of its life is over",
      );
      const { code, rows, err } = await pair.move(["--wait", "5"]);
      assertEquals([code, rows.at(-1).moved], [0, 2], err);
      await using target = await pair.target.channel();
      const lives = new Map<string | undefined, number | undefined>();
      for (let i = 0; i < 2; i++) {
        const { properties } = await target.get(pair.name) ?? {};
        lives.set(properties?.messageId, properties?.expiration);
      }
      const { timed = 0, untimed } = Object.fromEntries(lives);
      assert(timed > HOUR / 2 && timed < HOUR, `${timed}`);
      assertEquals([lives.size, untimed], [2, undefined]);
    },
  });
}

/** Looks how long the message has left that comes first, and gives it back. */
async function leftOf(channel: Channel, queue: string): Promise<number> {
  const found = await channel.get(queue);
  if (found === undefined) return Infinity;
  await channel.reject(found.deliveryTag, { requeue: true });
  return found.timeLeft ?? Infinity;
}
