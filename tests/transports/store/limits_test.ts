/** The limits, counts and losses of a store, at its channel. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { ConnectionError, PublishError } from "../../../model/errors.ts";
import { MemoryBroker } from "../../../transports/memory/broker.ts";
import { MemoryStore } from "../../../transports/memory/store.ts";
import { createStoreTransport } from "../../../transports/store/mod.ts";
import { parseUrl } from "../../../url/mod.ts";
import { TestClock } from "../../../testing/clock.ts";
import { changed, message, open, QUEUE } from "../../support/stores.ts";

Deno.test("a body as large as the store takes is put, and a larger one refused before it is sent", async () => {
  const { channel, connection } = await open((inner) => ({
    limits: { ...inner.limits, itemBytes: 10 },
  }));
  await channel.declareQueue(QUEUE);
  const sized = (size: number) =>
    channel.publish({ ...message("", "q"), body: new Uint8Array(size) });
  assertEquals((await sized(10)).type, "accepted");
  const error = await assertRejects(() => sized(11), PublishError);
  assertEquals(error.code, "message-too-large");
  assert(error.message.includes('queue "q"'), error.message);
  assert(error.message.includes("11 bytes"), error.message);
  assertEquals((await channel.checkQueue("q")).messageCount, 1);
  await connection[Symbol.asyncDispose]();
});

Deno.test("the memory broker counts deliveries, over connections", async () => {
  const clock = new TestClock();
  const broker = new MemoryBroker(clock);
  for (let i = 0; i < 3; i++) {
    const { channel, connection } = await open(() => ({}), clock, broker);
    await channel.declareQueue(QUEUE);
    if (i === 0) await channel.publish(message("", "q"));
    const delivery = await channel.get("q");
    assertEquals([delivery?.deliveryCount, delivery?.redelivered], [i, i > 0]);
    await connection[Symbol.asyncDispose]();
  }
});

Deno.test("a consumer whose store is lost is told that it is", async () => {
  const error = new ConnectionError("it is gone", { code: "connection-lost" });
  const { channel, connection } = await open(() => ({
    messages: { reserve: () => Promise.reject(error) },
  }));
  await channel.declareQueue(QUEUE);
  const subscription = await channel.consume("q", () => {}, { prefetch: 1 });
  const ended = await subscription.ended;
  assertEquals(ended.type, "lost");
  assert(ended.type === "lost" && ended.error === error);
  await connection[Symbol.asyncDispose]();
});

Deno.test("destroy() of a connection is its store's", async () => {
  let destroyed = 0;
  const clock = new TestClock();
  const transport = createStoreTransport({
    name: "destroyed",
    open: () => {
      const inner = new MemoryStore(new MemoryBroker(clock), { clock });
      return Promise.resolve({
        ...changed(inner, {}),
        destroy: () => void destroyed++,
      });
    },
  });
  const connection = await transport.connect(parseUrl("destroyed://"), {
    heartbeat: 0,
    transportOptions: {},
    operationTimeout: 1000,
    owner: "me",
    clock,
  });
  connection.destroy?.();
  assertEquals(destroyed, 1);
  await connection[Symbol.asyncDispose]();
});
