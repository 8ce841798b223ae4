import { assertEquals, assertRejects } from "@std/assert";
import { Limits } from "../../../async/limits.ts";
import { retry } from "../../../messaging/connection/retry.ts";
import {
  ConnectionError,
  type Outcome,
  TimeoutError,
} from "../../../model/errors.ts";
import { TestClock } from "../../../testing/clock.ts";

for (const outcome of ["not-sent", "unknown"] as Outcome[]) {
  Deno.test(`an attempt that had no time left tells why the one before it failed, and that it was ${outcome}`, async () => {
    const clock = new TestClock();
    const limits = new Limits(clock);
    const host = { reconnectPolicy: {}, clock, limits, random: () => 0 };
    const call = { deadline: clock.now() + 60_000, signal: undefined };
    const lost = new ConnectionError("the socket was cut", {
      code: "connection-lost",
      outcome,
    });
    const waits: Error[] = [];
    const trying = retry(host, call, () => {
      if (waits.length === 0) return Promise.reject(lost);
      clock.pass(60_000); // it was busy with something else
      limits.check(call, () => "declare a queue");
      return Promise.resolve();
    }, { onWait: (_attempt, _delay, error) => waits.push(error) });
    const failure = assertRejects(
      () => trying,
      TimeoutError,
      "Cannot declare a queue: its deadline had passed before it began; the attempt before it failed: the socket was cut",
    );
    while (waits.length === 0) await undefined;
    clock.pass(30_000);
    const error = await failure;
    assertEquals([error.outcome, error.cause, waits], [outcome, lost, [lost]]);
  });
}

Deno.test("a call that was called off is not tried again, and no wait is told", async () => {
  const clock = new TestClock();
  const limits = new Limits(clock);
  const host = { reconnectPolicy: {}, clock, limits, random: () => 0 };
  const aborting = new AbortController();
  const call = { deadline: Infinity, signal: aborting.signal };
  const reason = new Error("called off");
  let attempts = 0;
  const waits: Error[] = [];
  const trying = retry(host, call, () => {
    attempts++;
    aborting.abort(reason);
    return Promise.reject(reason);
  }, {
    retries: () => true,
    onWait: (_attempt, _delay, error) => waits.push(error),
  });
  assertEquals(await trying.catch((error: unknown) => error), reason);
  assertEquals([attempts, waits], [1, []]);
});
