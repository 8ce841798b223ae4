/** The server and its worker, tested without a port and without a broker. */

import { assertEquals } from "@std/assert";
import { createTestBroker } from "@dashi/mq/testing";
import { createApp } from "./app.ts";
import { type Job, pictures } from "./jobs.ts";
import { work } from "./work.ts";

const post = (body: unknown) =>
  new Request("http://localhost/", {
    method: "POST",
    body: JSON.stringify(body),
  });

Deno.test("a request becomes a job, and the worker does it", async () => {
  await using broker = createTestBroker();
  const app = createApp(broker.connection);
  const job: Job = { picture: "cat.png", width: 64 };
  assertEquals((await app(post(job))).status, 202);

  const done: Job[] = [];
  const working = work(broker.connect(), (job) => {
    done.push(job);
    return Promise.resolve();
  });
  await broker.idle();
  assertEquals(done, [job]);
  await broker.close();
  await working;
});

Deno.test("what is no job is refused, and reaches no queue", async () => {
  await using broker = createTestBroker();
  const app = createApp(broker.connection);
  assertEquals((await app(post({ picture: 7 }))).status, 400);
  assertEquals(broker.published.length, 0);
});

Deno.test("without the broker the answer is 503", async () => {
  await using broker = createTestBroker();
  const app = createApp(broker.connection);
  broker.faults.refuse("publish", { times: 100 });
  const answer = broker.clock.advanceUntil(
    app(post({ picture: "cat.png", width: 64 })),
  );
  assertEquals((await answer).status, 503);
});

Deno.test("a job that fails is tried five times, and is then a dead letter", async () => {
  const onUnhandled = () => {}; // failures are no news here
  await using broker = createTestBroker({ connection: { onUnhandled } });
  const { connection, clock } = broker;
  let calls = 0;
  const working = work(connection, () => {
    calls++;
    return Promise.reject(new Error("not a picture"));
  });
  await connection.send(pictures, { picture: "cat.txt", width: 64 });
  await clock.advance(60_000);
  assertEquals(calls, 5);
  const dead = await connection.queueStatus("pictures.dead");
  assertEquals(dead.messageCount, 1);
  await broker.close();
  await working;
});
