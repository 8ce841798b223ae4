/** `connection.native`: the client under each transport works beside the library. */

import { assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { Buffer } from "node:buffer";
import { ListQueuesCommand } from "@aws-sdk/client-sqs";
import {
  ClosedError,
  type Connection,
  createConnection,
  Queue,
  UnsupportedError,
} from "@dashi/mq";
import { nativeClient as amqplib } from "@dashi/mq/amqp";
import { nativeClient as cloudAmqp } from "@dashi/mq/amqp_client";
import { nativeClient as mongodb } from "@dashi/mq/mongodb";
import { nativeClient as nats } from "@dashi/mq/nats";
import { nativeClient as postgres } from "@dashi/mq/postgres";
import { nativeClient as ioredis } from "@dashi/mq/redis";
import { nativeClient as sqs } from "@dashi/mq/sqs";
import type { NativeClient } from "@dashi/mq/transport";
import { MemoryBroker } from "../../transports/memory/broker.ts";
import { MemoryStore } from "../../transports/memory/store.ts";
import { createStoreTransport } from "../../transports/store/mod.ts";
import {
  MemoryDatabase,
  memoryRecordsTransport,
} from "../support/memory_records.ts";
import { TARGETS } from "../support/targets.ts";

/** The use of each client, by the names of the transports; a transport that is missing hands none out. */
const USES: Readonly<
  Record<string, (connection: Connection) => Promise<void>>
> = {
  amqp: async (connection) => {
    const client = await connection.native(amqplib);
    const channel = await client.createChannel();
    const { queue } = await channel.assertQueue("", { exclusive: true });
    channel.sendToQueue(queue, Buffer.from("native"));
    const message = await channel.get(queue, { noAck: true });
    const body = message ? message.content : undefined;
    assertEquals(new TextDecoder().decode(body), "native");
    await channel.close();
  },
  "amqp-client": async (connection) => {
    const client = await connection.native(cloudAmqp);
    const channel = await client.channel();
    const { name } = await channel.queueDeclare("", { exclusive: true });
    await channel.basicPublish("", name, "native");
    const message = await channel.basicGet(name, { noAck: true });
    assertEquals(message?.bodyString(), "native");
    await channel.close();
  },
  redis: async (connection) => {
    const client = await connection.native(ioredis);
    const key = `native-${crypto.randomUUID()}`;
    await client.set(key, "native");
    assertEquals(await client.getdel(key), "native");
  },
  mongodb: async (connection) => {
    const client = await connection.native(mongodb);
    const { ok } = await client.db("admin").command({ ping: 1 });
    assertEquals(ok, 1);
  },
  postgres: async (connection) => {
    const client = await connection.native(postgres);
    const { rows } = await client.query("SELECT $1::text AS said", ["native"]);
    assertEquals(rows, [{ said: "native" }]);
  },
  nats: async (connection) => {
    const client = await connection.native(nats);
    client.publish("native", "native");
    await client.flush();
  },
  sqs: async (connection) => {
    const client = await connection.native(sqs);
    const { $metadata } = await client.send(new ListQueuesCommand({}));
    assertEquals($metadata.httpStatusCode, 200);
  },
};

for (const { name, url, reason, holds } of TARGETS) {
  const use = USES[name];
  Deno.test({
    name: `${name}: native() ${
      use === undefined
        ? "is refused, for there is no client to hand out"
        : "hands out a client that works beside the library"
    }${url === undefined ? ` (${reason})` : ""}`,
    ignore: url === undefined,
    sanitizeOps: holds === "connection",
    sanitizeResources: holds === "connection",
    fn: async () => {
      await using connection = createConnection(url ?? "");
      const queue = new Queue(`native-${crypto.randomUUID()}`);
      if (use === undefined) {
        await assertRejects(
          () => connection.native(ioredis),
          UnsupportedError,
          "has no client to hand out",
        );
      } else {
        await use(connection);
        await assertRejects(
          () =>
            name === "redis"
              ? connection.native(amqplib)
              : connection.native(ioredis),
          UnsupportedError,
          'import "nativeClient" from the entry point of that transport',
        );
      }
      await connection.send(queue, "ours");
      const message = await connection.queue(queue.name).get();
      assertEquals(message?.payload, "ours");
      await message?.ack();
      await connection.queue(queue.name).delete();
    },
  });
}

const own: NativeClient<MemoryDatabase> = {
  name: "own",
  is: (client): client is MemoryDatabase => client instanceof MemoryDatabase,
};

Deno.test("a store, its tables its own or the library's, and records may hand out a client", async () => {
  const database = new MemoryDatabase();
  const open = (hasTables: boolean) =>
    createStoreTransport({
      name: "own",
      open(_, { clock }) {
        const store = new MemoryStore(new MemoryBroker(clock), { clock });
        return Promise.resolve({
          limits: store.limits,
          capabilities: new Set(),
          closed: store.closed,
          messages: store.messages,
          ...(hasTables ? { topology: store.topology } : {}),
          native: () => database,
          [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
        });
      },
    });
  for (
    const transport of [open(true), open(false), memoryRecordsTransport()]
  ) {
    const connection = createConnection("own://", { transport });
    assertInstanceOf(await connection.native(own), MemoryDatabase);
    await connection.close();
    await assertRejects(() => connection.native(own), ClosedError);
  }
});

Deno.test("native() says what to give it, and that memory has none", async () => {
  await using connection = createConnection("memory://native");
  await assertRejects(
    () => Reflect.apply(connection.native, connection, ["redis"]),
    TypeError,
    'give "nativeClient"',
  );
  await assertRejects(() => connection.native(own), UnsupportedError);
});
