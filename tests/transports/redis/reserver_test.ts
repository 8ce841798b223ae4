/** The messages that one take brings. */

import { assert } from "@std/assert";
import { Queue } from "@dashi/mq";
import { connectTo, Raw, test } from "../../support/redis.ts";

test(
  "small messages of many queues are taken some hundreds at a time, and each queue has its turn",
  async (server) => {
    await using raw = new Raw(server.port);
    await using connection = connectTo(server.url);
    const queues = Array.from({ length: 12 }, (_, i) => new Queue(`q${i}`));
    await connection.declare(queues);
    const producer = connection.producer<number>();
    const publish = async (i: number, count: number) => {
      await Promise.all(
        Array.from(
          { length: count },
          () => producer.publish(i, { routingKey: `q${i}` }),
        ),
      );
    };
    for (let i = 0; i < 11; i++) await publish(i, 300);
    await publish(11, 1);
    await raw.send("CONFIG", "RESETSTAT");
    const seen: number[] = [];
    const consumer = connection.consumer<number>(queues, { prefetch: 4000 });
    for await (const { payload } of consumer) {
      seen.push(payload);
      if (seen.length === 3301) break;
    }
    const stats = String(await raw.send("INFO", "commandstats"));
    const [, scripts] = /cmdstat_evalsha:calls=(\d+)/.exec(stats) ?? [];
    // As much as fits into a million bytes were two scripts for all of them.
    assert(Number(scripts) >= 6, `${scripts} scripts`);
    const place = seen.indexOf(11);
    assert(place < 1600, `the last queue came as number ${place}`);
  },
  { arguments: ["--appendonly", "no"] },
);
