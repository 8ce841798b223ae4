/** Code that must compile, and code that must not: `deno check` runs these. */

import { assertEquals } from "@std/assert";
import {
  type Connection,
  createConnection,
  Exchange,
  type Message,
  MessagingError,
  type Producer,
  Queue,
} from "@dashi/mq";
import type { Transport } from "@dashi/mq/transport";

interface Upload {
  readonly path: string;
}

/** Never called: its types are the test. */
export async function compiles(connection: Connection): Promise<void> {
  const media = new Exchange("media", { type: "topic", durable: true });
  const video = new Queue("video", {
    exchange: media,
    routingKey: "video.#",
    messageTtl: 1,
  });
  const producer: Producer<Upload> = connection.producer<Upload>({
    exchange: media,
  });
  await producer.publish({ path: "cat.avi" }, {
    routingKey: "video.upload",
    timeout: 5,
  });
  for await (
    const message of connection.consumer<Upload>(video, { prefetch: 8 })
  ) {
    const path: string = message.payload.path;
    await message.ack({ multiple: path !== "" });
  }
  await connection.consumer<Upload>([video, "other"]).run(
    async ({ payload, signal }: Message<Upload>) => {
      await fetch(payload.path, { signal });
    },
    { concurrency: 2 },
  );
  const checked = connection.consumer("q", {
    schema: (value) => Number(value),
  });
  for await (const message of checked) message.payload.toFixed(1);
  const later = connection.consumer(video, {
    schema: (value) => Promise.resolve(Number(value)),
  });
  for await (const message of later) message.payload.toFixed(1);
  const standard = connection.consumer([video, "q"], {
    schema: {
      "~standard": {
        version: 1,
        vendor: "test",
        validate: (value) => Promise.resolve({ value: Number(value) }),
      },
    },
    onInvalid: (error, message) =>
      message.reject({ timeout: error.name.length }),
  });
  for await (const message of standard) message.payload.toFixed(1);
  createConnection(["a", new URL("amqp://b")], {
    transport: () => import("../transports/memory/mod.ts"),
  });
  createConnection("x", {
    transport: {
      name: "x",
      connect: () => Promise.reject(new Error()),
    } satisfies Transport,
  });
  const typed = new Exchange<Upload>("typed", { type: "topic" });
  await connection.producer({ exchange: typed }).publish({ path: "a" });
  const bound = new Queue("bound", { exchange: typed, routingKey: "#" });
  await connection.consumer(bound).run(({ payload }) => {
    payload.path.length;
  });
  const own = new Queue("own", {
    exchange: media,
    schema: (value) => Number(value),
  });
  await connection.consumer(own).run(({ payload }) => {
    payload.toFixed(1);
  });
  const orders = new Queue<Upload>("orders");
  await connection.producer({ queue: orders }).publish({ path: "a" });
  await connection.send(orders, { path: "a" });
  await connection.consumer(orders).run(({ payload }) => {
    payload.path.length;
  });
  const count: number = (await connection.declare(orders)).messageCount;
  const statuses = await connection.declare([orders, video], {
    timeout: count,
  });
  statuses[0]?.consumerCount;
  const none: void = await connection.declare(media);
  void none;
  await using pooled = await connection.pool({ limit: 1 }).acquire();
  await pooled.connect({ signal: AbortSignal.timeout(1) });
}

/** Never called: its errors are the test. */
export async function doesNotCompile(connection: Connection): Promise<void> {
  // @ts-expect-error there is no such type of exchange
  new Exchange("x", { type: "round-robin" });
  // @ts-expect-error an exchange has a name
  new Exchange();
  // @ts-expect-error options are read only
  new Exchange("x").durable = false;
  // @ts-expect-error there is no such option
  new Queue("q", { exchangeType: "topic" });
  // @ts-expect-error the payload is of the producer's type
  await connection.producer<Upload>().publish({ file: 1 });
  const typed = new Exchange<Upload>("typed", { type: "topic" });
  // @ts-expect-error the payload is of the exchange's type
  await connection.producer({ exchange: typed }).publish({ pth: "a" });
  const orders = new Queue<Upload>("orders");
  // @ts-expect-error the payload is of the queue's type
  await connection.producer({ queue: orders }).publish({ file: 1 });
  // @ts-expect-error so is what is sent
  await connection.send(orders, { file: 1 });
  for await (const message of connection.consumer(orders)) {
    // @ts-expect-error and what is consumed
    message.payload.file;
  }
  // @ts-expect-error durations are numbers
  await connection.connect({ timeout: "5s" });
  for await (const message of connection.consumer(["q"])) {
    // @ts-expect-error a payload of no type is unknown
    message.payload.path;
    // @ts-expect-error a message is settled by its methods
    message.settled = true;
  }
  // @ts-expect-error a delivery tag is no number
  await (await connection.channel()).ack(1);
  // @ts-expect-error there is no such code
  new MessagingError("x", { code: "whatever" });
  // @ts-expect-error a connection is made by createConnection's arguments
  createConnection(42);
}

Deno.test("the examples of types compile, and their mistakes do not", () => {
  assertEquals([typeof compiles, typeof doesNotCompile], [
    "function",
    "function",
  ]);
});
