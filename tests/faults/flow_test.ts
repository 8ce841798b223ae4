/** Processes that are killed while they handle batches, or by routes, or are paused, or rest. */

import { assert, assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { until } from "../conformance/support.ts";
import { apart } from "../support/apart.ts";
import { assertNothingLeft, resources } from "../support/leaks.ts";
import { Proxy } from "../support/proxy.ts";
import { onEach } from "../support/targets.ts";
import type { FlowWord, FlowWork } from "./flow_child.ts";

const CHILD = new URL("flow_child.ts", import.meta.url).pathname;
const CONFIG = new URL("../../deno.json", import.meta.url).pathname;

/** Of those whose leases are not the connection's: what a killed process held comes back soon. */
const SHORT: Readonly<Record<string, unknown>> = { visibilityTimeout: 2000 };
const LEASING: ReadonlySet<string> = new Set(["couchdb", "mongodb", "redis"]);

const COUNT = 40;

/** Fewer than that are unsettled at once. */
const WIDE = 4;

const WORDS: Readonly<Record<FlowWork["how"], string>> = {
  batches: "in the middle of a batch",
  routes: "in the handler of a route",
  pause: "while it is paused, with a message in hand,",
  breaker: "while its circuit breaker is open",
};

for (const how of ["batches", "routes", "pause", "breaker"] as const) {
  onEach(
    `a process that is killed ${WORDS[how]} loses nothing`,
    async (given, { name }) => {
      const before = resources();
      const url = apart(given);
      const transportOptions = LEASING.has(name) ? SHORT : {};
      const connection = createConnection(url, { transportOptions });
      const queue = new Queue<number>(`dashi-flow-${crypto.randomUUID()}`);
      try {
        const producer = connection.producer<number>({ queue });
        for (let n = 0; n < COUNT; n++) {
          await producer.publish(n, { type: n % 2 === 0 ? "even" : "odd" });
        }
        const [done, held] = await killed({
          how,
          url,
          queue: queue.name,
          transportOptions,
        });
        assert(done.length > 0 && done.length < COUNT, `${done}`);
        const consumer = connection.consumer(queue);
        const seen = new Set<number>(done);
        const redelivered: number[] = [];
        await consumer.run(({ payload, deliveryInfo }) => {
          if (deliveryInfo.redelivered) redelivered.push(payload);
          seen.add(payload);
          if (seen.size === COUNT) void consumer.cancel();
        }, { retry: false }); // so that none is written again, to count its calls
        // The messages that it held are not done, and came again; those that it acked did not.
        for (const each of held) assert(redelivered.includes(each), `${each}`);
        // AMQP confirms no ack: the last that were sent may be lost with the process.
        if (!name.startsWith("amqp")) {
          assertEquals(done.filter((each) => redelivered.includes(each)), []);
        }
        await consumer.close();
        const { messageCount } = await connection.declare(queue);
        assertEquals(messageCount, 0);
      } finally {
        const channel = await connection.channel();
        await channel.deleteQueue(queue.name);
        await connection.close();
      }
      await assertNothingLeft(before);
    },
  );
}

onEach(
  "a prefetch and a concurrency that were changed at run time hold over lost connections",
  async (given, { name: transport }) => {
    const before = resources();
    // What is unsettled stays so, however slow the machine is.
    const url = given.replace(/(visibility_timeout|ack_wait)=\d+/, "$1=10");
    const proxy = Proxy.to(url);
    const connection = createConnection(proxy.urlOf(url), {
      transport,
      operationTimeout: 60_000,
      reconnect: { initialDelay: 50, maxDelay: 500 },
      onUnhandled: () => {},
    });
    const direct = createConnection(url, { transport });
    const queue = new Queue<number>(`dashi-flow-${crypto.randomUUID()}`);
    try {
      await direct.declare(queue);
      const all = Promise.withResolvers<void>();
      const seen = new Set<number>();
      let [atWork, most] = [0, 0];
      const consumer = connection.consumer(queue, { prefetch: 1 });
      const running = consumer.run(async ({ payload }) => {
        most = Math.max(most, ++atWork);
        if (atWork === WIDE) all.resolve();
        await all.promise;
        atWork--;
        if (seen.add(payload).size === COUNT) void consumer.cancel();
      });
      await until(() => consumer.health().ready, "a consumer that is ready");
      await consumer.setPrefetch(WIDE);
      consumer.setConcurrency(COUNT);
      proxy.cut();
      await connection.producer({ queue }).publishAll(Array(COUNT).keys());
      await running;
      assertEquals([seen.size, most], [COUNT, WIDE]);
    } finally {
      await connection.close({ drainTimeout: 5000 });
      const channel = await direct.channel();
      await channel.deleteQueue(queue.name);
      await direct.close();
      await proxy[Symbol.asyncDispose]();
    }
    await assertNothingLeft(before);
  },
);

/** Runs a process until it says that it holds something, and kills it; returns what it has done, and what it held. */
async function killed(
  work: FlowWork,
): Promise<readonly [done: readonly number[], held: readonly number[]]> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", "--config", CONFIG, CHILD].concat(
      JSON.stringify(work),
    ),
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const done: number[] = [];
  let held: readonly number[] | undefined;
  let rest = "";
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const word: FlowWord = JSON.parse(line);
      if ("done" in word) done.push(...word.done);
      else {
        held = word.held;
        child.kill("SIGKILL");
      }
    }
  }
  assertEquals((await child.status).signal, "SIGKILL");
  assert(held !== undefined);
  return [done, held];
}
