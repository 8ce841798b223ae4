import {
  HIDDEN_FIELDS,
  hiddenName,
  hiddenNames,
  keyPlace,
  markedPayload,
  readMessage,
} from "./documents.ts";
import type { Fields, UpdateStatement } from "./port.ts";
import { placedFields } from "./reservation.ts";

/**
 * The keys of ordered queues lie among the messages, under names of which Kombu and processes
 * of before know nothing, and which Kombu's index serves as it is:
 *
 * | `queue` | `priority` | |
 * | --- | --- | --- |
 * | `<queue>\x06\x16ring` | its turn | a key that has messages, and of which none is out: `key`, `puts` |
 * | `<queue>\x06\x16busy` | until when | a key whose first message somebody has, its `holder`; or which waits for another attempt |
 * | `<queue>\x06\x16of <key>` | its `place`; 10 while it is out | a message |
 * | `<queue>\x06\x16places` | 0 | counts the places: `next` |
 */

/** The place of a message that is out: before all others of its key, and above any rank. */
export const OUT = 10;
/** The first place of a queue. */
export const FIRST = 1000;

/** A key of a queue; "" is that of the messages without one. */
export interface LaneName {
  readonly queue: string;
  readonly key: string;
}

/** The fields of a message in its key, and of nothing else. */
export const PLACE_FIELDS: Fields = { key: "", place: "", holder: "" };

/** Makes the fields of a message that its putter still holds. */
export function placeFields(
  { queue, key }: LaneName,
  place: number,
  holder: string,
): Fields {
  return { queue: keyPlace(queue, key), priority: place, place, key, holder };
}

/** Makes the filter of the messages of a queue that are ready, or wait behind those of their key. */
export function waitingFilter(queue: string): Fields {
  const first = keyPlace(queue, "");
  return {
    // "!" comes right after " ".
    queue: { $gte: first, $lt: `${first.slice(0, -1)}!` },
    priority: { $gte: FIRST },
  };
}

/** Makes the filter of all that an ordered queue has beside its messages without key. */
export function lanesFilter(queue: string): Fields {
  const all = hiddenName(queue, "");
  return { queue: { $gte: all, $lt: `${all}~` } };
}

/** Names the document of a key. */
export function laneId({ queue, key }: LaneName): string {
  return `${hiddenName(queue, "key")} ${key}`;
}

/** Names the document that counts the places of a queue. */
export function placesName(queue: string): string {
  return hiddenName(queue, "places");
}

/** Tells the key of a message that lies in its place. */
export function laneOf({ queue, key }: Fields): LaneName {
  const place = String(queue);
  const name = String(key);
  return { queue: place.slice(0, -keyPlace("", name).length), key: name };
}

/** Makes the statement that puts a message into its place: marked, if somebody had it. */
export function restoring(document: Fields): UpdateStatement {
  const { _id, queue, priority, holder } = document;
  const { message, redelivered } = readMessage(document);
  const wasHeld = holder !== undefined && priority === OUT;
  const payload = wasHeld
    ? markedPayload(document, message, redelivered)
    : undefined;
  return {
    filter: { _id, queue, priority, holder: holder ?? null },
    update: {
      $set: {
        ...placedFields(document),
        ...(payload === undefined ? {} : { payload }),
      },
      $unset: HIDDEN_FIELDS,
    },
  };
}

/** Makes the filters of what is ready in a queue. */
export function readyFilters(queue: string, isOrdered: boolean): Fields[] {
  return isOrdered ? [{ queue }, waitingFilter(queue)] : [{ queue }];
}

/** Makes the filter of all that a queue has beside what is ready in it. */
export function hiddenFilter(queue: string, isOrdered: boolean): Fields {
  return isOrdered
    ? lanesFilter(queue)
    : { queue: { $in: hiddenNames(queue) } };
}
