import assert from "node:assert/strict";
import type { ConformanceCase } from "./case.ts";
import { onStage, take } from "./stage.ts";
import { asTheyCome } from "./support.ts";

/** How many dead letters were put back. */
function moves(results: readonly { readonly moved: number }[]): number {
  return results.reduce((sum, { moved }) => sum + moved, 0);
}

/** Dead letters that are put back, some of many. */
export const REDRIVING: readonly ConformanceCase[] = [
  onStage(
    "of two redrives at once each takes its own, and each dead letter is put back once",
    async (stage) => {
      const { connection } = stage;
      const [dead, jobs] = [stage.queue(), stage.queue()];
      await connection.declare([dead, jobs]);
      const numbers = Array.from({ length: 150 }, (_, i) => i);
      await connection.producer({ queue: dead }).publishAll(numbers);
      const to = jobs.name;
      const results = await Promise.all([
        connection.redrive(dead, { to }),
        connection.redrive(dead, { to }),
      ]);
      // On SQS a receive may find nothing where there is something: then once more.
      for (let i = 0; i < 20 && moves(results) < 150; i++) {
        results.push(await connection.redrive(dead, { to }));
      }
      assert.equal(moves(results), 150);
      const consumer = connection.consumer(jobs, { prefetch: 150 });
      const arrived = await take(consumer, 150);
      assert.deepEqual(
        arrived.map(({ payload }) => Number(payload)).toSorted((a, b) => a - b),
        numbers,
      );
      for (const each of arrived) await each.ack();
      assert.equal((await connection.queue(to).status()).messageCount, 0);
    },
  ),
  onStage(
    "redrive() with a filter leaves the others in their places, however many it passes over",
    async (stage, harness) => {
      const { connection } = stage;
      const [dead, jobs] = [stage.queue(), stage.queue()];
      await connection.declare([dead, jobs]);
      const numbers = Array.from({ length: 60 }, (_, i) => i);
      await connection.producer({ queue: dead }).publishAll(numbers);
      const isMeant = (number: unknown) => Number(number) % 10 === 9;
      const redrive = () =>
        connection.redrive(dead, {
          to: jobs.name,
          filter: ({ payload }) => isMeant(payload),
        });
      const results = [await redrive()];
      // On SQS a receive may find nothing where there is something: then once more.
      for (let i = 0; i < 20 && moves(results) < 6; i++) {
        results.push(await redrive());
      }
      for (const queue of [jobs, dead]) {
        const expected = numbers.filter((each) =>
          isMeant(each) === (queue === jobs)
        );
        const consumer = connection.consumer(queue, { prefetch: 60 });
        const arrived = await take(consumer, expected.length);
        const found = arrived.map(({ payload }) => Number(payload));
        assert.deepEqual(
          asTheyCome(found, harness),
          asTheyCome(expected, harness),
        );
        for (const each of arrived) await each.ack();
      }
    },
  ),
];
