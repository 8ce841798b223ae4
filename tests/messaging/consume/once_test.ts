/** Messages that an inbox is asked about, by a clock that passes as it is told. */

import { assertEquals } from "@std/assert";
import { turn } from "../../../async/turn.ts";
import { Once } from "../../../messaging/consume/once.ts";
import type { ReceivedMessage } from "../../../messaging/consume/message.ts";
import { TestClock } from "../../../testing/clock.ts";

Deno.test("a message whose inbox fails goes back at once when it is to wait no longer", async () => {
  const clock = new TestClock();
  const told: string[] = [];
  let [asked, wentBack, calls] = [0, 0, 0];
  const once = new Once<number>(
    () => void calls++,
    {
      handle() {
        asked++;
        return Promise.reject(new Error("it is down"));
      },
    },
    () => "key",
    {
      clock,
      tell: ({ message }) => told.push(message),
      skipped: () => {},
    },
  );
  const message = {
    deliveryInfo: { queue: "q" },
    isOpen: true,
    requeue() {
      wentBack++;
      return Promise.resolve();
    },
  } as Partial<ReceivedMessage<number>> as ReceivedMessage<number>;
  const handling = once.handle(message);
  await turn();
  clock.pass(50);
  await turn();
  assertEquals([asked, told.length, wentBack], [2, 2, 0]);
  once.letWaitingGo();
  await handling;
  assertEquals([asked, calls, wentBack, clock.timers], [2, 0, 1, 0]);
});
