import assert from "node:assert/strict";
import { binding, Exchange, Queue } from "../../mod.ts";
import type { ConformanceCase } from "./case.ts";
import { onStage } from "./stage.ts";
import { rejectsWith, unique, until } from "./support.ts";

/** Looking at what is there, and removing it, by the connection itself. */
export const TABLES: readonly ConformanceCase[] = [
  onStage(
    "connection.queueStatus() counts, purge() empties and delete() removes a queue, given itself or by its name",
    async ({ connection, ...stage }) => {
      for (const byName of [false, true]) {
        const queue = stage.queue();
        const which = byName ? queue.name : queue;
        for (let n = 0; n < 2; n++) await connection.send(queue, n);
        const count = async () =>
          (await connection.queueStatus(which)).messageCount;
        await until(async () => await count() === 2, "two messages");
        await connection.check(which);
        assert.equal(await connection.purge(which), 2);
        assert.equal(await count(), 0);
        assert.equal(await connection.delete(which), 0);
        assert.equal(await connection.delete(which), 0);
      }
    },
  ),
  onStage(
    "connection.check() of what is not there is not-found",
    async ({ connection }) => {
      const name = unique("missing");
      await rejectsWith(connection.check(name), "not-found", name);
      await rejectsWith(connection.check(new Queue(name)), "not-found", name);
      await rejectsWith(
        connection.check(new Exchange(name)),
        "not-found",
        name,
      );
      await rejectsWith(connection.queueStatus(name), "not-found", name);
      await rejectsWith(connection.purge(name), "not-found", name);
    },
    { needs: ["known-queues"] },
  ),
  onStage(
    "connection.delete() with ifEmpty and ifUnused refuses what has messages, and what is used",
    async ({ connection, ...stage }) => {
      const exchange = stage.exchange();
      const queue = stage.queue({ exchange, routingKey: "k" });
      await connection.send(queue, "kept");
      const isThere = async () =>
        (await connection.queueStatus(queue)).messageCount === 1;
      await until(isThere, "the message");
      await rejectsWith(
        connection.delete(queue, { ifEmpty: true }),
        "precondition-failed",
        queue.name,
      );
      await rejectsWith(
        connection.delete(exchange, { ifUnused: true }),
        "precondition-failed",
        exchange.name,
      );
      assert.equal(await connection.delete(queue), 1);
      assert.equal(await connection.delete(exchange, { ifUnused: true }), 0);
    },
  ),
  onStage(
    "connection.unbind() ends one binding, and the others stay",
    async ({ connection, ...stage }) => {
      const exchange = stage.exchange();
      const bindings = [binding(exchange, "a"), binding(exchange, "b")];
      const queue = stage.queue({ bindings });
      const producer = connection.producer({ exchange, declare: [queue] });
      await connection.declare(queue);
      await connection.unbind(queue, binding(exchange, "a"));
      await connection.unbind(queue.name, binding(exchange.name, "a"));
      await rejectsWith(
        producer.publish("lost", { routingKey: "a", mandatory: true }),
        "message-unroutable",
      );
      await producer.publish("kept", { routingKey: "b", mandatory: true });
      await until(
        async () => (await connection.queueStatus(queue)).messageCount === 1,
        "the message",
      );
    },
  ),
  onStage(
    "a value that is no queue is refused by name",
    async ({ connection }) => {
      await assert.rejects(
        connection.purge(""),
        /connection\.purge.*new Exchange/,
      );
      await assert.rejects(connection.delete(""), /connection\.delete/);
    },
  ),
];
