/** A program at a leaf node uses the JetStream of another domain, that of the hub. */

import { assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { freePort } from "../../brokers/ports.ts";
import { isInstalled, startNats } from "../../brokers/nats.ts";
import type { LastingServer } from "../../brokers/server.ts";
import { rejectsWith } from "../../conformance/support.ts";

Deno.test({
  name:
    "NATS: behind a leaf node messages are put, taken, retried and dead-lettered in the hub's domain",
  ignore: !isInstalled(),
  fn: async () => {
    const servers: LastingServer[] = [];
    const start = async (domain: string, config: string) => {
      const server = await startNats({
        syncs: false,
        jetstream: `domain: ${domain}`,
        config: `server_name: ${domain}\n${config}`,
      });
      servers.push(server);
      return server.url;
    };
    try {
      const port = freePort();
      const listen = `127.0.0.1:${port}`;
      const hub = await start("hub", `leafnodes { listen: "${listen}" }`);
      const leaf = await start(
        "leaf",
        `leafnodes { remotes: [{ url: "nats://${listen}" }] }`,
      );
      const queue = new Queue<number>("orders", { deadLetter: "dead" });
      await using behind = createConnection(`${leaf}?domain=hub`);
      await behind.send(queue, 1);
      await behind.send(queue, 2, { delay: 100 });
      // The hub's own clients have the same queue.
      await using at = createConnection(hub);
      assertEquals((await at.queueStatus("orders")).messageCount, 1);
      const got: (readonly [number, number])[] = [];
      const consumer = behind.consumer(queue);
      await consumer.run(({ payload, attempt }) => {
        if (got.push([payload, attempt]) === 3) void consumer.cancel();
        if (payload === 1) throw new Error("it fails");
      }, { retry: { attempts: 2, backoff: 100 } });
      assertEquals(got.sort(), [[1, 1], [1, 2], [2, 1]]);
      const dead = await at.queue<number>("dead").get();
      assertEquals(dead?.payload, 1);
      await dead?.ack();
      const info = await behind.inspect().queue("orders");
      assertEquals([info?.ready, info?.unacked, info?.delayed], [0, 0, 0]);
      // What is declared in one domain is not known in another.
      await using elsewhere = createConnection(leaf);
      await rejectsWith(elsewhere.queueStatus("orders"), "not-found");
    } finally {
      await Promise.all(servers.map((each) => each.stop()));
    }
  },
});
