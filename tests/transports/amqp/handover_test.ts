/** The handover from one consumer to the next: the order of a queue, and the replies to a lost connection's requests. */

import { assert, assertEquals } from "@std/assert";
import { type Consumer, createConnection, Queue } from "@dashi/mq";
import { arrives, until } from "../../conformance/support.ts";
import { test } from "../../support/amqp.ts";
import { Proxy } from "../../support/proxy.ts";

const COUNT = 100;
/** Giving back one by one would take seven seconds and more. */
const PATIENCE = 5000;

for (const type of ["classic", "quorum"]) {
  for (const way of ["it is closed", "its loop is left"] as const) {
    test(`the order of a single active consumer's queue is kept when ${way} (${type})`, async ({ url }) => {
      await using first = createConnection(url);
      await using second = createConnection(url);
      const queue = new Queue(`dashi-order-${crypto.randomUUID()}`, {
        expires: 60_000,
        arguments: {
          "x-single-active-consumer": true,
          "x-queue-type": type,
        },
      });
      const producer = second.producer<number>({ declare: [queue] });
      for (let i = 0; i < COUNT; i++) {
        await producer.publish(i, { routingKey: queue.name });
      }
      const order: number[] = [];
      const enough = Promise.withResolvers<void>();
      const late = Promise.withResolvers<void>();
      const before = first.consumer<number>(queue, { prefetch: 50 });
      const handled = async (payload: number) => {
        order.push(payload);
        if (order.length < 10) return;
        enough.resolve();
        await late.promise;
      };
      const ended = way === "it is closed"
        ? before.run(({ payload }) => handled(payload))
        : loop(before, handled);
      await arrives(enough.promise, "ten messages");
      const after = second.consumer<number>(queue, { prefetch: 50 });
      const running = after.run(({ payload }) => void order.push(payload));
      await until(() => after.health().healthy, "the second consumer");
      const began = performance.now();
      late.resolve();
      if (way === "it is closed") await before.close();
      await ended;
      await until(() => order.length >= COUNT, () => `only ${order}`);
      const took = performance.now() - began;
      assert(took < PATIENCE, `it took ${took} ms`);
      assertEquals(order, Array.from({ length: COUNT }, (_, i) => i));
      await after.close();
      await running;
    });
  }
}

/** Takes ten messages, and leaves. */
async function loop(
  consumer: Consumer<number>,
  handle: (payload: number) => Promise<void>,
): Promise<void> {
  let count = 0;
  for await (const message of consumer) {
    await handle(message.payload);
    await message.ack();
    if (++count === 10) break;
  }
}

for (const fault of ["it was held up", "its confirm was lost"] as const) {
  test(`a request that is sent again, for ${fault}, names the new reply queue`, async ({ url }) => {
    await using proxy = Proxy.to(url);
    await using server = createConnection(url);
    await using client = createConnection(proxy.urlOf(url), {
      reconnect: { initialDelay: 20, maxDelay: 200 },
    });
    const requests = new Queue(`dashi-requests-${crypto.randomUUID()}`, {
      expires: 60_000,
    });
    const replies = new Queue("", { exclusive: true });
    const served: string[] = [];
    const answering = server.producer<string>();
    const serving = server.consumer<string>(requests).run(
      async ({ payload, properties }) => {
        served.push(payload);
        const routingKey = properties.replyTo ?? "";
        // The one who asked may be gone.
        await answering.publish(payload, { routingKey }).catch(() => {});
      },
    );
    const answers: string[] = [];
    const taking = client.consumer<string>(replies).run(
      ({ payload }) => void answers.push(payload),
    );
    const producer = client.producer<string>({ declare: [requests, replies] });
    const ask = (what: string) =>
      producer.publish(what, { routingKey: requests.name, replyTo: replies });
    await ask("one");
    await until(() => answers.includes("one"), "the first answer");
    if (fault === "it was held up") proxy.stall();
    else proxy.mute();
    const asking = ask("two");
    if (fault === "its confirm was lost") {
      await until(() => served.includes("two"), "the request");
    }
    proxy.cut();
    proxy.heal();
    await arrives(asking, "its confirm");
    await until(() => answers.includes("two"), "the second answer");
    await client.close();
    await server.close();
    await Promise.all([serving, taking]);
  });
}
