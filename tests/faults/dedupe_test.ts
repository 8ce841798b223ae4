/** Messages that are published once by processes that are killed meanwhile. */

import { assert, assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { until } from "../conformance/support.ts";
import { ALL, onEach } from "../support/targets.ts";

const CHILD = new URL("dedupe_child.ts", import.meta.url).pathname;

/** The brokers that keep marks themselves. */
const MARKING: ReadonlySet<string> = new Set([
  "nats",
  "couchdb",
  "mongodb",
  "redis",
]);

/** How many messages there are, and how many of their publishers are killed. */
const [COUNT, KILLS] = ALL ? [400, 6] : [200, 3];

onEach(
  "of processes that publish the same once, and are killed between mark and message, each message is there once and none is lost",
  async (url, { name: transport }) => {
    const queue = new Queue<number>(`dashi-dedupe-${crypto.randomUUID()}`);
    const connection = createConnection(url, {
      transport,
      operationTimeout: 60_000,
    });
    const confirmed = new Set<number>();
    try {
      await connection.declare(queue);
      for (let kill = 1; kill <= KILLS; kill++) {
        // Each begins anew, so that it takes over what the one before left half done.
        const child = start([url, transport, queue.name, String(COUNT)]);
        const enough = COUNT * kill / (KILLS + 1);
        for await (const id of child.ids) {
          confirmed.add(id);
          if (confirmed.size >= enough) break;
        }
        await child.kill();
      }
      const producer = connection.producer({ queue });
      let accepted = 0;
      await Promise.all(Array.from({ length: COUNT }, async (_, id) => {
        const dedupe = { id: String(id), window: 3_600_000 };
        const { duplicate } = await producer.publish(id, { dedupe });
        if (!duplicate) accepted++;
        if (confirmed.has(id)) assert(duplicate, `${id} is known`);
      }));
      assert(accepted <= COUNT - confirmed.size);
      const found: number[] = [];
      const consumer = connection.consumer(queue);
      await consumer.run(({ payload }) => {
        found.push(payload);
        if (found.length >= COUNT) void consumer.cancel();
      }, { concurrency: 10 });
      assertEquals(
        found.toSorted((a, b) => a - b),
        Array.from({ length: COUNT }, (_, id) => id),
      );
      await until(
        async () => (await connection.declare(queue)).messageCount === 0,
        "the end of the queue",
      );
    } finally {
      await connection.delete(queue.name);
      await connection.close();
    }
  },
  undefined,
  undefined,
  ({ name }) => MARKING.has(name) ? undefined : "its broker keeps no marks",
);

interface Publisher {
  readonly ids: AsyncIterable<number>;
  kill(): Promise<void>;
}

function start(args: readonly string[]): Publisher {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", CHILD, ...args],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  return {
    ids: numbersIn(child.stdout),
    async kill() {
      child.kill("SIGKILL");
      await child.status;
    },
  };
}

async function* numbersIn(
  output: ReadableStream<Uint8Array>,
): AsyncIterable<number> {
  let rest = "";
  for await (const text of output.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) yield Number(line);
  }
}
