// deno-lint-ignore-file no-console no-top-level-await -- a program for people
/**
 * Moves many messages from Redis to RabbitMQ, and from RabbitMQ to Redis, by a process that
 * is killed in the middle, and by another: `deno task moving [--messages=N]`. It ends with 1
 * if one is lost.
 */

import { BROKERS, provideBrokers } from "../brokers/mod.ts";
import { killedMove } from "./killed_move.ts";

const NEEDED = ["REDIS", "AMQP"];

async function main(messages: number): Promise<number> {
  const brokers = await provideBrokers(
    (line) => console.error(`# ${line}`),
    BROKERS.filter(({ name }) => NEEDED.includes(name)),
  );
  try {
    const { DASHI_TEST_REDIS_URL: redis, DASHI_TEST_AMQP_URL: amqp } =
      brokers.env;
    if (redis === undefined || amqp === undefined) {
      throw new Error("Redis and RabbitMQ are needed");
    }
    let lost = 0;
    for (
      const [name, from, to] of [
        ["Redis to RabbitMQ", redis, amqp],
        ["RabbitMQ to Redis", amqp, redis],
      ] as const
    ) {
      const result = await killedMove(from, to, messages, messages / 2);
      lost += result.lost;
      console.log(
        `${messages} messages moved from ${name} with a kill -9 at ${result.before}: ${result.lost} lost, ${result.duplicated} duplicated; ${
          Math.round(result.rate)
        } a second; the second run took ${result.seconds.toFixed(1)} s`,
      );
      if (result.code !== 0) throw new Error(result.err);
    }
    return lost === 0 ? 0 : 1;
  } finally {
    await brokers.stop();
  }
}

const given = /^--messages=(\d+)$/.exec(Deno.args[0] ?? "")?.[1];
Deno.exit(await main(Number(given ?? 100_000)));
