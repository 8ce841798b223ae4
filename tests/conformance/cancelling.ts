import assert from "node:assert/strict";
import type { ConformanceCase } from "./case.ts";
import { onStage, open, take } from "./stage.ts";
import { arrives, inTime, rejectsWith } from "./support.ts";

/** Far enough for a case that does not wait for it, ms. */
const LATER = 600_000;

/** Delayed messages that are cancelled, or moved, by their ids. */
export const CANCELLING: readonly ConformanceCase[] = [
  onStage(
    "cancelDelayed() cancels a delayed message by its id, once, and no other",
    async ({ connection, ...stage }, harness) => {
      const queue = stage.queue();
      const other = open(harness);
      const ids = ["a", 'b "quoted" \\ *[é]', "c"];
      for (const messageId of ids) {
        await connection.send(queue, messageId, { messageId, delay: LATER });
      }
      // Of another message, in its headers and its payload.
      await connection.send(queue, { message_id: "c" }, {
        messageId: "d",
        headers: { "message_id": "c", properties: { "message_id": "c" } },
        delay: LATER,
      });
      await connection.send(queue, "ready", { messageId: "ready" });
      const handle = other.queue(queue.name);
      assert.equal(await handle.cancelDelayed(ids[1] ?? ""), true);
      assert.equal(await handle.cancelDelayed(ids[1] ?? ""), false);
      assert.equal(await handle.cancelDelayed("ready"), false);
      assert.equal(await handle.cancelDelayed("nobody"), false);
      assert.equal(await handle.cancelDelayed("c"), true);
      for (const id of ["a", "d"]) {
        assert.equal(await handle.reschedule(id, { delay: 0 }), true);
      }
      const taken = await take(connection.consumer(queue), 3);
      assert.deepEqual(
        taken.map(({ properties }) => properties.messageId).toSorted(),
        ["a", "d", "ready"],
      );
      for (const message of taken) await message.ack();
      for (const id of [...ids, "d"]) {
        assert.equal(await handle.cancelDelayed(id), false);
      }
      await other.close();
    },
    { needs: ["cancel-delayed"] },
  ),
  onStage(
    "reschedule() moves a delayed message to sooner, for a consumer of another connection that waits, and to later",
    async ({ connection, ...stage }, harness) => {
      const other = open(harness);
      await inTime([1200, 8000], async (delay) => {
        const queue = stage.queue();
        await connection.declare(queue);
        const messages = connection.consumer<string>(queue)
          [Symbol.asyncIterator]();
        const next = async () => {
          const { value } = await arrives(messages.next(), "a message");
          await value?.ack();
          return value?.payload;
        };
        try {
          const first = next();
          first.catch(() => {});
          await other.send(queue, "later", { messageId: "1", delay });
          await other.send(queue, "sooner", { messageId: "2", delay: LATER });
          const handle = other.queue(queue.name);
          assert.equal(await handle.reschedule("1", { delay: LATER }), true);
          assert.equal(await handle.reschedule("2", { delay: 1 }), true);
          assert.equal(await first, "sooner");
          await other.send(queue, "between", { delay: delay + 200 });
          assert.equal(await next(), "between");
          const last = next();
          last.catch(() => {});
          assert.equal(await handle.reschedule("1", { delay: 0 }), true);
          assert.equal(await last, "later");
          assert.equal(await handle.reschedule("1", { delay: 0 }), false);
        } finally {
          await messages.return?.();
        }
      });
      await other.close();
    },
    { needs: ["cancel-delayed"] },
  ),
  onStage(
    "reschedule() moves the end of a message's time to live with it",
    async ({ connection, ...stage }) => {
      await inTime([1100, 5000], async (time) => {
        const queue = stage.queue();
        const options = { messageId: "1", delay: time, expiration: time };
        await connection.send(queue, 1, options);
        const handle = connection.queue(queue.name);
        const delay = 2 * time + 100;
        assert.equal(await handle.reschedule("1", { delay }), true);
        const [message] = await take(connection.consumer(queue), 1);
        assert.equal(message?.payload, 1);
        await message?.ack();
      });
    },
    { needs: ["cancel-delayed", "message-ttl"] },
  ),
  onStage(
    "cancelDelayed() and reschedule() leave another attempt alone for which its key waits",
    async ({ connection, ...stage }) => {
      const queue = stage.queue({ ordered: true });
      for (const payload of ["first", "second"]) {
        await connection.send(queue, payload, { messageId: payload, key: "k" });
      }
      const messages = connection.consumer<string>(queue)
        [Symbol.asyncIterator]();
      const next = async () => {
        const { value } = await arrives(messages.next(), "a message");
        return value;
      };
      await (await next())?.requeue({ delay: 700 });
      const handle = connection.queue(queue.name);
      assert.equal(await handle.cancelDelayed("first"), false);
      assert.equal(await handle.reschedule("first", { delay: LATER }), false);
      for (const payload of ["first", "second"]) {
        const message = await next();
        assert.equal(message?.payload, payload);
        await message?.ack();
      }
      await messages.return?.();
    },
    { needs: ["cancel-delayed", "key-order", "key-fairness"] },
  ),
  onStage(
    "a channel lists delayed messages, over several pages, and removes each once",
    async ({ connection, ...stage }, harness) => {
      const queue = stage.queue();
      const ids = Array.from({ length: 120 }, (_, i) => `id-${i}`);
      const producer = connection.producer({ queue, headers: { tenant: "x" } });
      await producer.publishAll(ids, {
        each: (_, i) => ({
          messageId: ids[i],
          // Many are due at one time, more than a page of them.
          delay: LATER + (i < 70 ? 0 : i),
        }),
      });
      await connection.send(queue, "ready", { messageId: "ready" });
      const other = open(harness);
      const channel = await other.channel();
      const list = async (remove = false) => {
        const found = [];
        for await (const page of channel.listDelayed?.(queue.name) ?? []) {
          for (const each of page) {
            found.push(each);
            if (remove) assert.equal(await each.remove(), true);
          }
        }
        return found;
      };
      const found = await list();
      assert.deepEqual(
        found.map(({ message }) => message.properties.messageId).toSorted(),
        ids.toSorted(),
      );
      for (const { delay, message } of found) {
        assert.ok(delay > LATER / 2 && delay <= LATER + ids.length, `${delay}`);
        assert.equal(message.routingKey, queue.name);
        assert.deepEqual(message.properties.headers, { tenant: "x" });
      }
      const [first] = found;
      assert.equal(await first?.remove(), true);
      assert.equal(await first?.remove(), false);
      const removed = await list(true);
      assert.equal(removed.length, ids.length - 1);
      assert.deepEqual(await list(), []);
      const [message] = await take(connection.consumer(queue), 1);
      assert.equal(message?.properties.messageId, "ready");
      await message?.ack();
      await other.close();
    },
    { needs: ["cancel-delayed"] },
  ),
  onStage(
    "cancelDelayed(), reschedule() and a list of delayed messages say so where the queue is not there",
    async ({ connection }) => {
      const queue = connection.queue(`dashi-nobody-${crypto.randomUUID()}`);
      await rejectsWith(queue.cancelDelayed("1"), "not-found", queue.name);
      await rejectsWith(
        queue.reschedule("1", { delay: 1 }),
        "not-found",
        queue.name,
      );
      const channel = await connection.channel();
      const listing = async () => {
        for await (const _ of channel.listDelayed?.(queue.name) ?? []);
      };
      await rejectsWith(listing(), "not-found", queue.name);
    },
    { needs: ["cancel-delayed", "known-queues"] },
  ),
  onStage(
    "cancelDelayed() and reschedule() are refused where the broker cannot find a message",
    async ({ connection, ...stage }) => {
      const queue = stage.queue();
      await connection.declare(queue);
      const handle = connection.queue(queue.name);
      for (
        const call of [
          handle.cancelDelayed("1"),
          handle.reschedule("1", { delay: 1 }),
        ]
      ) await rejectsWith(call, "unsupported", '"cancel-delayed"');
    },
    { lacks: ["cancel-delayed"] },
  ),
];
