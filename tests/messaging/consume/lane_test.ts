/** What a consumer holds, and what becomes of it. */

import { assert, assertEquals } from "@std/assert";
import { AccessRefusedError, createConnection, Queue } from "@dashi/mq";
import { SYSTEM_CLOCK } from "../../../async/clock.ts";
import { MemoryBroker } from "../../../transports/memory/broker.ts";
import { MemoryStore } from "../../../transports/memory/store.ts";
import { createStoreTransport } from "../../../transports/store/mod.ts";
import { changed } from "../../support/stores.ts";

/** A connection to a broker that can be told to refuse, later, what is given back or acked. */
function refusing() {
  const broker = new MemoryBroker(SYSTEM_CLOCK);
  const told = { refuses: false, refused: 0 };
  const transport = createStoreTransport({
    name: "refusing",
    open(_, options) {
      const inner = new MemoryStore(broker, options);
      return Promise.resolve(changed(inner, {
        messages: {
          async remove(reservations) {
            if (!told.refuses) {
              return await inner.messages.remove(reservations);
            }
            told.refused++;
            throw new AccessRefusedError("not now");
          },
          async release(reservations) {
            if (!told.refuses) {
              return await inner.messages.release(reservations);
            }
            await new Promise((resolve) => setTimeout(resolve, 20));
            told.refused++;
            throw new AccessRefusedError("not now");
          },
        },
      }));
    },
  });
  return { told, connection: createConnection("refusing://", { transport }) };
}

Deno.test("a loop has ended when what it fetched is given back, or the broker has refused that", async () => {
  const { told, connection } = refusing();
  const queue = new Queue("q");
  const producer = connection.producer({ declare: [queue], routingKey: "q" });
  for (const each of [1, 2, 3]) await producer.publish(each);
  const iterator = connection.consumer<number>(queue)[Symbol.asyncIterator]();
  const { value: first } = await iterator.next();
  assert(first !== undefined);
  told.refuses = true;
  await iterator.return?.();
  assert(told.refused > 0);
  told.refuses = false;
  await first.ack();
  const payloads: unknown[] = [];
  for await (const message of connection.consumer<number>(queue)) {
    await message.ack();
    if (payloads.push(message.payload) === 2) break;
  }
  assertEquals(payloads.sort(), [2, 3]);
  await connection.close();
});

Deno.test("a simple queue has ended when what it holds is given back, or the broker has refused that", async () => {
  const { told, connection } = refusing();
  const simple = connection.simpleQueue<number>("q");
  await simple.put(1);
  assert(await simple.get() !== undefined);
  told.refuses = true;
  await simple.close();
  assertEquals(told.refused, 1);
  told.refuses = false;
  await connection.close();
});

Deno.test("a consumer has ended when what nobody settled in time is given back, or the broker has refused that", async () => {
  const { told, connection } = refusing();
  const queue = new Queue("q");
  const producer = connection.producer({ declare: [queue], routingKey: "q" });
  await producer.publish(1);
  const consumer = connection.consumer<number>(queue);
  const { value: held } = await consumer[Symbol.asyncIterator]().next();
  assert(held !== undefined);
  told.refuses = true;
  await consumer.close({ drainTimeout: 10 });
  assertEquals(told.refused, 1);
  told.refuses = false;
  await connection.close();
});

Deno.test("a loop with autoAck goes on though the broker refuses an ack, and nothing is left unhandled", async () => {
  const { told, connection } = refusing();
  const queue = new Queue("q");
  const producer = connection.producer({ declare: [queue], routingKey: "q" });
  for (const each of [1, 2]) await producer.publish(each);
  told.refuses = true;
  const payloads: number[] = [];
  const consumer = connection.consumer<number>(queue, { autoAck: true });
  for await (const { payload } of consumer) {
    if (payloads.push(payload) === 2) break;
  }
  assertEquals(payloads, [1, 2]);
  assert(told.refused > 0);
  told.refuses = false;
  await connection.close();
});
