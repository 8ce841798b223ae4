/** Requests over connections that are cut, and processes that are killed. */

import { assert, assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { apart } from "../support/apart.ts";
import { assertNothingLeft, resources } from "../support/leaks.ts";
import { Proxy } from "../support/proxy.ts";
import { ALL, onEach } from "../support/targets.ts";

const CHILD = new URL("requests_child.ts", import.meta.url).pathname;
const CONFIG = new URL("../../deno.json", import.meta.url).pathname;

/** How long each may take, ms. */
const PATIENCE = ALL ? 600_000 : 60_000;

/** How many are asked at once. */
const COUNT = ALL ? 10_000 : 200;

onEach(
  "requests are all answered while the connections of both sides are cut (row 16)",
  async (url) => {
    const before = resources();
    const proxies = [Proxy.to(url), Proxy.to(url)] as const;
    const options = {
      heartbeat: 2000,
      operationTimeout: PATIENCE,
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
        [COUNT / 10, proxies[0]],
        [3 * COUNT / 10, proxies[1]],
        [COUNT / 2, proxies[0]],
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
              timeout: PATIENCE,
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

onEach(
  "a request whose handler's process is killed is answered by another (row 16)",
  async (given) => {
    const before = resources();
    // Redis waits for the end of a lease, which is half a minute without this.
    const url = given.startsWith("redis:")
      ? apart(`${given}?visibility_timeout=2`)
      : given;
    const connection = createConnection(url, { operationTimeout: 60_000 });
    const queue = new Queue<number>(`dashi-requests-${crypto.randomUUID()}`);
    try {
      await connection.declare(queue);
      const asking = Promise.all(
        Array.from(
          { length: 10 },
          (_, n) =>
            connection.request<number>(n, {
              routingKey: queue.name,
              timeout: 90_000,
            }),
        ),
      );
      const { signal } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", "--no-check", "--config", CONFIG, CHILD].concat(
          url,
          queue.name,
        ),
        stdin: "null",
        stdout: "null",
        stderr: "null",
      }).output();
      assertEquals(signal, "SIGKILL");
      assert(connection.health().requests.waiting > 0);
      const consumer = connection.consumer(queue);
      const served = consumer.serve(({ payload }) => payload);
      const answers = await asking;
      assertEquals(answers, Array.from({ length: 10 }, (_, n) => n));
      await consumer.cancel();
      await served;
    } finally {
      const channel = await connection.channel();
      await channel.deleteQueue(queue.name);
      await connection.close({ drainTimeout: 5000 });
    }
    await assertNothingLeft(before);
  },
);
