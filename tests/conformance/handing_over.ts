import assert from "node:assert/strict";
import { type ConformanceCase, onBroker } from "./case.ts";
import { onStage, take } from "./stage.ts";
import { publishing, soon } from "./support.ts";

/** When a message is a consumer's, and whose it is. */
export const HANDING_OVER: readonly ConformanceCase[] = [
  onStage(
    "a simple buffer puts and gets, without acks",
    async ({ connection, ...stage }) => {
      const { name } = stage.queue();
      const buffer = connection.simpleBuffer<{ n: number }>(name);
      assert.equal(await buffer.getNoWait(), undefined);
      await buffer.put({ n: 1 });
      await buffer.put({ n: 2 });
      await buffer.put({ n: 3 });
      assert.equal(await buffer.size(), 3);
      const seen: unknown[] = [];
      for (let i = 0; i < 2; i++) {
        const message = await buffer.get();
        assert.equal(message.settled, true);
        seen.push(message.payload.n);
      }
      assert.equal(await buffer.clear(), 1);
      assert.equal(await buffer.getNoWait(), undefined);
      assert.equal(new Set(seen).size, 2);
      await buffer[Symbol.asyncDispose]();
      const channel = await connection.channel();
      await channel.deleteExchange(name);
    },
  ),
  onStage(
    "a publisher that changes its bytes and headers afterwards changes no message",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      const producer = connection.producer<Uint8Array>({ declare: [queue] });
      const bytes = Uint8Array.of(1, 2, 3);
      const inner = { list: ["a"] };
      const headers: Record<string, string | { list: string[] }> = { inner };
      await producer.publish(bytes, { routingKey: queue.name, headers });
      bytes.fill(9);
      inner.list.push("b");
      headers.more = "c";
      const [message] = await take(connection.consumer<Uint8Array>(queue), 1);
      assert.deepEqual(message?.body, Uint8Array.of(1, 2, 3));
      assert.deepEqual(message?.headers, { inner: { list: ["a"] } });
      await message?.ack();
    },
  ),
  onBroker(
    "changes of the arguments of publish() after the call change no message",
    async (broker) => {
      const queue = await broker.queue();
      const list = ["a"];
      const properties = {
        type: "before",
        timestamp: new Date(1_700_000_000_000),
        headers: { list },
      };
      const message = publishing("", queue, "body", { properties });
      await broker.channel.publish(message, soon());
      properties.type = "after";
      properties.timestamp.setTime(0);
      list.push("b");
      message.body.fill(9);
      const delivery = await broker.getSoon(queue);
      const { type, timestamp, headers } = delivery.properties;
      assert.equal(type, "before");
      assert.deepEqual(timestamp, new Date(1_700_000_000_000));
      assert.deepEqual(headers, { list: ["a"] });
      assert.equal(new TextDecoder().decode(delivery.body), "body");
    },
  ),
  onStage(
    "a consumer's changes of a message show in no other queue, nor when it comes again",
    async ({ connection, ...stage }) => {
      const exchange = stage.exchange({ type: "direct" });
      const queues = [0, 1].map(() =>
        stage.queue({ exchange, routingKey: "k" })
      );
      const producer = connection.producer<Uint8Array>({
        exchange,
        declare: queues,
      });
      const headers = { inner: { list: ["a"] }, bytes: Uint8Array.of(1) };
      await producer.publish(Uint8Array.of(1, 2, 3), {
        routingKey: "k",
        headers,
      });
      const [first, second] = queues;
      assert(first !== undefined && second !== undefined);
      const [changed] = await take(connection.consumer<Uint8Array>(first), 1);
      assert(changed !== undefined);
      changed.body.fill(9);
      changed.payload.fill(9);
      Reflect.set(changed.headers, "inner", "changed");
      Reflect.set(changed.properties, "messageId", "changed");
      await changed.requeue();
      for (const queue of [first, second]) {
        const [message] = await take(connection.consumer<Uint8Array>(queue), 1);
        assert.deepEqual(message?.body, Uint8Array.of(1, 2, 3));
        assert.deepEqual(message?.headers.inner, { list: ["a"] });
        assert.notEqual(message?.properties.messageId, "changed");
        await message?.ack();
      }
    },
  ),
];
