import type { CallOptions } from "../../model/call_options.ts";
import type { DelayedMessage } from "../delayed.ts";
import { pagesByTime } from "../store/delayed_pages.ts";
import { isMalformed } from "../store/quarantine.ts";
import type { Context } from "./context.ts";
import { decode, type RedisReply } from "./reply.ts";
import { readStored } from "./stored.ts";

const COLON = 58;

/**
 * Cancels a delayed message, or moves it: looks through those of its queue, some hundreds
 * in a step.
 *
 * @param delay Milliseconds; `undefined` cancels it.
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

/** A member of the sorted set, and when it is due. */
interface Member {
  readonly bytes: Uint8Array;
  readonly at: number;
  /** Whether others of its key wait for it. */
  readonly isAwaited: boolean;
}

/** Lists the delayed messages of a queue. */
export async function* listDelayed(
  context: Context,
  queue: string,
  options?: CallOptions,
): AsyncIterable<readonly DelayedMessage[]> {
  const action = `list the delayed messages of queue "${queue}"`;
  const key = context.layout.delayed(queue);
  const pages = pagesByTime(
    context.serverNow + 1,
    async (from, limit) => {
      const args = [queue, from, limit];
      return membersIn(
        await context.runList("listDelayed", action, args, options),
      );
    },
    ({ bytes, at }) => ({ at, id: decode(bytes) }),
  );
  for await (const page of pages) {
    yield page.flatMap(({ bytes, at, isAwaited }) => {
      const delay = at - context.serverNow;
      if (isAwaited || delay <= 0) return [];
      const { message } = readStored(textIn(bytes));
      if (isMalformed(message)) return [];
      return [{
        delay,
        message,
        remove: async (options) =>
          Number(
            await context.commands.send(action, ["ZREM", key, bytes], options),
          ) === 1,
      }];
    });
  }
}

function membersIn(replies: readonly RedisReply[]): Member[] {
  const members: Member[] = [];
  for (let i = 0; i < replies.length; i += 2) {
    const bytes = replies[i];
    const [at, isAwaited] = decode(replies[i + 1]).split(" ");
    if (!(bytes instanceof Uint8Array)) continue;
    members.push({ bytes, at: Number(at), isAwaited: isAwaited === "1" });
  }
  return members;
}

/** The message in a member, behind two fields that end with a colon. */
function textIn(bytes: Uint8Array): Uint8Array {
  const first = bytes.indexOf(COLON);
  return bytes.subarray(bytes.indexOf(COLON, first + 1) + 1);
}
