/** The order in which messages are handled that were delivered before. */

import { assertEquals } from "@std/assert";
import { AccessRefusedError, ChannelError } from "@dashi/mq";
import { turn } from "../../../async/turn.ts";
import type { ReceivedMessage } from "../../../messaging/consume/message.ts";
import type { RunOptions } from "../../../messaging/consume/run_options.ts";
import { Runner } from "../../../messaging/consume/runner.ts";
import { Teller } from "../../../messaging/consume/teller.ts";
import { TestClock } from "../../../testing/clock.ts";

/** A run over these messages that notes what becomes of them, and the way to let time pass. */
function stage(
  over: readonly Partial<ReceivedMessage<string>>[],
  log: string[],
  options: RunOptions<string>,
) {
  const clock = new TestClock();
  const messages = over.map((each) =>
    Object.assign(each, {
      isOpen: true,
      receivedHeaders: {},
      payload: "called",
      deliveryInfo: { queue: "q" },
      properties: {},
      ackOnly: () => Promise.resolve(),
      ack: () => Promise.resolve(void log.push("acked")),
      ...each,
    }) as ReceivedMessage<string>
  );
  const runner = new Runner<string>(
    ({ payload }) => void log.push(payload),
    options,
    {
      clock,
      random: () => 0.5,
      patience: 10_000,
      delayStep: () => 1,
      teller: new Teller<string>(() => {}, () => {}, () => {}),
      secrets: () => [],
      take: () => undefined,
      next: () => Promise.resolve(messages.shift()),
      want: () => {},
      onEnd: () => () => {},
      hasEnded: () => false,
      cancel: () => Promise.resolve(),
      calling: () => {},
    },
  );
  const pass = async () => {
    for (let i = 0; i < 10; i++) await turn();
    clock.pass(100);
    for (let i = 0; i < 10; i++) await turn();
  };
  return { running: runner.run(), pass };
}

for (
  const [what, headers] of [
    ["no other handler begins", {}],
    ["no handler is called alone", { "x-suspect": 1 }],
  ] as const
) {
  Deno.test(`while a message is written again, that its handler be counted, ${what}`, async () => {
    const log: string[] = [];
    const written = Promise.withResolvers<void>();
    const { running, pass } = stage(
      [{
        redelivered: true,
        async requeueLater(delay, headers) {
          log.push(`written again ${delay} ${Object.keys(headers ?? {})}`);
          await written.promise;
        },
      }, { redelivered: false, receivedHeaders: headers, payload: "next" }],
      log,
      { retry: { attempts: 5 } },
    );
    await pass();
    assertEquals(log, ["written again 0 x-redeliveries"]);
    written.resolve();
    for (let i = 0; i < 50 && log.length < 2; i++) await pass();
    assertEquals(log.slice(1), ["next"]);
    await running;
  });
}

const REFUSED = new AccessRefusedError("you may not publish");
const PASSING = new ChannelError("busy", { code: "channel-closed" });

for (
  const [who, deliveryCount] of [
    ["a message", undefined],
    ["a suspect", 4],
  ] as const
) {
  for (
    const [what, retry, ends] of [
      ["is called all the same without a policy", undefined, "called"],
      ["is given up with one", { attempts: 5 }, "acked"],
    ] as const
  ) {
    Deno.test(`the handler of ${who} that cannot be counted, as nobody may write it again, ${what}`, async () => {
      const log: string[] = [];
      const { running, pass } = stage(
        [{
          redelivered: true,
          deliveryCount,
          requeueLater() {
            log.push("refused");
            return Promise.reject(REFUSED);
          },
        }],
        log,
        { retry, onFailure: "drop" },
      );
      for (let i = 0; i < 50 && log.at(-1) !== ends; i++) await pass();
      await running;
      assertEquals(log, ["refused", ends]);
    });
  }
}

Deno.test("the handler of a suspect that cannot be written again for now is called alone", async () => {
  const log: string[] = [];
  const { running, pass } = stage(
    [{
      redelivered: true,
      deliveryCount: 4,
      requeueLater() {
        log.push("busy");
        return Promise.reject(PASSING);
      },
    }],
    log,
    { retry: { attempts: 5 }, onFailure: "drop" },
  );
  for (let i = 0; i < 50 && log.length < 2; i++) await pass();
  await running;
  assertEquals(log, ["busy", "called"]);
});

for (const settled of [false, true]) {
  Deno.test(
    `a suspect that was written again${
      settled ? ", by an answer that was lost," : ""
    } is not called as it is`,
    async () => {
      const log: string[] = [];
      const suspect = {
        redelivered: true,
        deliveryCount: 4,
        settled: false,
        requeueLater(delay = 0, headers = {}) {
          log.push(`${delay} ${Object.keys(headers)}`);
          suspect.settled = true;
          return settled ? Promise.reject(PASSING) : Promise.resolve();
        },
      };
      const { running, pass } = stage([suspect], log, {
        retry: { attempts: 5 },
      });
      for (let i = 0; i < 10; i++) await pass();
      await running;
      assertEquals(log, ["0 x-suspect"]);
    },
  );
}

Deno.test("a run has ended when messages that waited for their rate have gone back", async () => {
  const log: string[] = [];
  const gone = Promise.withResolvers<void>();
  const waiting = {
    payload: "waits",
    async requeue() {
      log.push("goes back");
      await gone.promise;
    },
  };
  const { running, pass } = stage([{ payload: "first" }, waiting], log, {
    rateLimit: { limit: 1, interval: 10_000, key: () => "same" },
  });
  let isOver = false;
  running.then(() => isOver = true);
  await pass();
  assertEquals(log, ["first", "goes back"]);
  assertEquals(isOver, false);
  gone.resolve();
  await running;
});
