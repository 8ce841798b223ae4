/** What is declared lies in a bucket, which operators may delete while everybody uses it. */

import { headers } from "@nats-io/transport-node";
import { assert, assertEquals } from "@std/assert";
import { type Connection, createConnection, Exchange, Queue } from "@dashi/mq";
import { until } from "../../conformance/support.ts";
import { type Own, testOwn } from "./own.ts";

const exchange = new Exchange("events", { type: "topic" });
const first = new Queue<number>("first", { exchange, routingKey: "a.*" });
const second = new Queue<number>("second", { exchange, routingKey: "*.b" });

/** Ends what was done to the bucket with a look at what each connection was told. */
async function lossOf(
  connection: Connection,
  action: () => Promise<unknown>,
): Promise<Error> {
  const events = connection.events({ timeout: 20_000 });
  const lost = (async () => {
    for await (const event of events) {
      if (event.type === "lost") return event.error;
    }
    throw new Error("it was not lost");
  })();
  await action();
  return await lost;
}

async function bornOf(own: Own, queue: string): Promise<string | undefined> {
  const { created } = await own.api(`STREAM.INFO.${own.prefix}_${queue}`);
  return created;
}

testOwn(
  "a bucket that was deleted is made again by who is connected, with what was declared",
  async (own) => {
    await using here = createConnection(own.url);
    await using there = createConnection(own.url);
    await here.declare(first);
    await there.declare(second);
    const toAll = here.producer<number>({ exchange });
    await toAll.publish(1, { routingKey: "a.b", mandatory: true });
    await until(
      async () => (await there.queueStatus("second")).messageCount === 1,
      "the message in both",
    );
    const streams = [await bornOf(own, "first"), await bornOf(own, "second")];
    await own.api(`STREAM.DELETE.KV_${own.prefix}`);
    // It declares what it knows nothing of yet, so it looks at the bucket.
    const error = await lossOf(here, () => here.declare(new Queue("third")));
    assert(error.message.includes(`bucket "${own.prefix}"`), error.message);
    await toAll.publish(2, { routingKey: "a.b", mandatory: true });
    await using later = createConnection(own.url);
    for (const queue of ["first", "second"]) {
      assertEquals((await later.queueStatus(queue)).messageCount, 2, queue);
    }
    await there.declare(new Queue("fourth"));
    await toAll.publish(3, { routingKey: "x.b", mandatory: true });
    assertEquals((await there.queueStatus("second")).messageCount, 3);
    assertEquals(
      [await bornOf(own, "first"), await bornOf(own, "second")],
      streams,
    );
  },
);

testOwn(
  "consumers and exclusive queues of others outlive a bucket that was deleted",
  async (own) => {
    await using here = createConnection(own.url);
    await using there = createConnection(own.url);
    const queue = new Queue<number>("jobs");
    const mine = new Queue<number>("answers", { exclusive: true });
    await here.declare(mine);
    await here.send(mine, 7);
    const consumed: number[] = [];
    const consuming = (async () => {
      for await (const message of there.consumer(queue)) {
        consumed.push(message.payload);
        await message.ack();
        if (consumed.length === 2) return;
      }
    })();
    await here.send(queue, 1);
    await until(() => Promise.resolve(consumed.length === 1), "the first");
    await lossOf(here, async () => {
      await own.api(`STREAM.DELETE.KV_${own.prefix}`);
      await here.declare(new Queue("new"));
    });
    await here.send(queue, 2);
    await consuming;
    assertEquals(consumed, [1, 2]);
    assertEquals((await here.queue<number>("answers").get())?.payload, 7);
  },
);

testOwn(
  "queues that are declared after a bucket was lost have the messages of before",
  async (own) => {
    {
      await using connection = createConnection(own.url);
      // So that they are not the first of their bucket, as they will be of the next.
      for (const name of ["a", "b", "c"]) {
        await connection.declare(new Queue(name));
      }
      for (const each of [1, 2]) await connection.send(first, each);
      const held = await connection.queue("first").get();
      await held?.requeue();
    }
    const stream = await bornOf(own, "first");
    await own.api(`STREAM.DELETE.KV_${own.prefix}`);
    await using connection = createConnection(own.url);
    await connection.send(first, 3);
    assertEquals(await bornOf(own, "first"), stream);
    const got: number[] = [];
    for await (const message of connection.consumer(first)) {
      got.push(message.payload);
      await message.ack();
      if (got.length === 3) break;
    }
    assertEquals(got.sort(), [1, 2, 3]);
    // It is a queue like any other from now on.
    await connection.send(first, 4);
    await connection.delete(first);
    assertEquals(await bornOf(own, "first"), undefined);
  },
);

testOwn(
  "what an operator deletes in the bucket is written again",
  async (own) => {
    await using connection = createConnection(own.url);
    await connection.declare([first, second]);
    const { prefix, raw } = own;

    const deleted = headers();
    deleted.set("KV-Operation", "DEL");
    await lossOf(connection, async () => {
      await raw.request(`$KV.${prefix}.topology`, "", {
        headers: deleted,
        timeout: 10_000,
      });
      await connection.declare(new Queue("third"));
    });
    await using later = createConnection(own.url);
    for (const queue of ["first", "second"]) {
      assertEquals((await later.queueStatus(queue)).messageCount, 0, queue);
    }
  },
);

for (const value of ["garbage", "null", "7", "\0"]) {
  testOwn(
    `declarations over which somebody has put ${
      JSON.stringify(value)
    } are told by their key, and not taken for a lost connection`,
    async (own) => {
      await using connection = createConnection(own.url);
      await connection.declare(first);
      own.raw.publish(`$KV.${own.prefix}.topology`, value);
      await own.raw.flush();
      const error = await connection.declare(second).catch((each) => each);
      assertEquals(error.code, "decode-failed", String(error));
      assert(error.message.includes('"topology"'), error.message);
    },
  );
}
