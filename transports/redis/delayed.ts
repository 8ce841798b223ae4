import type { CallOptions } from "../../model/call_options.ts";
import type { Context } from "./context.ts";
import { decode } from "./reply.ts";

/**
 * Cancels a delayed message, or moves it: looks through those of its queue, some hundreds
 * in a step.
 *
 * @param context The connection.
 * @param queue The queue.
 * @param messageId The message's id.
 * @param delay Milliseconds; `undefined` cancels it.
 * @param options The limits of the call.
 * @returns Whether there was one.
 */
export async function changeDelayed(
  context: Context,
  queue: string,
  messageId: string,
  delay: number | undefined,
  options?: CallOptions,
): Promise<boolean> {
  const action = delay === undefined
    ? `cancel a message of queue "${queue}"`
    : `move a message of queue "${queue}"`;
  const written = `"message_id": ${JSON.stringify(messageId)}, `;
  const pattern = `*${written.replaceAll(/[\\*?[\]^-]/g, "\\$&")}*`;
  const wait = delay === undefined ? "" : Math.ceil(delay);
  for (let cursor = "0";;) {
    const [next, found] = await context.runList(
      "changeDelayed",
      action,
      [queue, pattern, messageId, cursor, wait],
      options,
    );
    if (Number(found) === 1) return true;
    cursor = decode(next);
    if (cursor === "0") return false;
  }
}
