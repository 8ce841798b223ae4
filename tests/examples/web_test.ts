/** The web server of `examples/web/`, its worker, and their own tests. */

import { assertEquals } from "@std/assert";
import { findRabbitmq } from "../brokers/rabbitmq.ts";
import { nodeOfRunner } from "../brokers/rabbitmq_node.ts";
import { hasRedis, startRedis } from "../brokers/redis.ts";
import { amqpPlace } from "../support/amqp_place.ts";
import { PATIENCE, readLines, start } from "./session.ts";
import "../../examples/web/web_test.ts";

const name =
  "the web server takes a job, its worker does it, and SIGTERM ends both";

Deno.test({
  name: `${name}, on RabbitMQ`,
  ignore: nodeOfRunner() === undefined && findRabbitmq() === undefined,
  fn: async () => {
    await using place = await amqpPlace();
    await serve(place.url);
  },
});

Deno.test({
  name: `${name}, on Redis`,
  ignore: !hasRedis(),
  fn: async () => {
    const broker = await startRedis();
    try {
      await serve(broker.url);
    } finally {
      await broker.stop();
    }
  },
});

async function serve(url: string): Promise<void> {
  const stage = { url, env: { PORT: "0" } };
  const server = start(["deno", "run", "-NE", "web/server.ts"], stage);
  const worker = start(["deno", "run", "-NE", "web/worker.ts"], stage);
  const both = [server, worker];
  const timer = setTimeout(() => {
    for (const each of both) each.kill("SIGKILL");
  }, PATIENCE);
  const said = Promise.withResolvers<string>();
  const done = Promise.withResolvers<string>();
  const reading = Promise.all([
    readLines(server.stdout, said.resolve),
    readLines(server.stderr, said.resolve),
    readLines(worker.stdout, done.resolve),
    readLines(worker.stderr, done.resolve),
  ]);
  // Where both have ended, nothing more is said.
  reading.then(() => [said, done].forEach(({ resolve }) => resolve("")));
  try {
    const address = await said.promise;
    const body = JSON.stringify({ picture: "cat.png", width: 64 });
    const post = async () => {
      const answer = await fetch(address, { method: "POST", body });
      return [answer.status, await answer.text()];
    };
    let answer = await post();
    // A busy machine takes longer than the server gives a publish.
    while (answer[0] === 503) answer = await post();
    assertEquals(answer, [202, ""]);
    assertEquals(await done.promise, "cat.png is 64 pixels wide now");
  } finally {
    for (const each of both) each.kill("SIGTERM");
    const ends = await Promise.all(both.map(({ status }) => status));
    clearTimeout(timer);
    await reading;
    assertEquals(ends.map(({ code }) => code), [0, 0]);
  }
}
