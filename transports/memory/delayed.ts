import type { CallOptions } from "../../model/call_options.ts";
import { copyOf } from "../../model/copies.ts";
import type { DelayedMessage } from "../delayed.ts";
import type { Lifeline } from "../store/lifeline.ts";
import type { MemoryBroker } from "./broker.ts";

/**
 * Lists the delayed messages of a queue.
 *
 * @param broker The broker.
 * @param lifeline That of the connection.
 * @param name The queue.
 * @param options The limits of the call.
 * @returns One page.
 */
export async function* listDelayed(
  broker: MemoryBroker,
  lifeline: Lifeline,
  name: string,
  options?: CallOptions,
): AsyncIterable<readonly DelayedMessage[]> {
  const queue = broker.queue(name);
  if (queue === undefined) return;
  const action = `list the delayed messages of queue "${name}"`;
  const found = await lifeline.run(
    action,
    options,
    () => Promise.resolve(broker.listDelayed(queue)),
  );
  yield found.map(({ item, delay }) => ({
    delay,
    message: copyOf(item.message.publishing),
    remove: (options) =>
      lifeline.run(
        action,
        options,
        () => Promise.resolve(broker.removeDelayed(queue, item)),
      ),
  }));
}
