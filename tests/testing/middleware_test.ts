/** Middlewares that take real time, which a test's clock does not bring. */

import { assertEquals, assertRejects } from "@std/assert";
import { Queue, TimeoutError } from "@dashi/mq";
import { encryption } from "@dashi/mq/middleware";
import { createTestBroker } from "@dashi/mq/testing";

const real = () => new Promise<void>((resolve) => setTimeout(resolve, 20));

Deno.test("time goes on when middlewares have published, handed over and settled", async () => {
  await using broker = createTestBroker();
  const { connection, clock, published } = broker;
  const queue = new Queue("slow");
  await connection.declare(queue);
  const steps: string[] = [];
  connection.use({
    async publish(_, next) {
      await real();
      await next();
      await real();
      steps.push("published");
    },
    async receive() {
      await real();
      steps.push("received");
    },
    async settle(_, next) {
      await real();
      await next();
      await real();
      steps.push("settled");
    },
  });
  const sending = connection.send(queue, 1);
  await clock.advance(1000);
  assertEquals([published.length, steps], [1, ["published"]]);
  await sending;

  const getting = connection.queue(queue).get();
  await clock.advance(1000);
  assertEquals(steps, ["published", "received"]);
  const settling = (await getting)?.requeue();
  await clock.advance(1000);
  assertEquals(steps, ["published", "received", "settled"]);
  await settling;

  const consumer = connection.consumer(queue);
  const running = consumer.run(() => void steps.push("handled"));
  await clock.advance(1000);
  assertEquals(steps.slice(3), ["received", "handled", "settled"]);
  await consumer.cancel();
  await running;
});

Deno.test("a publish that is encrypted is there when time has passed", async () => {
  await using broker = createTestBroker();
  const { connection, clock, idle, published } = broker;
  const keys = { one: crypto.getRandomValues(new Uint8Array(32)) };
  connection.use(encryption({ keys, current: "one" }));
  const queue = new Queue("secret");
  await connection.declare(queue);
  const sending = [1, 2, 3].map((id) => connection.send(queue, id));
  await clock.advance(1000);
  assertEquals(published.map(({ payload }) => payload), [1, 2, 3]);
  await Promise.all(sending);
  await idle();
});

Deno.test("a middleware that hangs is told, and time goes on without it where that is asked for", async () => {
  await using broker = createTestBroker();
  const { connection, clock, idle } = broker;
  const queue = new Queue("hangs");
  await connection.declare(queue);
  const { promise, resolve } = Promise.withResolvers<void>();
  connection.use({ publish: () => promise });
  const sending = connection.send(queue, 1, { timeout: 1000 });
  sending.catch(() => {});
  await assertRejects(
    () => idle({ timeout: 100 }),
    TimeoutError,
    "1 middleware is at work",
  );
  await clock.advance(2000, { handlers: false });
  await assertRejects(() => sending, TimeoutError);
  resolve();
});

Deno.test("a middleware that waits for the clock does so by its sleep", async () => {
  await using broker = createTestBroker();
  const { connection, clock, published } = broker;
  const queue = new Queue("sleeps");
  await connection.declare(queue);
  connection.use({
    async publish(_, next) {
      await clock.sleep(60_000);
      await next();
    },
  });
  const sending = connection.send(queue, 1, { timeout: 120_000 });
  await clock.advance(59_999);
  assertEquals(published.length, 0);
  await clock.advance(1);
  assertEquals(published.length, 1);
  await sending;
});
