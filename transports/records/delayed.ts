import type { CallOptions } from "../../model/call_options.ts";
import type { Publishing } from "../../model/message.ts";
import type { DelayedMessage } from "../delayed.ts";
import { readEnvelope } from "../store/envelope.ts";
import type { Database, FullRow, WrittenRecord } from "./database.ts";
import { isOrphan, isReady, rangeOf, readMessageId } from "./ids.ts";
import type { Putter } from "./putter.ts";
import type { Tables } from "./tables.ts";

/** So many records are read at once. */
const PAGE = 50;

/** The parts of a store that cancelling needs. */
export interface DelayedHost {
  readonly database: Database;
  readonly topology: Tables;
  readonly putter: Putter;
}

/**
 * Cancels a delayed message, or moves it: reads those of its queue, for their ids say
 * nothing of what is in them. One that is moved is there twice for a moment; should the
 * process end then, it comes twice.
 *
 * @param host The parts of the store.
 * @param queue The queue.
 * @param messageId The message's id.
 * @param delay Milliseconds; `undefined` cancels it.
 * @param options The limits of the call.
 * @returns The message that was written instead, an empty list if it is cancelled; `undefined` if there was none.
 */
export async function changeDelayed(
  host: DelayedHost,
  queue: string,
  messageId: string,
  delay: number | undefined,
  options?: CallOptions,
): Promise<readonly WrittenRecord[] | undefined> {
  const { database, putter } = host;
  const action = delay === undefined ? "cancel a message" : "move a message";
  for await (const row of delayedIn(host, queue, action, options)) {
    const message = messageOf(row);
    if (message?.properties.messageId !== messageId) continue;
    const { time, expires } = readMessageId(row.id);
    const ttl = expires === Infinity ? undefined : expires - time;
    const written = delay === undefined ? [] : await putter.put([{
      queue,
      ttl,
      message: { ...message, delay, republished: true },
    }]);
    const { type } = await database.remove(action, row, options);
    if (type === "written") return written;
    await putter.takeBack(written); // it was due meanwhile, or somebody else was faster
  }
  return undefined;
}

/**
 * Lists the delayed messages of a queue.
 *
 * @param host The parts of the store.
 * @param queue The queue.
 * @param options The limits of each request.
 * @returns The pages.
 */
export async function* listDelayed(
  host: DelayedHost,
  queue: string,
  options?: CallOptions,
): AsyncIterable<readonly DelayedMessage[]> {
  const { database } = host;
  const action = `list the delayed messages of queue "${queue}"`;
  let page: DelayedMessage[] = [];
  for await (const row of delayedIn(host, queue, action, options)) {
    const delay = readMessageId(row.id).time - database.now();
    const message = messageOf(row);
    if (message === undefined || delay <= 0) continue;
    page.push({
      delay,
      message,
      async remove(options) {
        const { type } = await database.remove(action, row, options);
        return type === "written";
      },
    });
    if (page.length < PAGE) continue;
    yield page;
    page = [];
  }
  if (page.length > 0) yield page;
}

async function* delayedIn(
  { database, topology }: DelayedHost,
  queue: string,
  action: string,
  options?: CallOptions,
): AsyncIterable<FullRow> {
  const { born } = topology.traits(queue);
  for await (
    const page of database.pages(action, rangeOf(queue), options)
  ) {
    const ids = page.filter(({ id, revision }) => {
      if (!isReady(revision)) return false;
      const message = readMessageId(id);
      return message.delayed && message.time > database.now() &&
        !isOrphan(message, born);
    }).map(({ id }) => id);
    for (let from = 0; from < ids.length; from += PAGE) {
      const some = ids.slice(from, from + PAGE);
      for (const row of await database.read(action, some, options)) {
        if (isReady(row.revision)) yield row;
      }
    }
  }
}

function messageOf({ fields }: FullRow): Publishing | undefined {
  try {
    return readEnvelope(String(fields.envelope)).message;
  } catch {
    return undefined; // it is quarantined when it is due
  }
}
