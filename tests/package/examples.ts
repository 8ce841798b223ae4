/** The programs of `examples/`, run from the package by other runtimes than Deno. */

import { startRedis } from "../brokers/redis.ts";
import { type Broker, playAll, redisUrlFor } from "../examples/all_sessions.ts";
import { ROOT } from "../examples/programs.ts";
import { provide, type Runtime, RUNTIMES } from "../runtimes/npm.ts";
import { amqpPlace, erlang } from "../support/amqp_place.ts";
import { install, type Outcome, pinned } from "./user.ts";

/** Those that run a file of TypeScript as it is: Node does since 22.18. */
const TYPED: readonly Runtime[] = [
  { name: "node", version: "22.18.0" },
  ...RUNTIMES.filter(({ name, version }) =>
    name !== "deno" && !version.startsWith("22.")
  ),
];

/** Copies the programs to a folder that has the package, and holds them to the pages. */
export async function* examples(
  folder: string,
  tarball: string,
): AsyncGenerator<Outcome> {
  await install(folder, tarball, ...pinned("amqplib", "ioredis"));
  for (const { name } of Deno.readDirSync(new URL("examples/", ROOT))) {
    if (!name.endsWith(".ts")) continue;
    await Deno.copyFile(
      new URL(`examples/${name}`, ROOT),
      `${folder}/${name}`,
    );
  }
  await using place = await amqpPlace();
  for (const runtime of TYPED) {
    const command = await provide(runtime);
    // What a program leaves, as one does that fails, is not there for the next runtime.
    const queues = `rabbit_amqqueue:list(${erlang(place.vhost)})`;
    await place.ask(`[rabbit_amqqueue:purge(Each) || Each <- ${queues}]`);
    const redis = await startRedis();
    try {
      const urls: readonly (readonly [Broker, (name: string) => string])[] = [
        ["RabbitMQ", () => place.url],
        ["Redis", (name) => redisUrlFor(name, redis.url)],
      ];
      for (const [broker, urlFor] of urls) {
        const [printed, wanted] = await playAll(broker, (name) => ({
          url: urlFor(name),
          runtime: command,
          folder,
          env: { NODE_NO_WARNINGS: "1" }, // of Node 24.0: types are experimental
        }));
        const wrong = printed.filter((each, i) =>
          JSON.stringify(each) !== JSON.stringify(wanted[i])
        );
        yield [
          `the programs of docs/start.md on ${broker} by ${runtime.name} ${runtime.version}`,
          wrong.length === 0 ? undefined : JSON.stringify(wrong, null, 2),
        ];
      }
    } finally {
      await redis.stop();
    }
  }
}
