import { shortHash } from "../../virtual/failed_queue.ts";

/** ASCII's punctuation, as Python has it, but for `-`, `_` and `.`. */
const PUNCTUATION = /[!"#$%&'()*+,/:;<=>?@[\\\]^`{|}~]/g;

/** The suffix of the names of FIFO queues and topics. */
export const FIFO = ".fifo";

/** Kombu's, on topics. */
export const TOPIC_TAGS: { Key: string; Value: string }[] = [
  { Key: "ManagedBy", Value: "Celery/Kombu" },
  {
    Key: "Description",
    Value:
      "This SNS topic is used by Kombu to enable Fanout support for AWS SQS.",
  },
];

/**
 * Says whether a queue or a topic keeps the order of its messages.
 *
 * @param name Its name, or its URL.
 * @returns Whether it does.
 */
export function isFifo(name: string): boolean {
  return name.endsWith(FIFO);
}

/**
 * Makes the name that a queue or an exchange has at AWS, by Kombu's rules: `.`
 * becomes `-`, other punctuation `_`, and a final `.fifo` stays. All else is kept:
 * what AWS does not allow, it refuses itself.
 *
 * @param name The name that programs use.
 * @returns The name at AWS.
 */
export function entityName(name: string): string {
  return isFifo(name)
    ? translate(name.slice(0, -FIFO.length)) + FIFO
    : translate(name);
}

/** The longest name that AWS takes for a queue. */
export const MAX_NAME = 80;

/**
 * Makes the name of the queue in which the quarantine of a queue is: that of a FIFO queue
 * has no order itself, so that one can look at all of it.
 *
 * @param queue The queue's name.
 * @param prefix The prefix of each name.
 * @returns The name that programs would use.
 */
export function quarantineName(queue: string, prefix: string): string {
  const base = isFifo(queue) ? `${queue.slice(0, -FIFO.length)}-fifo` : queue;
  const room = MAX_NAME - prefix.length - QUARANTINE.length;
  if (base.length <= room) return base + QUARANTINE;
  const mark = `-${shortHash(base)}`;
  return base.slice(0, Math.max(0, room - mark.length)) + mark + QUARANTINE;
}

const QUARANTINE = "-quarantine";

function translate(name: string): string {
  return name.replace(PUNCTUATION, "_").replaceAll(".", "-");
}
