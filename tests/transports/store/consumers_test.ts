/** Consumers in the tables, over the connections of their owner. */

import { assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { AccessRefusedError } from "../../../model/errors.ts";
import { MemoryBroker } from "../../../transports/memory/broker.ts";
import { TestClock } from "../../../testing/clock.ts";
import { open, QUEUE } from "../../support/stores.ts";

Deno.test("a consumer takes the place of those that its owner's lost connection has left, and of no other", async () => {
  const clock = new TestClock();
  const broker = new MemoryBroker(clock);
  const lost = await open(() => ({}), clock, broker, "me");
  await lost.channel.declareQueue(QUEUE);
  const exclusive = { prefetch: 1, exclusive: true };
  await lost.channel.consume("q", () => {}, exclusive);
  const consumers = () => broker.topology.queue("q")?.consumers.length;

  const other = await open(() => ({}), clock, broker, "other");
  const refused = await assertRejects(() =>
    other.channel.consume("q", () => {}, exclusive)
  );
  assertInstanceOf(refused, AccessRefusedError);

  const again = await open(() => ({}), clock, broker, "me");
  await again.channel.consume("q", () => {}, exclusive);
  assertEquals(consumers(), 1);
  await assertRejects(() => again.channel.consume("q", () => {}, exclusive));
  await again.channel[Symbol.asyncDispose]();
  assertEquals(consumers(), 0);

  // By the same tag, and beside others of this connection.
  const tagged = { prefetch: 1, consumerTag: "t" };
  await lost.channel.consume("q", () => {}, tagged);
  const channel = await again.connection.openChannel();
  await channel.consume("q", () => {}, { prefetch: 1 });
  await channel.consume("q", () => {}, tagged);
  assertEquals(consumers(), 2);
  for (const { connection } of [again, other, lost]) {
    await connection[Symbol.asyncDispose]();
  }
});
