import { assert, assertEquals } from "@std/assert";
import { createConnection, MessagingError, Queue } from "@dashi/mq";
import { resources } from "../support/leaks.ts";
import { Proxy } from "../support/proxy.ts";
import { onEach } from "../support/targets.ts";
import { deadLettering, type Word, Worker } from "../support/worker.ts";

/** The time that a busy machine may take beyond what is promised, ms. */
const NOISE = 4000;

onEach(
  "a connection that is closed in a black hole keeps no process alive (row 26)",
  async (url) => {
    await using proxy = Proxy.to(url);
    const queue = `dashi-closing-${crypto.randomUUID()}`;
    const direct = createConnection(url);
    await direct.producer({ declare: [new Queue(queue)] }).publish(1, {
      routingKey: queue,
    });
    try {
      await using worker = new Worker({
        url: proxy.urlOf(url),
        queue,
        mode: "close",
      });
      await worker.until(({ ready }) => ready === true);
      proxy.stall();
      await worker.tell("close");
      const { closed = Infinity } = await worker.until(({ closed }) =>
        closed !== undefined
      );
      assert(closed < 1000 + NOISE, `it took ${closed} ms to close`);
      const began = performance.now();
      const well = await worker.end();
      const took = performance.now() - began;
      assert(well);
      assert(took < 1000 + NOISE, `it lived on for ${took} ms`);
    } finally {
      const channel = await direct.channel();
      await channel.deleteQueue(queue);
      await direct.close();
    }
  },
);

onEach(
  "a connection that is closed in a black hole leaves no socket, nor a call that waits (row 26)",
  async (url) => {
    await using proxy = Proxy.to(url);
    const before = resources();
    const connection = createConnection(proxy.urlOf(url));
    const name = `dashi-closing-${crypto.randomUUID()}`;
    const queue = new Queue(name, { durable: false, autoDelete: true });
    const producer = connection.producer({ declare: [queue] });
    await producer.publish(1, { routingKey: name });
    const iterator = connection.consumer(queue)[Symbol.asyncIterator]();
    await iterator.next();
    proxy.stall();
    const calls = [
      iterator.next(),
      producer.publish(2, { routingKey: name }),
      connection.declare(new Queue(`${name}-2`)),
    ].map((call) => call.catch((error: unknown) => error));
    await connection.close({ drainTimeout: 300 });
    assertEquals(resources(), before);
    const [, published, declared] = await Promise.all(calls);
    for (const error of [published, declared]) {
      assert(error instanceof MessagingError, Deno.inspect(error));
    }
    const direct = createConnection(url);
    const channel = await direct.channel();
    for (const each of [name, `${name}-2`]) await channel.deleteQueue(each);
    await direct.close();
  },
);

onEach(
  "a handler that throws is called exactly five times over three processes, with the gaps of its backoff, and then the message is dead-lettered once (row 9)",
  async (url) => {
    const name = `dashi-retrying-${crypto.randomUUID()}`;
    const queues = deadLettering(name);
    const [dead, queue] = queues;
    const connection = createConnection(url);
    const words: [worker: number, word: Word][] = [];
    const retry = {
      attempts: 5,
      initialDelay: 1000,
      maxDelay: 2000,
      jitter: 0,
    };
    // Each ends after two of the five: it takes three of them.
    const workers = [1, 2, 3].map((number) =>
      new Worker(
        { url, queue: name, mode: "fail", from: 2, retry },
        (word) => words.push([number, word]),
      )
    );
    try {
      const [binding] = queue.bindings;
      await connection.producer({ declare: queues }).publish("bad", {
        exchange: binding?.exchange ?? "",
        routingKey: "work",
      });
      const iterator = connection.consumer<string>(dead)
        [Symbol.asyncIterator]();
      const { value: letter } = await iterator.next();
      assert(letter !== undefined);
      await letter.ack();
      assertEquals(words.map(([, { failed }]) => failed), [1, 2, 3, 4, 5]);
      assertEquals(new Set(words.map(([number]) => number)).size, 3);
      for (const [i, delay] of [1000, 2000, 2000, 2000].entries()) {
        const [before, after] = [words[i]?.[1].at, words[i + 1]?.[1].at];
        const gap = (after ?? Infinity) - (before ?? 0);
        assert(
          gap >= 0.8 * delay && gap <= 1.2 * delay + NOISE,
          `the gap was ${gap} ms, and should be ${delay}`,
        );
      }
      const { headers, payload } = letter;
      assertEquals([payload, headers["x-attempts"]], ["bad", 5]);
      const death = headers["x-death"];
      assert(Array.isArray(death) && death.length === 1);
      const [{ reason, exchange, queue: from, "routing-keys": keys }] = death;
      assertEquals(
        [reason, exchange, from, keys],
        ["rejected", name, name, ["work"]],
      );
      await iterator.return?.();
      for (const { messageCount } of await connection.declare(queues)) {
        assertEquals(messageCount, 0);
      }
    } finally {
      for (const worker of workers) await worker[Symbol.asyncDispose]();
      const channel = await connection.channel();
      for (const each of queues) await channel.deleteQueue(each.name);
      for (const each of [name, `${name}-dead`]) {
        await channel.deleteExchange(each);
      }
      await connection.close();
    }
  },
);
