/** Looks for messages in many queues at once. */

import { assert, assertEquals } from "@std/assert";
import { messageTo, onMongodb, queueOf } from "../../support/mongodb.ts";

onMongodb(
  "of many queues one look finds those that have something, while messages come, too",
  async (database) => {
    const commands: string[] = [];
    const { store, channel } = await database.connect({
      onCommand: (name) => commands.push(name),
    });
    const queues = Array.from({ length: 30 }, (_, i) => `q${i}`);
    for (const queue of queues) await channel.declareQueue(queueOf(queue));
    for (let i = 0; i < 5; i++) {
      await channel.publish(messageTo("q7", `${i}`));
    }
    const wants = queues.map((queue) => ({ queue, limit: 1 }));
    commands.length = 0;
    for (let i = 0; i < 5; i++) {
      const { reservations } = await store.messages.reserve(wants, {
        wait: 10_000,
      });
      assertEquals(reservations.length, 1);
      await store.messages.remove(reservations);
    }
    const claims = commands.filter((name) => name === "findAndModify");
    assert(claims.length >= 5 && claims.length < 30, `${claims.length} claims`);
  },
);
