/** Calls that are late, settlements that were not heard of, and a server that is drained. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { createConnection, MessagingError, Queue } from "@dashi/mq";
import { startBeanstalk } from "../../brokers/beanstalk.ts";
import { publishing } from "../../conformance/support.ts";
import {
  connect,
  proxyTo,
  queueOf,
  RawClient,
  testOnServer,
} from "../../support/beanstalk.ts";

testOnServer(
  "a call that is late fails alone: messages that others hold stay theirs",
  async (server) => {
    const { proxy, url } = proxyTo(server);
    const connection = await connect(url);
    const channel = await connection.openChannel();
    await channel.declareQueue(queueOf("q"));
    for (let i = 0; i < 5; i++) {
      await channel.publish(publishing("", "q", "0123456789"));
    }
    const tags = [];
    for (let i = 0; i < 5; i++) {
      const delivery = await channel.get("q");
      assert(delivery !== undefined);
      tags.push(delivery.deliveryTag);
    }
    proxy.delay(600);
    for (
      const call of [
        () => channel.publish(publishing("", "other", "0123456789"), soon()),
        () => channel.checkQueue("q", soon()),
        () => channel.purgeQueue("other", soon()),
        () => channel.get("other", soon()),
      ]
    ) {
      const error = await assertRejects(call, MessagingError);
      assertEquals(error.code, "timed-out");
    }
    proxy.heal();
    await Promise.all(tags.map((tag) => channel.ack(tag)));
    assertEquals((await channel.checkQueue("q")).messageCount, 0);
    await connection[Symbol.asyncDispose]();
    await proxy[Symbol.asyncDispose]();
  },
);

/** Limits that a slow network misses by a second: what it answers has been on it twice. */
function soon(): { readonly deadline: number } {
  return { deadline: performance.now() + 100 };
}

testOnServer(
  "an ack whose answer is late may be called again, and is done once",
  async (server) => {
    const { proxy, url } = proxyTo(server);
    const connection = await connect(url);
    const channel = await connection.openChannel();
    await channel.declareQueue(queueOf("q"));
    await channel.publish(publishing("", "q", "0123456789"));
    const delivery = await channel.get("q");
    assert(delivery !== undefined);
    proxy.delay(600);
    const error = await assertRejects(
      () => channel.ack(delivery.deliveryTag, soon()),
      MessagingError,
    );
    assertEquals(error.code, "timed-out");
    proxy.heal();
    await channel.ack(delivery.deliveryTag);
    assertEquals((await channel.checkQueue("q")).messageCount, 0);
    await connection[Symbol.asyncDispose]();
    await proxy[Symbol.asyncDispose]();
  },
);

testOnServer(
  "a publish leaves a server that is drained for another, if there is one",
  async (server) => {
    const other = await startBeanstalk();
    try {
      await using both = createConnection([server.url, other.url]);
      await using alone = createConnection(server.url, { reconnect: false });
      const queue = new Queue("jobs");
      const options = { declare: [queue] };
      await both.producer<string>(options).publish("before", {
        routingKey: "jobs",
      });
      await alone.connect();
      Deno.kill(server.pid, "SIGUSR1");
      using raw = await RawClient.open(server);
      const draining = async () =>
        new TextDecoder().decode((await raw.ask("stats")).body)
          .includes("draining: true");
      while (!await draining());
      await both.producer<string>(options).publish("after", {
        routingKey: "jobs",
      });
      const error = await assertRejects(
        () => alone.producer().publish("no", { routingKey: "jobs" }),
        MessagingError,
      );
      assertEquals([error.code, error.retryable], ["publish-refused", true]);
      for (
        const [url, payload] of [[server.url, "before"], [other.url, "after"]]
      ) {
        await using connection = createConnection(url ?? "");
        for await (const got of connection.consumer<string>(queue)) {
          assertEquals(got.payload, payload);
          await got.ack();
          break;
        }
      }
    } finally {
      await other.stop();
    }
  },
);
