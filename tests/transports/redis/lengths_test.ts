import { assert, assertEquals } from "@std/assert";
import { Queue } from "@dashi/mq";
import {
  messageTo,
  openTransport,
  queueOf,
} from "../../support/redis_transport.ts";
import { connectTo, pause, Raw, test } from "../../support/redis.ts";

test("x-max-length-bytes holds by sums that are kept, whatever takes and puts", async (server) => {
  await using raw = new Raw(server.port);
  const queue = new Queue("bytes", { maxLengthBytes: 1000 });
  await using connection = connectTo(server.url);
  const producer = connection.producer<Uint8Array>({ declare: [queue] });
  const publish = (
    size: number,
    rest: { expiration?: number; delay?: number } = {},
  ) =>
    producer.publish(new Uint8Array(size), { routingKey: queue.name, ...rest });
  const sizes = async () =>
    (await raw.texts("LRANGE", queue.name, 0, -1))
      .map((text) => atob(JSON.parse(text).body).length);
  const kept = async () => {
    const [count, sum] = String(await raw.send("HGET", "dashi.sizes", "bytes"))
      .split(":").map(Number);
    return { count, sum };
  };
  const assertKept = async () => {
    const all = await sizes();
    assertEquals(await kept(), {
      count: all.length,
      sum: all.reduce((sum, each) => sum + each, 0),
    });
  };
  for (const size of [301, 302, 303]) await publish(size);
  await assertKept();
  await publish(500);
  assertEquals(await sizes(), [500, 303]);
  await assertKept();
  // A message that is taken counts no more, and one that goes back does again.
  const iterator = connection.consumer<Uint8Array>(queue, { prefetch: 1 })
    [Symbol.asyncIterator]();
  const { value: first } = await iterator.next();
  await assertKept();
  await first?.requeue();
  await iterator.return?.();
  await assertKept();
  await using transport = await openTransport(server.url);
  const channel = await transport.openChannel();
  await channel.purgeQueue(queue.name);
  await publish(10, { expiration: 1 });
  await pause(20);
  await publish(990, { delay: 1 });
  while ((await sizes()).join() !== "990") {
    await pause(20);
    await connection.declare(queue);
  }
  await publish(10);
  assertEquals(await sizes(), [10, 990]);
  await assertKept();
  // Kombu neither knows of the sum nor keeps it.
  const [last = ""] = await raw.texts("LRANGE", queue.name, 0, 0);
  await raw.send("RPOP", queue.name);
  await raw.send("LPUSH", queue.name, ...Array(5).fill(last));
  await publish(900);
  await assertKept();
  await publish(41);
  assertEquals(await sizes(), [41, 900, 10, 10, 10, 10, 10]);
  await channel.deleteQueue(queue.name);
  assertEquals(await raw.number("EXISTS", "dashi.sizes"), 0);
});

test("messages that a length limit pushes out go at once if nobody is to have them", async (server) => {
  await using raw = new Raw(server.port);
  await using transport = await openTransport(server.url);
  const channel = await transport.openChannel();
  await channel.publish(messageTo("", "q"));
  const [text] = await raw.texts("LRANGE", "q", 0, 0);
  await raw.send("LPUSH", "q", ...Array(5000).fill(text));
  await channel.declareQueue(queueOf("q", { "x-max-length": 10 }));
  await raw.send("CONFIG", "RESETSTAT");
  let count = 0;
  while (await raw.number("LLEN", "q") > 10) {
    await channel.publish(messageTo("", "q"));
    count++;
  }
  assert(count > 1 && count < 20, `${count}`);
  // Nothing was held meanwhile.
  const stats = String(await raw.send("INFO", "commandstats"));
  assert(!stats.includes("cmdstat_hset:"), stats);
});
