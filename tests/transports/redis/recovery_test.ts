import { assert, assertEquals } from "@std/assert";
import { Queue } from "@dashi/mq";
import { Proxy } from "../../support/proxy.ts";
import { connectTo, nextLoss, Raw, test } from "../../support/redis.ts";

test("a publish whose declaration was cut off declares again, and is published", async (server) => {
  await using proxy = Proxy.to(server.url);
  await using connection = connectTo(proxy.urlOf(server.url));
  await connection.connect();
  proxy.stall();
  const queue = new Queue("declared");
  const sent = connection.producer({ declare: [queue] })
    .publish(1, { routingKey: queue.name });
  proxy.heal();
  await sent;
  const [status] = await connection.declare([queue]);
  assertEquals(status?.messageCount, 1);
});

test("a consumer whose connection is lost while it is cancelled is cancelled", async (server) => {
  await using proxy = Proxy.to(server.url);
  await using connection = connectTo(proxy.urlOf(server.url));
  const queue = new Queue("cancelled");
  const producer = connection.producer({ declare: [queue] });
  const consumer = connection.consumer(queue);
  const iterator = consumer[Symbol.asyncIterator]();
  const first = iterator.next();
  await producer.publish(1, { routingKey: queue.name });
  await (await first).value?.ack();
  proxy.stall();
  const cancelling = consumer.cancel();
  proxy.heal();
  await cancelling;
  assertEquals((await iterator.next()).done, true);
});

test("a consumer goes on after a server that was silent while it consumed again (row 1)", async (server) => {
  await using proxy = Proxy.to(server.url);
  await using connection = connectTo(proxy.urlOf(server.url), {
    operationTimeout: 2000,
    connectTimeout: 2000,
    heartbeat: 0,
  });
  const queue = new Queue("silent");
  const iterator = connection.consumer<number>(queue)[Symbol.asyncIterator]();
  await using sender = connectTo(server.url);
  const producer = sender.producer<number>({ declare: [queue] });
  const first = iterator.next();
  await producer.publish(1, { routingKey: queue.name });
  await (await first).value?.ack();
  const next = iterator.next();
  const lost = nextLoss(connection);
  const events = connection.events();
  proxy.cut();
  await lost;
  let silences = 0;
  for await (const event of events) {
    if (event.type === "state" && event.state.type === "open") {
      // Its later requests are never answered.
      if (++silences > 2) break;
      proxy.stall();
    } else if (event.type === "lost" && silences > 0) proxy.heal();
  }
  await producer.publish(2, { routingKey: queue.name });
  const { value } = await next;
  assert(value !== undefined);
  assertEquals(value.payload, 2);
  await value.ack();
  await iterator.return?.();
});

test("messages that a connection held go back at once when it is had again (row 6)", async (server) => {
  await using proxy = Proxy.to(server.url);
  await using connection = connectTo(proxy.urlOf(server.url));
  const queue = new Queue("held");
  await using sender = connectTo(server.url);
  const producer = sender.producer<number>({ declare: [queue] });
  for (let i = 0; i < 10; i++) {
    await producer.publish(i, { routingKey: queue.name });
  }
  const iterator = connection.consumer<number>(queue)[Symbol.asyncIterator]();
  const before = (await iterator.next()).value;
  assert(before !== undefined);
  const { signal } = before;
  proxy.cut();
  const seen: (readonly [number, boolean, number | undefined])[] = [];
  while (seen.length < 10) {
    const { value } = await iterator.next();
    assert(value !== undefined);
    // Messages that had come before the cut cannot be acked.
    const acked = await value.ack().then(() => true, () => false);
    if (!acked) continue;
    const { payload, deliveryInfo, deliveryCount } = value;
    seen.push([payload, deliveryInfo.redelivered, deliveryCount]);
  }
  assertEquals(signal.aborted, true);
  assertEquals(
    seen,
    Array.from({ length: 10 }, (_, i) => [i, true, 1] as const),
  );
  await iterator.return?.();
  await using raw = new Raw(server.port);
  assertEquals(await raw.number("EXISTS", "unacked", "unacked_index"), 0);
});
