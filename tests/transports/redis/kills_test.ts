import { assert, assertEquals } from "@std/assert";
import { Queue } from "@dashi/mq";
import {
  connectTo,
  pause,
  Raw,
  seeded,
  test,
  testAlone,
} from "../../support/redis.ts";
import { startRedis } from "../../brokers/redis.ts";
import { type Word, Worker } from "../../support/worker.ts";

const COUNT = 10_000;
const PREFETCH = 50;
/** `deno task kills` has more. */
const KILLS = Number(Deno.env.get("DASHI_TEST_KILLS") ?? 8);
/** The time after which messages of a killed process go back, ms. */
const OPTIONS = { transportOptions: { visibilityTimeout: 5000 } };

test(
  "consumers are killed while ten thousand messages flow: none is lost, and only what was in hand comes again (rows 3, 6)",
  async (server) => {
    const random = seeded(20_261_124);
    const queue = new Queue("kills");
    await using connection = connectTo(server.url, OPTIONS);
    const producer = connection.producer<number>({
      declare: [queue],
      maxInFlight: 200,
    });
    await connection.declare([queue]);
    const seen = new Map<number, number>();
    let redelivered = 0;
    /** When so many have come, one is killed. */
    const points = Array.from(
      { length: KILLS },
      () => Math.floor(random() * COUNT * 0.9) + 100,
    ).sort((a, b) => a - b);
    const due = [Promise.withResolvers<void>()];
    const all = Promise.withResolvers<void>();
    let deliveries = 0;
    const onWord = ({ got, redelivered: again }: Word) => {
      if (got === undefined) return;
      seen.set(got, (seen.get(got) ?? 0) + 1);
      if (again) redelivered++;
      if (++deliveries >= (points[0] ?? Infinity)) {
        points.shift();
        due.at(-1)?.resolve();
        due.push(Promise.withResolvers());
      }
      if (seen.size === COUNT) all.resolve();
    };
    const start = () =>
      new Worker({
        mode: "consume",
        url: server.url,
        queue: queue.name,
        prefetch: PREFETCH,
        ...OPTIONS,
      }, onWord);
    const workers = [start(), start(), start()];
    const dead: Worker[] = [];
    const publishing = (async () => {
      for (let i = 0; i < COUNT; i += 200) {
        await Promise.all(
          Array.from(
            { length: 200 },
            (_, j) => producer.publish(i + j, { routingKey: queue.name }),
          ),
        );
        // It flows for as long as it takes to kill and start again.
        await pause(12 * KILLS);
      }
    })();
    try {
      for (let i = 0; i < KILLS; i++) {
        await due[i]?.promise;
        const place = Math.floor(random() * workers.length);
        const worker = workers[place];
        assert(worker !== undefined);
        await worker.kill();
        dead.push(worker);
        workers[place] = start();
      }
      await publishing;
      await all.promise;
      await using raw = new Raw(server.port);
      const end = performance.now() + 30_000;
      // What goes back from a killed worker is in the queue again, until another takes it.
      const keys = ["unacked", "unacked_index", queue.name];
      while (await raw.number("EXISTS", ...keys) > 0) {
        assert(performance.now() < end, "something stays unacked, or ready");
        await pause(50);
      }
    } finally {
      await Promise.all(workers.map((worker) => worker.kill()));
    }
    assertEquals(seen.size, COUNT);
    assert(redelivered > 0, "no kill found a message in hand");
    assert(redelivered <= KILLS * PREFETCH, `${redelivered} came again`);
    const twice = [...seen.values()].reduce((sum, times) => sum + times - 1, 0);
    assert(twice <= redelivered, `${twice} of ${redelivered} came twice`);
  },
  { patience: 60_000 + 2000 * KILLS },
);

test("a producer is killed: all that it was told is confirmed is there, once (row 3)", async (server) => {
  const queue = new Queue("confirmed");
  await using connection = connectTo(server.url);
  await connection.declare([queue]);
  const confirmed = new Set<number>();
  for (let i = 0; i < 2; i++) {
    const producer = new Worker({
      mode: "publish",
      url: server.url,
      queue: queue.name,
      from: i * 1_000_000,
    }, (word) => {
      if (word.confirmed !== undefined) confirmed.add(word.confirmed);
    });
    const last = i * 1_000_000 + 777;
    await producer.until(({ confirmed }) => confirmed === last);
    await producer.kill();
  }
  await using raw = new Raw(server.port);
  const stored = (await raw.texts("LRANGE", queue.name, 0, -1))
    .map((text) => Number(atob(JSON.parse(text).body)));
  const there = new Set(stored);
  assertEquals(there.size, stored.length);
  assert(confirmed.size > 1500);
  assertEquals([...confirmed].filter((each) => !there.has(each)), []);
});

testAlone(
  "a server is killed and started again: nothing confirmed is lost (row 3)",
  async () => {
    // It writes and syncs before it answers.
    const server = await startRedis();
    try {
      const queue = new Queue("durable");
      await using connection = connectTo(server.url);
      const producer = connection.producer<number>({
        declare: [queue],
        maxInFlight: 100,
      });
      const confirmed = new Set<number>();
      const points = [500, 1300, 1900];
      const due = points.map(() => Promise.withResolvers<void>());
      const publishing = Promise.all(
        Array.from({ length: 2500 }, async (_, i) => {
          await producer.publish(i, { routingKey: queue.name });
          confirmed.add(i);
          const point = points.indexOf(confirmed.size);
          if (point >= 0) due[point]?.resolve();
        }),
      );
      for (const each of due) {
        await each.promise;
        await server.kill();
        await server.start();
      }
      await publishing;
      await using raw = new Raw(server.port);
      const stored = (await raw.texts("LRANGE", queue.name, 0, -1))
        .map((text) => Number(atob(JSON.parse(text).body)));
      const there = new Set(stored);
      assertEquals(confirmed.size, 2500);
      assertEquals([...confirmed].filter((each) => !there.has(each)), []);
    } finally {
      await server.stop();
    }
  },
);
