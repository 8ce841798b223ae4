/** The order in which messages are handled that were delivered before. */

import { assertEquals } from "@std/assert";
import { AccessRefusedError } from "@dashi/mq";
import { turn } from "../../../async/turn.ts";
import type { ReceivedMessage } from "../../../messaging/consume/message.ts";
import { Runner } from "../../../messaging/consume/runner.ts";
import { Teller } from "../../../messaging/consume/teller.ts";
import { TestClock } from "../../../testing/clock.ts";

Deno.test("while a message is written again, that its handler be counted, no other handler begins", async () => {
  const clock = new TestClock();
  const log: string[] = [];
  const written = Promise.withResolvers<void>();
  const message = (
    over: Partial<ReceivedMessage<string>>,
  ): ReceivedMessage<string> =>
    ({
      isOpen: true,
      receivedHeaders: {},
      ackOnly: () => Promise.resolve(),
      ...over,
    }) as ReceivedMessage<string>;
  const messages = [
    message({
      redelivered: true,
      async requeueLater(delay, headers) {
        log.push(`written again ${delay} ${Object.keys(headers ?? {})}`);
        await written.promise;
      },
    }),
    message({ redelivered: false, payload: "next" }),
  ];
  const runner = new Runner<string>(
    ({ payload }) => void log.push(payload),
    { retry: { attempts: 5 } },
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
  const running = runner.run();
  const pass = async () => {
    for (let i = 0; i < 10; i++) await turn();
    clock.pass(100);
    for (let i = 0; i < 10; i++) await turn();
  };
  await pass();
  assertEquals(log, ["written again 0 x-redeliveries"]);
  written.resolve();
  await pass();
  assertEquals(log.slice(1), ["next"]);
  await running;
});

for (
  const [what, retry, ends] of [
    ["is called all the same without a policy", undefined, "called"],
    ["is given up with one", { attempts: 5 }, "acked"],
  ] as const
) {
  Deno.test(`the handler of a message that cannot be counted, as nobody may write it again, ${what}`, async () => {
    const clock = new TestClock();
    const log: string[] = [];
    const message = {
      isOpen: true,
      redelivered: true,
      receivedHeaders: {},
      deliveryInfo: { queue: "q" },
      properties: {},
      requeueLater() {
        log.push("refused");
        return Promise.reject(new AccessRefusedError("you may not publish"));
      },
      ackOnly: () => Promise.resolve(),
      ack() {
        log.push("acked");
        return Promise.resolve();
      },
    } as unknown as ReceivedMessage<string>;
    const messages = [message];
    const runner = new Runner<string>(
      () => void log.push("called"),
      { retry, onFailure: "drop" },
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
    const running = runner.run();
    for (let i = 0; i < 50 && log.at(-1) !== ends; i++) {
      await turn();
      clock.pass(100);
    }
    await running;
    assertEquals(log, ["refused", ends]);
  });
}
