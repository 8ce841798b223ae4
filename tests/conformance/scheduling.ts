import assert from "node:assert/strict";
import type {
  Connection,
  ConnectionEvent,
  Message,
  Missed,
  Queue,
} from "../../mod.ts";
import type { ConformanceCase } from "./case.ts";
import { onStage, open, type Stage, take } from "./stage.ts";
import { arrives, patience, until } from "./support.ts";

/** A table of a case's own, whose queue is removed at the end. */
function tableOf(stage: Stage): string {
  const table = `t-${crypto.randomUUID()}`;
  stage.queue({}, `dashi.schedules.${table}`);
  return table;
}

function ticksOf(
  messages: readonly Message<unknown>[],
  name: string,
): number[] {
  return messages.map(({ properties, headers }) => {
    const at = String(headers["x-scheduled-at"]);
    assert.equal(properties.messageId, `${name}@${at}`);
    assert.equal(headers["x-schedule"], name);
    return Date.parse(at);
  });
}

/** Asserts that none is left out; one may come twice. */
function assertNoneLeftOut(ticks: readonly number[], every: number): void {
  const each = [...new Set(ticks)].toSorted((a, b) => a - b);
  for (const [index, tick] of each.slice(1).entries()) {
    assert.equal(tick - (each[index] ?? 0), every, each.join(" "));
  }
}

/** Takes messages until so many different ticks have come. */
async function takeTicks(
  connection: Connection,
  queue: Queue,
  name: string,
  count: number,
): Promise<number[]> {
  const ticks: number[] = [];
  await arrives(
    (async () => {
      for await (const message of connection.consumer(queue)) {
        ticks.push(...ticksOf([message], name));
        await message.ack();
        if (new Set(ticks).size >= count) break;
      }
    })(),
    `${count} ticks`,
    30_000,
  );
  return ticks;
}

/** An interval in whose middle we are: its last tick was days ago, and the next is days away. */
function longInterval(now: number): number {
  return Math.floor(now / 1000.5);
}

/** Schedules: one process of many publishes each tick. */
export const SCHEDULING: readonly ConformanceCase[] = [
  onStage(
    "schedule() publishes each tick, from one of two connections, under an id of its name and moment",
    async ({ connection, ...stage }, harness) => {
      const table = tableOf({ connection, ...stage });
      const queue = stage.queue();
      const other = open(harness);
      const options = { table, queue, payload: { id: 7 }, type: "beat" };
      const infos = await arrives(
        Promise.all(
          [connection, other].map((each) =>
            each.schedule("beat", { every: 1000 }, options)
          ),
        ),
        "both schedules",
      );
      for (const { name, when, routingKey, next } of infos) {
        assert.deepEqual([name, when], ["beat", { every: 1000 }]);
        assert.equal(routingKey, queue.name);
        assert.equal(Number(next) % 1000, 0);
      }
      const messages = await take(connection.consumer(queue), 2);
      for (const { payload, properties } of messages) {
        assert.deepEqual([payload, properties.type], [{ id: 7 }, "beat"]);
      }
      assertNoneLeftOut(ticksOf(messages, "beat"), 1000);
      for (const message of messages) await message.ack();
      const list = await other.schedules({ table });
      assert.deepEqual(list.map(({ name }) => name), ["beat"]);
      await other.close();
    },
  ),
  onStage(
    "schedule() goes on by another connection when the one that holds it is closed, and leaves no tick out",
    async ({ connection, ...stage }, harness) => {
      const table = tableOf({ connection, ...stage });
      const queue = stage.queue();
      const options = { table, queue, missed: "all" as const };
      const first = open(harness);
      for (const each of [first, connection]) {
        await each.schedule("beat", { every: 1000 }, options);
      }
      const ticks = await takeTicks(connection, queue, "beat", 1);
      await first.close();
      ticks.push(...await takeTicks(connection, queue, "beat", 3));
      assertNoneLeftOut(ticks, 1000);
    },
  ),
  onStage(
    "schedule() makes up for missed ticks as it was asked",
    async ({ connection, ...stage }) => {
      const table = tableOf({ connection, ...stage });
      const now = Date.now();
      const every = longInterval(now);
      const kinds: readonly Missed[] = ["skip", "one", "all"];
      const [skipped, one, all] = [stage.queue(), stage.queue(), stage.queue()];
      const queues = [skipped, one, all];
      await connection.declare(queues);
      // As processes have left it that ended three ticks ago.
      const tokens = stage.queue({}, `dashi.schedules.${table}`);
      for (const [index, missed] of kinds.entries()) {
        await connection.send(tokens, {
          layout: 1,
          type: "token",
          by: "",
          state: {
            name: missed,
            version: 1,
            since: now - 3 * every,
            from: now - 3 * every,
            last: now - 3 * every,
            definition: {
              when: { every },
              missed,
              exchange: "",
              routingKey: queues[index]?.name,
              properties: { contentType: "application/json" },
              body: "MQ==",
            },
          },
        });
      }
      await connection.schedule("later", { every }, {
        table,
        queue: skipped,
      });
      const last = Math.floor(now / every) * every;
      assert.deepEqual(
        ticksOf(await take(connection.consumer(all), 3), "all")
          .toSorted((a, b) => a - b),
        [last - 2 * every, last - every, last],
      );
      assert.deepEqual(
        ticksOf(await take(connection.consumer(one), 1), "one"),
        [last],
      );
      await until(
        async () =>
          (await connection.schedules({ table }))
            .every((each) => Number(each.last) >= last),
        "the end of what was missed",
      );
      for (const queue of [skipped, one]) {
        assert.equal(await connection.queue(queue.name).get(), undefined);
      }
    },
  ),
  onStage(
    "schedule() of a higher version holds, whatever is given later, and unschedule() is not undone by one of before",
    async ({ connection, ...stage }, harness) => {
      const table = tableOf({ connection, ...stage });
      const queue = stage.queue();
      const superseded: ConnectionEvent[] = [];
      const other = open(harness, {
        onUnhandled: (event) => {
          if (event.type === "schedule-superseded") superseded.push(event);
        },
      });
      const every = longInterval(Date.now());
      const give = (by: Connection, every: number, version?: number) =>
        by.schedule("job", { every }, { table, queue, version });
      await give(connection, every);
      await give(connection, every + 1000);
      const held = await give(connection, every + 2000, 2);
      assert.deepEqual([held.version, held.when?.every], [2, every + 2000]);
      let old = await give(other, every, 1);
      // The other goes by what it knows where the broker is too slow for the holder to answer.
      const wait = patience("the higher version");
      for (; old.version !== 2; old = await give(other, every, 1)) await wait();
      assert.deepEqual([old.version, old.when?.every], [2, every + 2000]);

      assert.equal(await other.unschedule("job", { table, version: 1 }), false);
      assert.equal((await other.schedules({ table })).length, 1);
      assert.equal(await other.unschedule("job", { table }), true);
      // So does each in its answers to itself.
      const isNone = async () =>
        (await connection.schedules({ table })).length === 0;
      await until(isNone, "an empty list");
      const undone = await give(other, every, 2);
      assert.equal(undone.when, undefined);
      await until(isNone, "an empty list, again");
      // Each time that it is given it may be told.
      const told = superseded.map((event) =>
        event.type === "schedule-superseded" &&
        `${event.version} by ${event.by}${event.removed ? ", removed" : ""}`
      );
      assert.deepEqual([...new Set(told)], ["1 by 2", "2 by 2, removed"]);
      const again = await give(other, every, 3);
      assert.deepEqual([again.version, again.when?.every], [3, every]);
      await other.close();
    },
  ),
  onStage(
    "schedule() is answered where the process that took its question answers nothing any more",
    async ({ connection, ...stage }, harness) => {
      const table = `t-${crypto.randomUUID()}`;
      const tokens = stage.queue({}, `dashi.schedules.${table}`);
      const queue = stage.queue();
      const lost = open(harness);
      const never = Promise.withResolvers<void>();
      // One message is all that it takes, and keeps.
      const consumer = lost.consumer(tokens, { prefetch: 1 });
      const running = consumer.run(() => never.promise);
      await until(() => consumer.health().ready, "a consumer");
      const every = longInterval(Date.now());
      const options = { table, queue };
      const info = await connection.schedule("job", { every }, options);
      assert.deepEqual([info.name, info.when], ["job", { every }]);
      await lost.close({ drainTimeout: 1 });
      never.resolve();
      await arrives(running, "the end of the run");
      // The question that it gave back is answered, too, and changes nothing.
      const list = await connection.schedules({ table });
      assert.deepEqual(list.map(({ name }) => name), ["job"]);
      assert.equal(await connection.unschedule("job", { table }), true);
      assert.deepEqual(await connection.schedules({ table }), []);
    },
  ),
  onStage(
    "a tick of a schedule that cannot be published is told, counted, and tried again",
    async ({ connection, ...stage }, harness) => {
      const table = tableOf({ connection, ...stage });
      const queue = stage.queue();
      const failed: ConnectionEvent[] = [];
      const holder = open(harness, {
        onUnhandled: (event) => {
          if (event.type === "schedule-failed") failed.push(event);
        },
      });
      await holder.schedule("lost", { every: 1000 }, {
        table,
        queue: queue.name,
      });
      await until(() => failed.length > 0, "the event");
      assert.ok(holder.health().schedules.failures > 0);
      await connection.declare(queue);
      const messages = await take(connection.consumer(queue), 2);
      assertNoneLeftOut(ticksOf(messages, "lost"), 1000);
      // A message may be there before its confirm is.
      await until(() => holder.health().schedules.published >= 2, "the count");
      await holder.close();
    },
    { needs: ["known-queues", "shared-topology"] },
  ),
  onStage(
    "schedule() goes on over a broker that restarts",
    async ({ connection, ...stage }, harness) => {
      const table = tableOf({ connection, ...stage });
      const queue = stage.queue();
      const options = { table, queue, missed: "all" as const };
      await connection.schedule("beat", { every: 1000 }, options);
      await takeTicks(connection, queue, "beat", 1);
      await harness.restart?.();
      const ticks = await takeTicks(connection, queue, "beat", 3);
      assertNoneLeftOut(ticks, 1000);
    },
    { restarts: true },
  ),
];
