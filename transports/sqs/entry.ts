import { UnsupportedError } from "../../model/errors.ts";
import type { Publishing } from "../../model/message.ts";
import type { Mark } from "../store/store.ts";
import { shortHash } from "../../virtual/failed_queue.ts";
import { keyOf } from "../../virtual/message_key.ts";
import { deduplicationOf } from "./deduplication.ts";

/** One message on its way. */
export interface SendEntry {
  /** Writes it, once for all copies: when it leaves, so that what waits costs little. */
  readonly body: () => string;
  /** Whole seconds. */
  readonly delay: number | undefined;
  readonly group: string | undefined;
  readonly deduplication: string | undefined;
  /** The group that it had, for a queue that has none: in quarantine it is kept beside the message. */
  readonly formerGroup?: string | undefined;
}

/** The message attribute of SQS that keeps the group of a quarantined message. */
export const FORMER_GROUP = "DashiMessageGroupId";

/** SQS's, ms. */
const MAX_DELAY = 900_000;

/** The most characters of a group. */
const MAX_ID = 128;

/** The names that SQS allows for a group, or for deduplication. */
const ID = /^[!-~]{1,128}$/;

/** The settings by which an entry is made of a message. */
export interface EntryOptions {
  readonly body: () => string;
  readonly fifo: boolean;
  /** Whether it is a copy that SQS must not take for one that it has seen. */
  readonly copy: boolean;
  /** Whether the key is the group where the order is not kept: it is for fair turns then. */
  readonly fair: boolean;
  /** By what SQS is to know it as a duplicate. @default {its header, or its message id} */
  readonly mark?: Mark | undefined;
}

/**
 * Makes the entry to send of a message. Its key, or its header `MessageGroupId`, names its
 * group, which on FIFO queues is else Kombu's `default`; duplicates are told by the header
 * `MessageDeduplicationId`, or else the message id.
 *
 * @param message The message.
 * @param options Its body, and what it is sent to.
 * @returns The entry.
 * @throws {UnsupportedError} If it has a delay that SQS does not do.
 */
export function entryFor(
  message: Publishing,
  { body, fifo, copy, fair, mark }: EntryOptions,
): SendEntry {
  const { delay, properties } = message;
  if (delay > 0 && fifo) {
    throw new UnsupportedError(
      "Cannot publish to a FIFO queue with a delay: SQS has delays on other queues alone",
    );
  }
  if (delay > MAX_DELAY) {
    throw new UnsupportedError(
      `Cannot publish with a delay of ${delay} ms: SQS delays up to 15 minutes`,
    );
  }
  const key = fifo || fair ? keyOf(properties.headers) : undefined;
  const group = key === undefined
    ? idIn(properties.headers?.MessageGroupId)
    : groupOf(key);
  const named = (mark && deduplicationOf(mark)) ??
    idIn(properties.headers?.MessageDeduplicationId) ??
    idIn(properties.messageId);
  return {
    body,
    delay: delay > 0 ? Math.ceil(delay / 1000) : undefined,
    group: fifo ? group ?? "default" : group,
    deduplication: !fifo
      ? undefined
      : copy
      ? crypto.randomUUID()
      : named ?? crypto.randomUUID(),
  };
}

/**
 * Makes the group of a key: the same, where SQS allows that. Two keys that have one group
 * by that keep their order, too.
 */
function groupOf(key: string): string {
  if (ID.test(key)) return key;
  const group = encodeURIComponent(key);
  if (group.length <= MAX_ID) return group;
  const mark = `-${shortHash(key)}`;
  return group.slice(0, MAX_ID - mark.length) + mark;
}

function idIn(value: unknown): string | undefined {
  return typeof value === "string" && ID.test(value) ? value : undefined;
}
