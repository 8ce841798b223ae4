/** A cluster that refuses what serverless kinds refuse. */

import { assertEquals } from "@std/assert";
import { Exchange, Queue } from "@dashi/mq";
import { rejectsWith } from "../../conformance/support.ts";
import { startRedisCluster } from "../../brokers/redis_cluster.ts";
import { connectTo, testAlone } from "../../support/redis.ts";

testAlone(
  "in a cluster a user without CLIENT, SCRIPT, SELECT, CONFIG and INFO sends and takes, in several queues, and another database than 0 is refused",
  async () => {
    const cluster = await startRedisCluster({ replicas: false });
    try {
      const forbidden = "-client -script -select -config -info -monitor -debug";
      for (const node of cluster.primaries) {
        const rules = ["on", ">secret", "~*", "&*", "+@all"];
        const all = [
          "ACL",
          "SETUSER",
          "app",
          ...rules,
          ...forbidden.split(" "),
        ];
        assertEquals(await node.command(...all), "+OK");
      }
      const url = cluster.url.replace("redis://", "redis://app:secret@");
      const events = new Exchange("events", { type: "fanout" });
      const queues = ["orders", "mails", "bills"].map((name) =>
        new Queue(name, { exchange: events })
      );
      await using wrong = connectTo(cluster.url.replace("/0?", "/1?"));
      await rejectsWith(wrong.connect(), "not-found", "database 0 alone");
      await using sender = connectTo(url);
      await using receiver = connectTo(url);
      const seen: string[] = [];
      const { promise, resolve } = Promise.withResolvers<void>();
      const consumer = receiver.consumer<number>(queues);
      const running = consumer.run(({ payload, deliveryInfo }) => {
        seen.push(`${deliveryInfo.queue} ${payload}`);
        if (seen.length === 6) resolve();
      });
      const producer = sender.producer<number>({ declare: queues });
      await producer.publish(1, { exchange: events.name });
      // While nobody is told of it: it is looked for.
      await producer.publish(2, { exchange: events.name, delay: 50 });
      await promise;
      await consumer.close();
      await running;
      assertEquals(
        seen.sort(),
        ["bills 1", "bills 2", "mails 1", "mails 2", "orders 1", "orders 2"],
      );
    } finally {
      await cluster.stop();
    }
  },
);
