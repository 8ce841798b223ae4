import assert from "node:assert/strict";
import { Queue } from "../../mod.ts";
import type { Transport } from "../../transports/transport.ts";
import type { ConformanceCase } from "./case.ts";
import type { Harness } from "./harness.ts";
import { onStage, open, take } from "./stage.ts";

const HOUR = 3_600_000;

/** A transport whose connections go by a calendar that steps. */
function stepping(
  { transport }: Harness,
  calendar: { readonly ahead: number },
): Transport {
  return {
    name: transport.name,
    defaults: transport.defaults,
    load: async () => await transport.load?.(),
    connect: (url, options) => {
      const { clock } = options;
      return transport.connect(url, {
        ...options,
        clock: {
          now: () => clock.now(),
          wall: () => clock.wall() + calendar.ahead,
          timer: (...timer) => clock.timer(...timer),
        },
      });
    },
  };
}

/** The calendar of one machine of several is set, as a machine that was asleep does. */
export const CALENDARS: readonly ConformanceCase[] = [
  onStage(
    "a calendar that steps drops no message, and takes none from others",
    async ({ connection, queue }, harness) => {
      const calendar = { ahead: 0 };
      const transport = stepping(harness, calendar);
      const other = open(harness, { transport });
      const work = queue();
      await connection.send(work, "held");
      // NATS may give it a moment after it was confirmed.
      const [held] = await connection.queue<string>(work.name)
        .receive({ max: 1, wait: 30_000 });
      assert.equal(held?.payload, "held");
      await other.connect();
      for (const ahead of [HOUR, -HOUR]) {
        calendar.ahead = ahead;
        await connection.send(work, "lives", { expiration: HOUR / 6 });
        const consumer = other.consumer<string>(work);
        const [message] = await take(consumer, 1);
        assert.equal(message?.payload, "lives");
        await message?.ack();
        assert.equal(await other.queue(work.name).get(), undefined);
      }
      await held?.ack();
      await other.close();
    },
    { needs: ["message-ttl"], timed: true },
  ),
  onStage(
    "a calendar that steps deletes no queue that others may still use",
    async ({ connection, queue }, harness) => {
      const calendar = { ahead: 0 };
      const transport = stepping(harness, calendar);
      const other = open(harness, { transport });
      const { name } = queue();
      const work = new Queue<string>(name, { expires: HOUR / 6 });
      await connection.send(work, "stays");
      await other.connect();
      calendar.ahead = HOUR;
      // Whoever declares and asks looks for what has expired.
      await other.declare(queue());
      assert.equal((await other.queueStatus(name)).messageCount, 1);
      assert.equal((await connection.queueStatus(name)).messageCount, 1);
      await other.close();
    },
    { needs: ["queue-ttl"], timed: true },
  ),
];
