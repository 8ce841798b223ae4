import { assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { isInstalled, startPgbouncer } from "../../brokers/pgbouncer.ts";
import { unique } from "../../conformance/support.ts";
import { withClient } from "../../support/postgres_client.ts";

const url = Deno.env.get("DASHI_TEST_POSTGRES_URL");

const reason = url === undefined
  ? Deno.env.get("DASHI_TEST_POSTGRES_REASON") ??
    "run it by deno task test, which provides PostgreSQL"
  : isInstalled()
  ? undefined
  : "there is no PgBouncer here";

async function withPooler(run: (url: string) => Promise<void>): Promise<void> {
  const pooler = await startPgbouncer(url ?? "");
  try {
    await run(pooler.url);
  } finally {
    await pooler.stop();
  }
}

function test(name: string, run: (url: string) => Promise<void>): void {
  Deno.test({
    name: reason === undefined ? name : `${name} (${reason})`,
    ignore: reason !== undefined,
    // The client's sockets end a turn after it says so.
    sanitizeOps: false,
    sanitizeResources: false,
    fn: () => withPooler(run),
  });
}

test("behind PgBouncer in transaction mode messages are put, wait for consumers, and are acked", async (url) => {
  const queue = new Queue<number>(unique("pooled"));
  await using sending = createConnection(url);
  await using taking = createConnection(url);
  await sending.declare(queue);
  // Several transactions at once, so that each connection has another session now and then.
  await using others = createConnection(url);
  await others.connect();
  const looking = Promise.all(
    Array.from({ length: 50 }, () => others.inspect()),
  );
  const seen: number[] = [];
  await using consumer = taking.consumer(queue, { prefetch: 20 });
  const running = consumer.run(({ payload }) => {
    seen.push(payload);
    if (seen.length === 300) void consumer.cancel();
  }, { concurrency: 20 });
  const producer = sending.producer<number>();
  for (let i = 0; i < 300; i += 50) {
    await Promise.all(
      Array.from(
        { length: 50 },
        (_, j) => producer.publish(i + j, { routingKey: queue.name }),
      ),
    );
  }
  await running;
  await looking;
  assertEquals(seen.toSorted((a, b) => a - b), [...Array(300).keys()]);
  assertEquals(await sending.queue(queue.name).purge(), 0);
  await sending.delete(queue);
});

test("a consumer that waits behind PgBouncer looks by itself, and leaves no settings in the server's sessions", async (url) => {
  const queue = new Queue<string>(unique("pooled"));
  await using connection = createConnection(url);
  await connection.declare(queue);
  await using consumer = connection.consumer(queue);
  const waiting = consumer[Symbol.asyncIterator]().next();
  await using other = createConnection(
    Deno.env.get("DASHI_TEST_POSTGRES_URL") ?? "",
  );
  await other.send(queue, "from beside the pooler");
  const { value } = await waiting;
  assertEquals(value?.payload, "from beside the pooler");
  await value?.ack();
  // By a client of its own: one of the library's may be within a transaction, which has them.
  await withClient(url, async (client) => {
    for (let i = 0; i < 6; i++) {
      const { rows: [row] } = await client.query("SHOW enable_seqscan");
      assertEquals(row?.enable_seqscan, "on");
    }
  });
  await connection.delete(queue);
});
