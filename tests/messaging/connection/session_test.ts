import { assertEquals } from "@std/assert";
import { ConnectionError, createConnection, Queue } from "@dashi/mq";
import { MemoryBroker } from "../../../transports/memory/broker.ts";
import { MemoryStore } from "../../../transports/memory/store.ts";
import {
  type CloseReason,
  createStoreTransport,
} from "../../../transports/store/mod.ts";
import { SYSTEM_CLOCK } from "../../../async/clock.ts";
import { changed } from "../../support/stores.ts";

Deno.test("a consumer outlives what is no broker, where a broker was before (row 1)", async () => {
  const broker = new MemoryBroker(SYSTEM_CLOCK);
  let lose = () => {};
  let strangers = 0;
  const transport = createStoreTransport({
    name: "mistaken",
    open(_, { clock }) {
      if (strangers > 0) {
        strangers--;
        const error = new ConnectionError("Cannot connect: it is no broker", {
          code: "connection-failed",
          retryable: false,
          outcome: "not-sent",
        });
        return Promise.reject(error);
      }
      const inner = new MemoryStore(broker, { clock });
      const { promise: closed, resolve } = Promise.withResolvers<CloseReason>();
      lose = () => {
        resolve({ type: "lost", error: new Error("lost") });
        void inner[Symbol.asyncDispose]();
      };
      inner.closed.then(resolve);
      return Promise.resolve({ ...changed(inner, {}), closed });
    },
  });
  const options = { transport, reconnect: { initialDelay: 1, maxDelay: 5 } };
  await using connection = createConnection("mistaken://", options);
  const queue = new Queue("q");
  await connection.declare(queue);
  const iterator = connection.consumer(queue)[Symbol.asyncIterator]();
  const first = iterator.next();
  const producer = connection.producer();
  await producer.publish(1, { routingKey: queue.name });
  await (await first).value?.ack();
  const second = iterator.next();
  strangers = 3;
  lose();
  await producer.publish(2, { routingKey: queue.name });
  assertEquals([(await second).value?.payload, strangers], [2, 0]);
  await iterator.return?.();
  // One that never was a broker is told at once.
  strangers = 3;
  await using other = createConnection("mistaken://", options);
  const error = await other.connect().catch((error) => error);
  assertEquals([error.code, strangers], ["connection-failed", 2]);
});
