/** Hooks and schemas of users that never answer. */

import { assertEquals, assertRejects } from "@std/assert";
import {
  type Connection,
  createConnection,
  Queue,
  TimeoutError,
} from "@dashi/mq";
import { arrives, unique } from "../../conformance/support.ts";

const never = () => new Promise<never>(() => {});

/** A schema that never answers. */
const schema = {
  "~standard": { version: 1, vendor: "test", validate: never },
} as const;

/** The ways in which a loop is kept from its message. */
const KEPT: Readonly<
  Record<string, (connection: Connection, asked: () => void) => Queue>
> = {
  "a middleware": (connection, asked) => {
    connection.use({
      receive: () => {
        asked();
        return never();
      },
    });
    return new Queue("jobs");
  },
  "a schema": (_, asked) =>
    new Queue("jobs", {
      schema: {
        "~standard": {
          ...schema["~standard"],
          validate: () => {
            asked();
            return never();
          },
        },
      },
    }),
};

/** The ways in which a loop is ended. */
const ENDS: Readonly<
  Record<
    string,
    (at: {
      readonly connection: Connection;
      readonly stop: AbortController;
      readonly leave: () => unknown;
    }) => unknown
  >
> = {
  "its signal": ({ stop }) => stop.abort(),
  "the end of its connection": ({ connection }) => connection.close(),
  "return()": ({ leave }) => leave(),
};

for (const [kept, keep] of Object.entries(KEPT)) {
  for (const [how, end] of Object.entries(ENDS)) {
    Deno.test(`a loop ends by ${how} while ${kept} keeps its message, which others get`, async () => {
      const url = `memory://${unique("kept")}`;
      await using other = createConnection(url);
      await other.connect();
      await using connection = createConnection(url);
      const { promise: isAsked, resolve: asked } = Promise.withResolvers<
        void
      >();
      const queue = keep(connection, asked);
      await other.send(new Queue("jobs"), 7);
      const stop = new AbortController();
      const consumer = connection.consumer(queue, { signal: stop.signal });
      const loop = consumer[Symbol.asyncIterator]();
      const next = loop.next().then(({ done }) => done, () => true);
      await isAsked;
      end({ connection, stop, leave: () => loop.return?.() });
      assertEquals(await arrives(next, "the end of the loop"), true);
      const message = await other.queue("jobs").get({ timeout: 10_000 });
      assertEquals(message?.payload, 7);
      await message?.ack();
    });
  }
}

Deno.test("a request waits for the schema of its answer no longer than it may", async () => {
  await using connection = createConnection(`memory://${unique("kept")}`);
  const sums = new Queue("sums");
  await connection.declare(sums);
  const consumer = connection.consumer(sums);
  const serving = consumer.serve(() => 1);
  await assertRejects(
    () =>
      connection.request(1, {
        routingKey: sums.name,
        schema: schema as never,
        timeout: 500,
      }),
    TimeoutError,
    "its schema has not answered",
  );
  await consumer.cancel();
  await serving;
});
