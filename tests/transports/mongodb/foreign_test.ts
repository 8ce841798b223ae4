/** Queues of other programs, which nobody of ours has declared: what tells of them. */

import { assertEquals, assertRejects } from "@std/assert";
import { NotFoundError } from "@dashi/mq";
import { messageTo, onMongodb, queueOf } from "../../support/mongodb.ts";

const must = (queue: string) => ({ ...messageTo(queue), mandatory: true });

onMongodb(
  "a queue is known by what lies in it, waits for its time, leads to it, or lists it",
  async (database) => {
    const { channel } = await database.connect();
    await channel.publish(messageTo("lies"));
    await channel.publish({ ...messageTo("later"), delay: 60_000 });
    await database.insert("messages.routing", {
      exchange: "celery",
      queue: "celery",
      routing_key: "celery",
      pattern: "^celery$",
    });
    await database.documents.collection<{ _id: string }>("messages.queues")
      .insertOne({ _id: "listed" });
    for (const queue of ["lies", "later", "celery", "listed"]) {
      const other = await database.connect();
      assertEquals(
        await other.channel.publish(must(queue)),
        { type: "accepted", queues: 1 },
        queue,
      );
    }
  },
);

onMongodb(
  "a queue that nothing tells of is missing, with the nearest of Kombu's and of ours",
  async (database) => {
    const { channel } = await database.connect();
    await channel.declareQueue(queueOf("orders"));
    await database.insert("messages.routing", {
      exchange: "media",
      queue: "thumbnails",
      routing_key: "k",
      pattern: "^k$",
    });
    for (
      const [wrong, right] of [["thumbnail", "thumbnails"], ["oders", "orders"]]
    ) {
      assertEquals(await channel.publish(must(wrong ?? "")), {
        type: "returned",
        replyText: "NO_ROUTE",
        nearest: right,
      });
      await assertRejects(
        () => channel.consume(wrong ?? "", () => {}, { prefetch: 1 }),
        NotFoundError,
        `did you mean "${right}"`,
      );
    }
    assertEquals(await database.find("messages"), []);
  },
);
