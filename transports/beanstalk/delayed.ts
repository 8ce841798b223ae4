import type { CallOptions } from "../../model/call_options.ts";
import type { DelayedMessage } from "../delayed.ts";
import { isMalformed } from "../store/quarantine.ts";
import { readBody, Statistics } from "./body.ts";
import type { Reply } from "./client.ts";
import type { InspectionHost } from "./inspection.ts";
import { type Commands, join } from "./link.ts";

/**
 * Lists the delayed messages of a queue: beanstalkd shows the one that is due first, and
 * the next when that is removed.
 *
 * @param host The parts of the store.
 * @param queue The queue.
 * @param options The limits of each request.
 * @returns Pages of one message.
 */
export async function* listDelayed(
  host: InspectionHost,
  queue: string,
  options?: CallOptions,
): AsyncIterable<readonly DelayedMessage[]> {
  const { context: { lifeline }, link, tubes, deletions } = host;
  const action = `list the delayed messages of queue "${queue}"`;
  const call = (
    commands: () => Commands,
    options?: CallOptions,
  ): Promise<readonly Reply[]> =>
    lifeline.run(
      action,
      options,
      () => link.call(commands(), { deadline: options?.deadline, action }),
    );
  const peek = { text: "peek-delayed\r\n", count: 1 };
  for (let last = -1;;) {
    const replies = await call(
      () =>
        // A tube that is used is not gone when it is deleted.
        join(link.use(tubes.of(queue)), peek, link.use("default")),
      options,
    );
    const first = replies.find(({ word }) => word === "FOUND");
    if (first?.body === undefined || first.number === last) return;
    const number = last = first.number;
    await deletions.readAll([queue]);
    if (number < deletions.of(queue)) return;
    const { message } = readBody(first.body);
    if (isMalformed(message)) return;
    const ask = { text: `stats-job ${number}\r\n`, count: 1 };
    const [reply] = await call(() => ask, options);
    if (reply?.word !== "OK") continue; // somebody has it by now
    const statistics = new Statistics(reply.body);
    if (statistics.text("state") !== "delayed") continue;
    yield [{
      delay: Math.max(1, statistics.number("time-left") * 1000),
      message,
      async remove(options) {
        const deletion = { text: `delete ${number}\r\n`, count: 1 };
        const [reply] = await call(() => deletion, options);
        return reply?.word === "DELETED";
      },
    }];
  }
}
