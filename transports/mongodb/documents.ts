import { DecodeError } from "../../model/errors.ts";
import type { Publishing } from "../../model/message.ts";
import { readEnvelope } from "../store/envelope.ts";
import type { Malformed } from "../store/store.ts";
import type { Fields, UpdateStatement } from "./port.ts";

/**
 * A hidden message is kept under another queue's name, for Kombu takes every message under
 * the queue's own. There `priority` is the moment when it is to come back, ms since 1970:
 * the one index of messages serves that too.
 *
 * | Field | |
 * | --- | --- |
 * | `payload`, `queue`, `priority` | Kombu's; `priority` is 9 less the message's |
 * | `expire_at` | Kombu's: from then on the server may remove it |
 * | `dead_at` | from then on it is to be dead-lettered |
 * | `hidden_expire_at`, `hidden_dead_at` | the same of hidden messages, which no index is to find |
 * | `claim` | whose it is: `owner.connection.number` |
 * | `deliveries` | how often it was claimed |
 *
 * Those of ordered queues have others besides: `lanes.ts`.
 */
const HIDDEN = "\x06\x16";

const HIDINGS = ["unacked", "delayed", "malformed"] as const;

/** Why a message is out of sight, or what of an ordered queue. */
export type Hiding =
  | typeof HIDINGS[number]
  | "ring"
  | "busy"
  | "places"
  | "key"
  | "";

/** Names the place for a queue's messages that are out of sight. */
export function hiddenName(queue: string, why: Hiding): string {
  return `${queue}${HIDDEN}${why}`;
}

/** Names the place for the messages of a key of an ordered queue. */
export function keyPlace(queue: string, key: string): string {
  return `${queue}${HIDDEN}of ${key}`;
}

/** Names all such places of a queue. */
export function hiddenNames(queue: string): string[] {
  return HIDINGS.map((why) => hiddenName(queue, why));
}

/**
 * Names the queue of such a place.
 *
 * @returns The queue; the same if it is no such place.
 */
export function visibleName(name: string): string {
  const end = name.lastIndexOf(HIDDEN);
  return end < 0 ? name : name.slice(0, end);
}

/**
 * Says whether a claimed document is of a message whose time is over, and which
 * nobody wants to hear of.
 */
export function isStale(document: Fields, now: number): boolean {
  return isPast(document.hidden_expire_at, now);
}

/**
 * Says whether a moment is over.
 *
 * @param moment The moment, a date; anything else is never over.
 */
export function isPast(moment: unknown, now: number): boolean {
  return moment instanceof Date && moment.getTime() <= now;
}

/**
 * Says where a message stands among those of its queue: Kombu's order, the higher
 * priority first.
 *
 * @returns From 0, the first, to 9.
 */
export function rankOf(priority: number | undefined): number {
  return 9 - Math.min(Math.max(Math.trunc(priority ?? 0), 0), 9);
}

/**
 * Says where a message of a document stands among those of its queue.
 *
 * @param document The document, which says what its queue's `x-max-priority` has made of the priority.
 */
export function rankIn(
  { max_priority: most }: Fields,
  message: Publishing | Malformed,
): number {
  const priority = "error" in message ? undefined : message.properties.priority;
  return rankOf(
    typeof most === "number" ? Math.min(priority ?? 0, most) : priority,
  );
}

/**
 * Makes the update that takes a message out of sight.
 *
 * @param until How long, the server's time.
 */
export function claimUpdate(
  queue: string,
  claim: string,
  until: number,
): Fields {
  return {
    $set: { queue: hiddenName(queue, "unacked"), priority: until, claim },
    $inc: { deliveries: 1 },
    // The server must not remove what somebody works on.
    $rename: { expire_at: "hidden_expire_at", dead_at: "hidden_dead_at" },
  };
}

/**
 * Makes the statement that restores a message whose time out of sight is over.
 *
 * @returns The statement; it matches nothing if somebody else was faster.
 */
export function restoreStatement(document: Fields): UpdateStatement {
  const { _id, queue, priority, claim } = document;
  const { message, redelivered } = readMessage(document);
  const wasHeld = claim !== undefined;
  const payload = wasHeld
    ? markedPayload(document, message, redelivered)
    : undefined;
  return {
    filter: { _id, queue, priority, ...(wasHeld ? { claim } : {}) },
    update: {
      $set: {
        ...visibleFields(document, message),
        ...(payload === undefined ? {} : { payload }),
      },
      $unset: HIDDEN_FIELDS,
    },
  };
}

/**
 * Marks an envelope as Kombu marks a requeued one, and where its consumers
 * look besides. As text: parsed and written again, numbers of Python's would not be
 * what they were.
 */
export function markedPayload(
  { payload }: Fields,
  message: Publishing | Malformed,
  redelivered: boolean,
): string | undefined {
  if (redelivered || "error" in message || typeof payload !== "string") {
    return undefined;
  }
  const marked = payload.replace(/\}\s*$/, ', "redelivered": true}');
  const place = marked.indexOf(DELIVERY_INFO);
  // In a string the quotes would be escaped; a header of that name is somebody's own.
  const isSure = place > marked.indexOf(PROPERTIES) &&
    place === marked.lastIndexOf(DELIVERY_INFO);
  if (!isSure) return marked;
  const after = place + DELIVERY_INFO.length;
  const comma = marked[after] === "}" ? "" : ", ";
  return `${marked.slice(0, after)}"redelivered": true${comma}${
    marked.slice(after)
  }`;
}

const PROPERTIES = '"properties": {';
const DELIVERY_INFO = '"delivery_info": {';

/** The fields that a document has only while it is hidden. */
export const HIDDEN_FIELDS: Fields = {
  claim: "",
  holder: "",
  hidden_expire_at: "",
  hidden_dead_at: "",
};

/** Works out the fields that a hidden document gets when it is visible again. */
export function visibleFields(
  document: Fields,
  message: Publishing | Malformed,
): Fields {
  const { hidden_expire_at, hidden_dead_at } = document;
  return {
    queue: visibleName(String(document.queue)),
    priority: rankIn(document, message),
    ...(hidden_expire_at === undefined ? {} : { expire_at: hidden_expire_at }),
    ...(hidden_dead_at === undefined ? {} : { dead_at: hidden_dead_at }),
  };
}

/**
 * Reads a document's payload.
 *
 * @returns The message, or why it is none; and whether it was delivered before.
 */
export function readMessage(
  { payload }: Fields,
): { readonly message: Publishing | Malformed; readonly redelivered: boolean } {
  try {
    if (typeof payload !== "string") {
      throw new DecodeError(
        `Cannot read a document: its payload is a ${typeof payload} and no string`,
      );
    }
    return readEnvelope(payload);
  } catch (error) {
    return {
      message: {
        error: error instanceof Error ? error : new DecodeError(String(error)),
        body: new TextEncoder().encode(
          typeof payload === "string" ? payload : JSON.stringify(payload) ?? "",
        ),
      },
      redelivered: false,
    };
  }
}

/** When a copy is due and over, by the server's time. */
export interface CopyTimes {
  readonly now: number;
  /** Milliseconds from when it is due. */
  readonly ttl: number | undefined;
  /** Whether its queue dead-letters what expires. */
  readonly deadLetters: boolean;
  /** Its queue's `x-max-priority`. */
  readonly maxPriority: number | undefined;
}

/** Makes the fields of a document of a copy of a message, but for its id. */
export function messageFields(
  queue: string,
  message: Publishing,
  payload: string,
  { now, ttl, deadLetters, maxPriority: most = Infinity }: CopyTimes,
): Fields {
  const { priority = 0 } = message.properties;
  const isDelayed = message.delay > 0;
  const due = now + Math.max(message.delay, 0);
  const over = ttl === undefined ? undefined : new Date(due + ttl);
  const name = deadLetters ? "dead_at" : "expire_at";
  return {
    payload,
    queue: isDelayed ? hiddenName(queue, "delayed") : queue,
    priority: isDelayed ? due : rankOf(Math.min(priority, most)),
    ...(priority > most ? { max_priority: most } : {}),
    ...(over === undefined
      ? {}
      : { [isDelayed ? `hidden_${name}` : name]: over }),
  };
}
