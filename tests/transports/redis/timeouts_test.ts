/** Calls that miss their deadlines, and servers that are none. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { MessagingError, Queue, TimeoutError } from "@dashi/mq";
import { Proxy } from "../../support/proxy.ts";
import { connectTo, pause, Raw, test, testAlone } from "../../support/redis.ts";

test("a call that misses its deadline fails alone: the connection lives, and what came late is not lost", async (server) => {
  await using raw = new Raw(server.port);
  await using proxy = Proxy.to(server.url);
  await using connection = connectTo(proxy.urlOf(server.url));
  let losses = 0;
  (async () => {
    for await (const event of connection.events()) {
      if (event.type === "lost") losses++;
    }
  })();
  const [jobs, late, full] = [
    new Queue("jobs"),
    new Queue("late"),
    new Queue("full", { maxLength: 1 }),
  ];
  const producer = connection.producer<number>({ declare: [jobs, late, full] });
  await producer.publish(1, { routingKey: "jobs" });
  await producer.publish(2, { routingKey: "late" });
  await producer.publish(3, { routingKey: "full" });
  const iterator = connection.consumer<number>(jobs)[Symbol.asyncIterator]();
  const { value: held } = await iterator.next();
  assert(held !== undefined);
  await using simple = connection.simpleQueue<number>(late);
  await simple.put(4);
  proxy.delay(1500);
  const timeout = 100;
  const calls = {
    publish: () => producer.publish(5, { routingKey: "jobs", timeout }),
    displace: () => producer.publish(6, { routingKey: "full", timeout }),
    delay: () => producer.publish(7, { routingKey: "jobs", delay: 1, timeout }),
    declare: () => connection.declare(new Queue("another"), { timeout }),
    get: () => simple.get({ timeout }),
    ack: () => held.ack({ timeout }),
  };
  // One that has time enough waits on, beside one that has not.
  const patient = producer.publish(8, { routingKey: "jobs" });
  for (const [name, call] of Object.entries(calls)) {
    await assertRejects<Error>(call, TimeoutError, undefined, name);
  }
  await patient;
  proxy.delay(0);
  const taken = [await simple.get(), await simple.get()];
  assertEquals(taken.map((each) => each?.payload).sort(), [2, 4]);
  for (const each of taken) await each?.ack();
  // The message that was pushed out for a caller who had gone was given back, for the next
  // to push out.
  await producer.publish(9, { routingKey: "full" });
  while (await raw.number("HLEN", "unacked") > 4) await pause(20);
  assertEquals(await raw.number("LLEN", "full"), 1);
  assertEquals(losses, 0);
  await iterator.return?.();
});

/** Answers to a command, of something that is no Redis. */
const ANSWERS: Readonly<Record<string, (command: string) => string>> = {
  "numbers to SUBSCRIBE": (said) =>
    /SUBSCRIBE|\bID\b/.test(said) ? ":5\r\n" : "",
  "empty lists": (said) => /SUBSCRIBE/.test(said) ? "*0\r\n" : "",
  "lists of nothing": (said) => /SUBSCRIBE/.test(said) ? "*1\r\n$-1\r\n" : "",
  "half of a message": (said) =>
    /SUBSCRIBE/.test(said)
      ? "*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n*2\r\n$8\r\npmessage\r\n$1\r\nx\r\n"
      : "",
  "more than was asked for": (said) =>
    /\bID\b/.test(said) ? ":5\r\n".repeat(50) + "$-1\r\n" : "",
  "a word to scripts": (said) =>
    /EVAL/.test(said)
      ? "+OK\r\n"
      : /SUBSCRIBE/.test(said)
      ? "*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n"
      : /\bID\b/.test(said)
      ? ":5\r\n"
      : "",
};
for (const [name, answer] of Object.entries(ANSWERS)) {
  testAlone(
    `a server that is no Redis and answers with ${name} is an error, not the end of the process, nor of its peace`,
    async () => {
      const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
      let count = 0;
      const serving = (async () => {
        for await (const socket of listener) {
          (async () => {
            for await (const piece of socket.readable) {
              const said = new TextDecoder().decode(piece).toUpperCase();
              for (const command of said.split(/(?=\*\d+\r\n\$)/)) {
                if (/EVAL/.test(command)) count++;
                const reply = answer(command) || "+OK\r\n";
                await socket.write(new TextEncoder().encode(reply));
              }
            }
          })().catch(() => {});
        }
      })();
      const connection = connectTo(
        `redis://127.0.0.1:${listener.addr.port}/0`,
        { connectTimeout: 1500, heartbeat: 0 },
      );
      await assertRejects(() => connection.connect(), MessagingError);
      assert(count < 100, `${count} scripts`);
      await connection.close();
      listener.close();
      await serving.catch(() => {});
    },
  );
}
