import assert from "node:assert/strict";
import type { ConnectionHealth } from "../../mod.ts";
import type { ConformanceCase } from "./case.ts";
import { Gate, numbers, QUICK, refused, withGate } from "./comebacks.ts";
import { onStage, open } from "./stage.ts";
import { arrives, rejectsWith, until } from "./support.ts";

/** A computer's calendar may be set meanwhile, ms. */
const SLACK = 1000;

/** The answers that a probe reads: whether the process is to be restarted, and whether it works. */
export const PROBING: readonly ConformanceCase[] = [
  onStage(
    "health() is ready while it is connected and consumes, says why it is not, and is live in every state",
    async (stage, harness) => {
      await withGate(stage, harness, QUICK, async (scene) => {
        const { gate, connection, queue, producer } = scene;
        const told: ConnectionHealth[] = [];
        const look = () => {
          const health = connection.health();
          told.push(health);
          return health;
        };
        const begin = Date.now();
        const idle = "it is not connected: nothing needs it now";
        assert.deepEqual(asked(look()), [false, true, idle]);
        assert.equal(look().lastSuccess, undefined);
        await connection.connect();
        assert.deepEqual(asked(look()), [true, true, undefined]);
        const connected = look().lastSuccess;
        assert.ok(isAfter(connected, begin), `connected at ${connected}`);

        const consumer = connection.consumer<number>(queue);
        const named = `the consumer of "${queue.name}": `;
        const idles = `${named}it does not consume`;
        assert.deepEqual(asked(look()), [false, false, idles]);
        assert.equal(consumer.health().lastSuccess, undefined);
        const ran = numbers();
        const begun = Promise.withResolvers<void>();
        const running = consumer.run(async ({ payload }) => {
          ran.add(payload);
          if (payload === 3) await begun.promise;
        });
        await producer.publish(1, { routingKey: queue.name });
        await ran.has(1);
        await until(() => look().ready, "a consumer that is ready");
        const heard = consumer.health().lastSuccess;
        assert.ok(isAfter(heard, begin), `heard of at ${heard}`);
        assert.ok(isAfter(new Date(), heard), `heard of at ${heard}`);

        await consumer.pause();
        const paused = `${named}it is paused`;
        assert.deepEqual(asked(look()), [false, true, paused]);
        assert.equal(consumer.health().ready, false);
        consumer.resume();
        await until(() => look().ready, "a consumer that goes on");

        await gate.lose();
        await until(() => !look().ready, "the loss");
        await until(
          () => look().reason?.endsWith("nobody is there") === true,
          () => `its reason, which is "${look().reason}"`,
        );
        const lost = look();
        assert.equal(lost.healthy, false);
        assert.ok(isAfter(lost.lastSuccess, heard), "it forgot its success");
        const kept = consumer.health().lastSuccess;
        assert.ok(isAfter(kept, heard), "its consumer forgot it");
        gate.open();
        await until(() => look().ready, "the consumer's return");
        assert.ok(isAfter(look().lastSuccess, lost.lastSuccess));
        await producer.publish(2, { routingKey: queue.name });
        await ran.has(2);

        await producer.publish(3, { routingKey: queue.name });
        await ran.has(3);
        const closing = connection.close();
        assert.equal(look().ready, false);
        assert.equal(look().reason, "it is being closed");
        begun.resolve();
        await arrives(closing, "the end");
        await running;
        assert.deepEqual(asked(look()), [false, false, "it is closed"]);
        const { ended, ready } = consumer.health();
        assert.deepEqual([ended, ready], ["cancelled", false]);
        assert.ok(told.every(({ live }) => live));
      });
    },
  ),
  onStage(
    "a consumer that an error has ended is missed until it is closed, and one that was cancelled is not",
    async ({ connection, ...stage }, harness) => {
      const gate = new Gate(harness.transport);
      const failing = open({ ...harness, transport: gate });
      gate.refuse(refused);
      const queue = stage.queue();
      const consumer = failing.consumer(queue);
      await rejectsWith(consumer.run(() => {}), "authentication-failed");
      gate.open();
      await failing.connect();
      const reason = "it has ended: Cannot connect: the password is wrong";
      const health = failing.health();
      assert.deepEqual(asked(health), [
        false,
        false,
        `the consumer of "${queue.name}": ${reason}`,
      ]);
      assert.ok(health.live);
      const { ended, ready, ...told } = consumer.health();
      assert.deepEqual([ended, ready, told.reason], ["failed", false, reason]);
      await consumer.close();
      assert.deepEqual(asked(failing.health()), [true, true, undefined]);
      await failing.close();

      await connection.connect();
      const other = connection.consumer(queue);
      const running = other.run(() => {});
      await until(() => connection.health().ready, "its consumer");
      await other.cancel();
      await running;
      assert.equal(other.health().ended, "cancelled");
      assert.deepEqual(asked(connection.health()), [true, true, undefined]);
    },
  ),
];

/** Whether a moment is not before another, as two clocks that are read one after the other tell. */
function isAfter(
  moment: Date | undefined,
  other: Date | number | undefined,
): boolean {
  if (moment === undefined || other === undefined) return false;
  return +moment >= +other - SLACK;
}

function asked(
  { ready, healthy, reason }: ConnectionHealth,
): [boolean, boolean, string | undefined] {
  return [ready, healthy, reason];
}
