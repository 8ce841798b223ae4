/** Many payloads, published over a connection that is cut. */

import { assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { assertNothingLeft, resources } from "../support/leaks.ts";
import { Proxy } from "../support/proxy.ts";
import { onEach } from "../support/targets.ts";

const COUNT = 400;

onEach(
  "publishAll() over a connection that is cut again and again publishes each, and says so (row 1)",
  async (url, { name: transport }) => {
    const before = resources();
    const proxy = Proxy.to(url);
    const options = { transport, operationTimeout: 60_000 };
    const cut = createConnection(proxy.urlOf(url), {
      ...options,
      reconnect: { initialDelay: 50, maxDelay: 500 },
      onUnhandled: () => {},
    });
    const direct = createConnection(url, options);
    const queue = new Queue<number>(`dashi-all-${crypto.randomUUID()}`);
    try {
      await direct.declare(queue);
      const told = await cut.producer({ queue }).publishAll(numbers(proxy));
      assertEquals(told, {
        published: COUNT,
        duplicates: 0,
        failed: [],
        complete: true,
      });
      const seen = new Set<number>();
      const consumer = direct.consumer(queue);
      await consumer.run(({ payload }) => {
        if (seen.add(payload).size === COUNT) void consumer.cancel();
      });
    } finally {
      await direct.delete(queue.name);
      await cut.close();
      await direct.close();
      await proxy[Symbol.asyncDispose]();
    }
    await assertNothingLeft(before);
  },
);

/** Cuts the connection now and then while somebody goes through it. */
async function* numbers(proxy: Proxy): AsyncGenerator<number> {
  for (let n = 0; n < COUNT; n++) {
    if (n % 100 === 50) {
      await Promise.resolve();
      proxy.cut();
    }
    yield n;
  }
}
