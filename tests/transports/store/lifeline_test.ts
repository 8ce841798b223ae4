/** A connection's life: which calls begin, how long they are waited for, and its end. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  ClosedError,
  ConnectionError,
  TimeoutError,
} from "../../../model/errors.ts";
import { Lifeline } from "../../../transports/store/lifeline.ts";
import { TestClock } from "../../../testing/clock.ts";

Deno.test("a call whose deadline has passed, or whose signal has aborted, does not begin", async () => {
  const clock = new TestClock();
  const lifeline = new Lifeline({ clock });
  let begun = 0;
  const call = () => Promise.resolve(++begun);
  const late = await assertRejects(
    () => lifeline.run("do it", { deadline: clock.now() }, call),
    TimeoutError,
  );
  assertEquals(late.outcome, "not-sent");
  const reason = new Error("aborted");
  const signal = AbortSignal.abort(reason);
  const aborted = await assertRejects(() =>
    lifeline.run("do it", { signal }, call)
  );
  assertEquals([aborted, begun], [reason, 0]);
  assertEquals(await lifeline.run("do it", undefined, call), 1);
});

Deno.test("a call that has begun is waited for until its deadline, and its outcome is unknown then", async () => {
  const clock = new TestClock();
  const lifeline = new Lifeline({ clock, operationTimeout: 100, server: "it" });
  for (const options of [{ deadline: clock.now() + 100 }, undefined]) {
    const call = lifeline.run("do it", options, () => new Promise(() => {}));
    const failing = assertRejects(() => call, TimeoutError);
    clock.pass(101);
    const error = await failing;
    assertEquals(error.outcome, "unknown");
    assertEquals(error.message, "Cannot do it in time: it has not answered");
  }
});

Deno.test("a call that throws at once rejects, and the client's error is translated", async () => {
  const translate = (action: string, error: unknown) =>
    new Error(`Cannot ${action}: ${error}`);
  const lifeline = new Lifeline({ clock: new TestClock(), translate });
  const thrown = new Error("at once");
  const throws = () => {
    throw thrown;
  };
  assert(await assertRejects(() => lifeline.run("x", {}, throws)) === thrown);
  const error = await assertRejects(() =>
    lifeline.run("do it", {}, () => Promise.reject("no"))
  );
  assert(error instanceof Error);
  assertEquals(error.message, "Cannot do it: no");
});

Deno.test("it is closed once, after its last steps, and nothing begins meanwhile", async () => {
  const lifeline = new Lifeline({ clock: new TestClock() });
  const seen: string[] = [];
  lifeline.onEnd(({ type }) => seen.push(type));
  const steps = Promise.withResolvers<void>();
  const closing = lifeline.close(() => steps.promise);
  assert(lifeline.close(() => Promise.reject(new Error())) === closing);
  await assertRejects(
    () => lifeline.run("do it", undefined, () => Promise.resolve()),
    ClosedError,
    "Cannot do it: the connection is closed",
  );
  lifeline.lose(new Error("too late to be lost"));
  lifeline.onEnd(() => seen.push("late"));
  assertEquals(seen, ["closed", "late"]);
  steps.resolve();
  await closing;
  assertEquals(await lifeline.closed, { type: "closed" });
});

Deno.test("it is lost once: callers that wait for its end are told, and later calls say why", async () => {
  const lifeline = new Lifeline({ clock: new TestClock() });
  const seen: unknown[] = [];
  lifeline.onEnd((reason) => seen.push(reason));
  const error = new Error("gone");
  lifeline.lose(error);
  lifeline.lose(new Error("again"));
  assertEquals(seen, [{ type: "lost", error }]);
  assertEquals(await lifeline.closed, { type: "lost", error });
  const later = await assertRejects(
    () => lifeline.run("do it", undefined, () => Promise.resolve()),
    ConnectionError,
  );
  assertEquals([later.code, later.cause], ["connection-lost", error]);
  await lifeline.close(() => Promise.reject(new Error("not called")));
});
