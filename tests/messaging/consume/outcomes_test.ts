/** Messages whose settlement fails, by a clock that passes as it is told. */

import { assertEquals } from "@std/assert";
import { ChannelError } from "@dashi/mq";
import { turn } from "../../../async/turn.ts";
import type { ReceivedMessage } from "../../../messaging/consume/message.ts";
import type { RunOptions } from "../../../messaging/consume/run_options.ts";
import { Outcomes } from "../../../messaging/consume/outcomes.ts";
import { Slot } from "../../../messaging/consume/slot.ts";
import { Teller } from "../../../messaging/consume/teller.ts";
import { TestClock } from "../../../testing/clock.ts";

/** Outcomes of a run that keeps what has failed for good. */
function stage(
  clock: TestClock,
  options: RunOptions<number> = { onFailure: "requeue" },
): Outcomes<number> {
  return new Outcomes<number>(options, {
    clock,
    random: () => 0.5,
    patience: 10_000,
    delayStep: () => 1,
    teller: new Teller<number>(() => {}, () => {}, () => {}),
    secrets: () => [],
  });
}

/** A message that is given back when it is told to. */
function held(over: Partial<ReceivedMessage<number>>): ReceivedMessage<number> {
  return {
    isOpen: true,
    deliveryInfo: { queue: "q" },
    properties: {},
    attempt: 1,
    ...over,
  } as ReceivedMessage<number>;
}

Deno.test("a settlement that fails is tried again after a while, ever slower", async () => {
  const clock = new TestClock();
  const outcomes = stage(clock);
  const at: number[] = [];
  const persisting = outcomes.persist(held({}), () => {
    at.push(clock.now());
    return at.length === 4
      ? Promise.resolve()
      : Promise.reject(new ChannelError("busy", { code: "channel-closed" }));
  });
  for (let i = 0; i < 80; i++) {
    await turn();
    clock.pass(10);
  }
  await persisting;
  assertEquals(at, [0, 100, 300, 700]);
});

Deno.test("idle() waits for what goes back", async () => {
  const clock = new TestClock();
  const outcomes = stage(clock);
  const { promise, resolve } = Promise.withResolvers<void>();
  const message = held({ requeue: () => promise });
  await outcomes.giveUp(message, new Error("bad luck"));
  outcomes.drain();
  let isIdle = false;
  const idle = outcomes.idle().then(() => isIdle = true);
  await turn();
  assertEquals(isIdle, false);
  resolve();
  await idle;
});

Deno.test("a retry is told with the time that the broker really waits", async () => {
  const told: unknown[] = [];
  const outcomes = new Outcomes<number>({ retry: { backoff: 200 } }, {
    clock: new TestClock(),
    random: () => 0.5,
    patience: 10_000,
    delayStep: () => 1000,
    teller: new Teller<number>(
      (event) => told.push("next" in event && event.next),
      undefined,
      () => {},
    ),
    secrets: () => [],
  });
  const waited: number[] = [];
  const message = held({
    receivedHeaders: {},
    isUnreadable: () => false,
    requeueLater: (delay) => Promise.resolve(void waited.push(delay)),
  });
  const slot = new Slot(new TestClock(), () => {});
  assertEquals(await outcomes.failed(message, new Error("no"), slot), false);
  assertEquals(told, [{ type: "retry", delay: 1000, attempt: 2, attempts: 5 }]);
  assertEquals(waited, [200], "the broker rounds it up");
});

Deno.test("a message of a stream that fails before a loop has it waits here, and goes back then", async () => {
  const clock = new TestClock();
  const outcomes = stage(clock, { retry: { attempts: 2 } });
  const at: number[] = [];
  const message = held({
    isOfStream: true,
    receivedHeaders: {},
    isUnreadable: () => false,
    callAgain: () => {},
    requeue() {
      at.push(clock.now());
      return Promise.resolve();
    },
  });
  const failing = outcomes.failedBefore(message, new Error("unread"));
  await turn();
  assertEquals(at, []);
  clock.pass(60_000);
  await failing;
  assertEquals(at, [60_000]);
});

Deno.test("a message that fails before a loop has it, and stays in its queue, goes back once, after a while", async () => {
  const clock = new TestClock();
  const outcomes = stage(clock, { retry: false, onFailure: "requeue" });
  const at: number[] = [];
  const message = held({
    requeue() {
      at.push(clock.now());
      return Promise.resolve();
    },
  });
  await outcomes.failedBefore(message, new Error("unread"));
  await turn();
  assertEquals(at, []);
  clock.pass(1000);
  await outcomes.idle();
  assertEquals(at, [1000]);
});
