/** Idle workers that share a queue: one of them looks for a message, and the others yield. */

import { assert, assertEquals } from "@std/assert";
import { Queue } from "@dashi/mq";
import { Yielding } from "../../../transports/redis/yielding.ts";
import { TestClock } from "../../../testing/clock.ts";
import { connectTo, pause, Raw, test } from "../../support/redis.ts";

/** One whose peeks find what `has` says. */
function stage() {
  const clock = new TestClock();
  const log: string[] = [];
  const test = { has: true };
  const yielding = new Yielding(clock, {
    peek: () => {
      log.push("peek");
      return Promise.resolve(test.has);
    },
    ring: (queue) => log.push(`ring ${queue}`),
  });
  const miss = () => {
    yielding.tell("q", false);
    yielding.looked("q", false);
    log.length = 0;
  };
  const pass = async (duration: number) => {
    clock.pass(duration);
    for (let i = 0; i < 5; i++) await Promise.resolve();
  };
  return { pass, log, test, yielding, miss };
}

Deno.test("a process that has found nothing looks later, and asks first whether there is anything", async () => {
  const { pass, log, test, yielding, miss } = stage();
  yielding.tell("q", true);
  assertEquals(log, ["ring q"]);
  yielding.looked("q", false);
  log.length = 0;
  yielding.tell("q", true);
  yielding.tell("q", true);
  assertEquals(log, []);
  await pass(10);
  assertEquals(log, ["peek", "ring q"]);
  miss();
  test.has = false;
  yielding.tell("q", true);
  await pass(250);
  assertEquals(log, ["peek"]);
});

Deno.test("a process that has got something looks at once again, however often it had found nothing", async () => {
  const { pass, log, yielding, miss } = stage();
  for (let i = 0; i < 20; i++) miss();
  for (let i = 0; i < 3; i++) {
    yielding.tell("q", true);
    await pass(250);
    yielding.looked("q", true);
  }
  log.length = 0;
  yielding.tell("q", true);
  assertEquals(log, ["ring q"]);
});

Deno.test("nobody yields where he is alone, or when the queue is looked at all the same", async () => {
  const { pass, log, yielding, miss } = stage();
  for (let i = 0; i < 20; i++) miss();
  yielding.tell("q", false);
  assertEquals(log, ["ring q"]);
  log.length = 0;
  yielding.tell("q", true);
  yielding.forget("q");
  await pass(250);
  yielding.tell("q", true);
  yielding.close();
  await pass(250);
  assertEquals(log, []);
});

test("eight idle connections that share a queue cost few scripts a message, and where the quickest is busy another one takes it", async (server) => {
  await using raw = new Raw(server.port);
  await using publisher = connectTo(server.url);
  const queue = new Queue("shared");
  await publisher.declare(queue);
  const workers = Array.from({ length: 8 }, () => connectTo(server.url));
  let came: (worker: number) => void = () => {};
  let isHeld = false;
  const hold = Promise.withResolvers<void>();
  const consumers = workers.map((each) =>
    each.consumer<number>(queue, { prefetch: 1 })
  );
  const running = consumers.map((each, worker) =>
    each.run(async () => {
      came(worker);
      if (isHeld) await hold.promise;
    })
  );
  while (!consumers.every((each) => each.health().healthy)) await pause(10);
  const send = async (i: number) => {
    const { promise, resolve } = Promise.withResolvers<number>();
    came = resolve;
    await publisher.send(queue, i);
    const worker = await promise;
    // The others are to be idle again when the next one comes.
    await pause(20);
    return worker;
  };
  for (let i = 0; i < 10; i++) await send(i);
  const before = await scripts(raw);
  for (let i = 0; i < 50; i++) await send(i);
  const each = (await scripts(raw) - before) / 50;
  // To take, to ack, and to wait again; ten where all look at once.
  assert(each < 7, `${each} scripts a message`);
  isHeld = true;
  const busy = new Set<number>();
  for (let i = 0; i < 8; i++) busy.add(await send(i));
  assertEquals(busy.size, 8);
  hold.resolve();
  for (const worker of workers) await worker.close();
  await Promise.all(running);
});

async function scripts(raw: Raw): Promise<number> {
  const stats = String(await raw.send("INFO", "commandstats"));
  return Number(/cmdstat_evalsha:calls=(\d+)/.exec(stats)?.[1] ?? 0);
}
