/** A consumer whose first messages are worked on while the server refuses. */

import type { Connection, Queue } from "@dashi/mq";

/** Handlers that wait until they may go on. */
export interface Held {
  /** Resolves when one is at work. */
  readonly working: Promise<void>;
  /** Lets all go on. */
  goOn(): void;
  /** Resolves when the message `last` has come. */
  readonly last: Promise<void>;
  /** How often a payload came. */
  count(payload: string): number;
  /** How many handlers were told to stop. */
  aborted(): number;
  /** Ends the consumer, and its run. */
  end(): Promise<void>;
}

/** Holds what a consumer of a queue gets, two at once, until it may go on; `last` is held by nobody. */
export function hold(connection: Connection, queue: Queue<string>): Held {
  const payloads: string[] = [];
  let aborted = 0;
  const working = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  const last = Promise.withResolvers<void>();
  const consumer = connection.consumer(queue, { prefetch: 2 });
  const running = consumer.run(async ({ payload, signal }) => {
    signal.addEventListener("abort", () => aborted++);
    payloads.push(payload);
    working.resolve();
    if (payload === "last") last.resolve();
    else await goOn.promise;
  });
  return {
    working: working.promise,
    goOn: goOn.resolve,
    last: last.promise,
    count: (payload) => payloads.filter((each) => each === payload).length,
    aborted: () => aborted,
    async end() {
      await consumer.close();
      await running;
    },
  };
}
