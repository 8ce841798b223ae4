/** Messages that go back: those that are requeued, and those of a process that died. */

import { assert, assertEquals } from "@std/assert";
import { Holder } from "./holder.ts";
import { shown } from "./peer.ts";
import { type InteropCase, spec, take } from "./stage.ts";

/** The lines of the table about what goes back. */
export const RETURN_CASES: readonly InteropCase[] = [
  {
    name:
      "both sides share a queue, and each message comes to one of them once",
    needs: "atomic",
    run: async (stage) => {
      const queue = stage.queue();
      const producer = stage.connection.producer({ declare: [queue] });
      await Promise.all(Array.from(
        { length: 100 },
        (_, i) => producer.publish(i, { routingKey: queue.name }),
      ));
      await stage.peer.publish({
        times: 100,
        routing_key: queue.name,
        declare: [spec(queue)],
      });
      const [ours, theirs] = await Promise.all([
        take(stage.connection, queue, 120, { prefetch: 7 }),
        stage.peer.receive(spec(queue), 80, { prefetch: 5 }),
      ]);
      const seen = [
        ...ours.map(({ payload }) => JSON.stringify(shown(payload))),
        ...theirs.map(({ payload }) => JSON.stringify(payload)),
      ];
      const expected = Array.from(
        { length: 200 },
        (_, i) => JSON.stringify(shown(i % 100)),
      );
      assertEquals(seen.sort(), expected.sort());
      const status = await stage.connection.declare(queue);
      assertEquals(status.messageCount, 0);
    },
  },
  {
    name:
      "a message that we publish with a delay comes to Kombu, and not before",
    needs: "delay",
    run: async (stage) => {
      const queue = stage.queue();
      const producer = stage.connection.producer({ declare: [queue] });
      const routingKey = queue.name;
      const began = performance.now();
      await producer.publish("later", { routingKey, delay: 1000 });
      const [message] = await stage.peer.receive(spec(queue), 1);
      assertEquals(message?.payload, "later");
      assert(performance.now() - began > 900); // a server's clock is not ours
    },
  },
  {
    name:
      "a message that we published with a delay comes to Kombu, though its connection is closed",
    needs: "delay",
    run: async (stage) => {
      const queue = stage.queue();
      const routingKey = queue.name;
      const first = stage.connect();
      const before = first.producer({ declare: [queue] });
      await before.publish("later", { routingKey, delay: 1000 });
      await first.close();
      const producer = stage.connection.producer({ declare: [queue] });
      await producer.publish("now", { routingKey });
      const messages = await stage.peer.receive(spec(queue), 2);
      assertEquals(messages.map(({ payload }) => payload).sort(), [
        "later",
        "now",
      ]);
    },
  },
  {
    name: "requeue: messages that Kombu gives back come to us, marked",
    run: async (stage) => {
      const queue = stage.queue();
      const producer = stage.connection.producer({ declare: [queue] });
      await producer.publish("x", { routingKey: queue.name });
      const [first] = await stage.peer.receive(spec(queue), 1, {
        then: "requeue",
      });
      assertEquals(first?.redelivered, false);
      const [second] = await take(stage.connection, queue, 1);
      assertEquals(second?.payload, "x");
      if (stage.isTold("us")) {
        assertEquals(second?.deliveryInfo.redelivered, true);
      }
    },
  },
  {
    name: "requeue: messages that we give back come to Kombu, marked",
    run: async (stage) => {
      const queue = stage.queue();
      await stage.peer.publish({
        body: "x",
        routing_key: queue.name,
        declare: [spec(queue)],
      });
      const [first] = await take(stage.connection, queue, 1, {
        then: "requeue",
      });
      assertEquals(first?.deliveryInfo.redelivered, false);
      const [second] = await stage.peer.receive(spec(queue), 1);
      assertEquals(second?.payload, "x");
      if (stage.isTold("them")) assertEquals(second?.redelivered, true);
    },
  },
  {
    name: "messages that Kombu held when it was killed come to us",
    needs: "restore",
    run: async (stage) => {
      const queue = stage.queue();
      const producer = stage.connection.producer({ declare: [queue] });
      for (const i of [0, 1, 2]) {
        await producer.publish(i, { routingKey: queue.name });
      }
      const victim = stage.startPeer();
      await victim.consume("held", [spec(queue)], { prefetch: 3 });
      await victim.take("held", 3, "hold");
      const began = performance.now();
      await victim.kill();
      const messages = await take(stage.connection, queue, 3);
      assertEquals(messages.map(({ payload }) => payload).sort(), [0, 1, 2]);
      assert(messages.every((each) => each.deliveryInfo.redelivered));
      assert(performance.now() - began < 30_000);
    },
  },
  {
    name: "messages that we held when we were killed come to Kombu",
    needs: "restore",
    run: async (stage) => {
      const queue = stage.queue();
      await stage.peer.publish({
        times: 3,
        routing_key: queue.name,
        declare: [spec(queue)],
      });
      await using victim = new Holder(
        stage.url,
        stage.meeting.ours ?? {},
        queue.name,
      );
      await victim.hold(3);
      await victim.kill();
      const messages = await stage.peer.receive(spec(queue), 3);
      assertEquals(
        messages.map(({ payload }) => JSON.stringify(payload)).sort(),
        [0, 1, 2].map((each) => JSON.stringify(shown(each))),
      );
      if (stage.isTold("them")) {
        assert(messages.every((each) => each.redelivered));
      }
    },
  },
];
