// deno-lint-ignore-file no-top-level-await no-console -- a program, whose parent reads what it says
/** Consumes in one of the ways that its parent names, says what it does, and is killed in the middle. */

import { createConnection, type Message } from "@dashi/mq";

/** The work of the process. */
export interface FlowWork {
  readonly how: "batches" | "pause" | "routes" | "breaker";
  readonly url: string;
  readonly queue: string;
  readonly transportOptions: Readonly<Record<string, unknown>>;
}

/** The word that it says: messages are done, or it is where it is to be killed, with some in hand. */
export type FlowWord =
  | { readonly done: readonly number[] }
  | { readonly held: readonly number[] };

/** As many are handled before. */
const FIRST = 10;

const say = (word: FlowWord) => console.log(JSON.stringify(word));
const numbers = (messages: readonly Message<number>[]) =>
  messages.map(({ payload }) => payload);

if (import.meta.main) {
  const { how, url, queue, transportOptions }: FlowWork = JSON.parse(
    Deno.args[0] ?? "",
  );
  const connection = createConnection(url, {
    transportOptions,
    onUnhandled: () => {},
  });
  const consumer = connection.consumer<number>(queue);
  let count = 0;
  const handle = async (message: Message<number>) => {
    if (++count > FIRST) await hang([message]);
    await message.ack();
    say({ done: [message.payload] });
  };
  switch (how) {
    case "batches":
      await consumer.runBatches(async (messages) => {
        if (++count > 2) await hang(messages);
        for (const message of messages) await message.ack();
        say({ done: numbers(messages) });
      }, { size: 5, wait: 1000 });
      break;
    case "routes":
      await consumer.route<{ even: number; odd: number }>({
        even: {
          schema: (payload: unknown) => Number(payload),
          handler: handle,
        },
        odd: handle,
      });
      break;
    case "pause":
      await consumer.run(async (message) => {
        if (count === FIRST) await consumer.pause();
        await handle(message);
      });
      break;
    case "breaker":
      await consumer.run(async (message) => {
        if (count === FIRST - 1) say({ held: [] });
        if (count >= FIRST - 1) throw new Error("it is down");
        await handle(message);
      }, {
        retry: { attempts: 50, backoff: 0 },
        breaker: { failures: 1, within: 60_000, rest: 600_000 },
      });
  }
}

/** Waits for the kill. */
function hang(messages: readonly Message<number>[]): Promise<never> {
  say({ held: numbers(messages) });
  return new Promise(() => {});
}
