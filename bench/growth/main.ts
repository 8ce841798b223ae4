// deno-lint-ignore-file no-top-level-await no-console -- a program for people
/**
 * `deno task growth [--only=TEXT] [--rounds=N]`: how the cost of what users do grows
 * with what there is, on memory, Redis and RabbitMQ, with a goal beside each curve.
 */

import { provideBrokers } from "../../tests/brokers/mod.ts";
import { RABBITMQ } from "../../tests/brokers/rabbitmq.ts";
import { REDIS } from "../../tests/brokers/redis.ts";
import { draw, Place } from "./curve.ts";
import { CURVES } from "./curves.ts";
import { REDIS_CURVES } from "./redis.ts";

function option(name: string): string | undefined {
  const prefix = `--${name}=`;
  return Deno.args.find((each) => each.startsWith(prefix))
    ?.slice(prefix.length);
}

const only = option("only") ?? "";
const rounds = Number(option("rounds") ?? 2);
const brokers = await provideBrokers(
  (line) => console.error(`# ${line}`),
  [REDIS, RABBITMQ],
);
try {
  const places = [new Place("memory", "memory://growth")];
  for (const name of ["redis", "amqp"]) {
    const url = brokers.env[`DASHI_TEST_${name.toUpperCase()}_URL`];
    if (url !== undefined) places.push(new Place(name, url));
  }
  let [drawn, missed] = [0, 0];
  for (const curve of [...CURVES, ...REDIS_CURVES]) {
    for (const place of places) {
      if (!curve.on.includes(place.name)) continue;
      if (!`${place.name}: ${curve.title}`.includes(only)) continue;
      drawn++;
      if (!await draw(curve, place, rounds)) missed++;
    }
  }
  console.log(`\n${drawn} curves, ${missed} of them over their goal`);
} finally {
  await brokers.stop();
}
