/** Requests over connections that are cut, and processes that are killed. */

import { assert, assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { assertNothingLeft, resources } from "../support/leaks.ts";
import { Proxy } from "../support/proxy.ts";
import { onEach } from "../support/targets.ts";

/** How many are asked at once. */
const COUNT = 200;

onEach(
  "requests are all answered while the connections of both sides are cut (row 16)",
  async (url) => {
    const before = resources();
    const proxies = [Proxy.to(url), Proxy.to(url)] as const;
    const options = {
      heartbeat: 2000,
      operationTimeout: 60_000,
      reconnect: { initialDelay: 50, maxDelay: 500 },
      onUnhandled: () => {},
    };
    const asking = createConnection(proxies[0].urlOf(url), options);
    const serving = createConnection(proxies[1].urlOf(url), options);
    const queue = new Queue<number>(`dashi-requests-${crypto.randomUUID()}`);
    try {
      await serving.declare(queue);
      let calls = 0;
      const cutAt = new Map([
        [20, proxies[0]],
        [60, proxies[1]],
        [100, proxies[0]],
      ]);
      const served = serving.consumer(queue).serve(async ({ payload }) => {
        const proxy = cutAt.get(++calls);
        if (proxy !== undefined) {
          cutAt.delete(calls);
          proxy.cut();
        }
        await new Promise((resolve) => setTimeout(resolve, payload % 7));
        return payload * 2;
      }, { concurrency: 20 });
      const answers = await Promise.all(
        Array.from(
          { length: COUNT },
          (_, n) =>
            asking.request<number>(n, {
              routingKey: queue.name,
              timeout: 60_000,
            }),
        ),
      );
      assertEquals(cutAt.size, 0);
      assert(answers.every((answer, n) => answer === 2 * n));
      assert(calls >= COUNT);
      assertEquals(asking.health().requests.waiting, 0);
      await serving.close({ drainTimeout: 5000 });
      await served;
    } finally {
      await asking.close({ drainTimeout: 5000 });
      await serving.close({ drainTimeout: 5000 });
      const direct = createConnection(url);
      const channel = await direct.channel();
      await channel.deleteQueue(queue.name);
      await direct.close();
      for (const each of proxies) await each[Symbol.asyncDispose]();
    }
    await assertNothingLeft(before);
  },
);
