import type { CallOptions } from "../../model/call_options.ts";
import type { DelayedMessage } from "../delayed.ts";
import { pagesByTime } from "../store/delayed_pages.ts";
import type { Context } from "./context.ts";
import { hiddenName, readMessage } from "./documents.ts";
import type { Fields } from "./port.ts";

/** So many messages that may be it are looked at. */
const MAX_FOUND = 100;

/**
 * Cancels a delayed message, or moves it: the server looks through those of its queue.
 *
 * @param delay Milliseconds; `undefined` cancels it.
 * @returns When it is due, ms since 1970 by the server; 0 if it is cancelled; `undefined` if there was none.
 */
export async function changeDelayed(
  context: Context,
  queue: string,
  messageId: string,
  delay: number | undefined,
  options?: CallOptions,
): Promise<number | undefined> {
  const { client, settings: { names } } = context;
  const place = hiddenName(queue, "delayed");
  const written = `"message_id": ${JSON.stringify(messageId)}, `;
  const action = delay === undefined
    ? `cancel a message of queue "${queue}"`
    : `move a message of queue "${queue}"`;
  return await context.call(action, options, async () => {
    const now = await context.freshNow();
    const found = await client.find(names.messages, {
      queue: place,
      priority: { $gt: now },
      payload: { $regex: written.replaceAll(/[\\^$.|?*+()[\]{}]/g, "\\$&") },
    }, { limit: MAX_FOUND });
    for (const document of found) {
      const { message } = readMessage(document);
      if ("error" in message) continue;
      if (message.properties.messageId !== messageId) continue;
      // Nobody brings it back meanwhile, nor moves it.
      const { _id, priority } = document;
      const filter = { _id, queue: place, priority };
      if (delay === undefined) {
        if (await client.remove(names.messages, [filter]) > 0) return 0;
        continue;
      }
      const due = now + delay;
      const update = { $set: movedFields(document, due) };
      const { matched } = await client.update(
        names.messages,
        [{ filter, update }],
        { safe: true },
      );
      if (matched > 0) return due;
    }
    return undefined;
  });
}

/** Lists the delayed messages of a queue. */
export async function* listDelayed(
  context: Context,
  queue: string,
  options?: CallOptions,
): AsyncIterable<readonly DelayedMessage[]> {
  const { client, settings: { names } } = context;
  const place = hiddenName(queue, "delayed");
  const action = `list the delayed messages of queue "${queue}"`;
  const now = await context.call(action, options, () => context.freshNow());
  const pages = pagesByTime(
    now + 1,
    (from, limit) =>
      context.call(action, options, () =>
        client.find(names.messages, {
          queue: place,
          priority: { $gte: from },
        }, { sort: { priority: 1, _id: 1 }, limit })),
    ({ _id, priority }) => ({ at: Number(priority), id: String(_id) }),
  );
  for await (const page of pages) {
    yield page.flatMap((document) => {
      const { _id, priority } = document;
      const { message } = readMessage(document);
      const delay = Number(priority) - context.now();
      if ("error" in message || delay <= 0) return [];
      const filter = { _id, queue: place, priority };
      return [{
        delay,
        message,
        remove: async (options) =>
          await context.call(
            action,
            options,
            () => client.remove(names.messages, [filter]),
          ) > 0,
      }];
    });
  }
}

/** Its time to live counts from when it is due. */
function movedFields(
  { priority, hidden_expire_at, hidden_dead_at }: Fields,
  due: number,
): Fields {
  const later = due - Number(priority);
  return {
    priority: due,
    ...moved("hidden_expire_at", hidden_expire_at, later),
    ...moved("hidden_dead_at", hidden_dead_at, later),
  };
}

function moved(name: string, moment: unknown, later: number): Fields {
  return moment instanceof Date
    ? { [name]: new Date(moment.getTime() + later) }
    : {};
}
