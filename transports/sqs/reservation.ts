import type { Publishing } from "../../model/message.ts";
import type { Malformed, Reservation } from "../store/store.ts";
import type { Polled } from "./reserver.ts";
import type { ReceivedMessage } from "./port.ts";
import type { SqsQueue } from "./queues.ts";

/** How long SQS keeps a message out of sight after it was received, at most, ms: twelve hours, less what its clock may differ. */
const MAX_HELD = 43_200_000 - 10_000;

/** A message that is out of the others' sight. */
export class SqsReservation implements Reservation {
  readonly from: SqsQueue;
  /** As it was received. */
  readonly received: ReceivedMessage;
  readonly handle: string;
  readonly message: Publishing | Malformed;
  readonly redelivered: boolean;
  readonly deliveryCount: number;
  readonly expired = false;
  readonly keepsPlace: boolean;
  /** When SQS lets go of it, however often it is held, on the clock. */
  readonly #last: number;
  /** Until when it is ours, on the clock. */
  until: number;
  /** Whether it was removed, or put back: SQS would take that again, and say that all is well. */
  isOver = false;

  /** Made of a received message. */
  constructor(
    from: SqsQueue,
    received: ReceivedMessage,
    read: {
      readonly message: Publishing | Malformed;
      readonly redelivered: boolean;
    },
    { receivedAt, until }: Pick<Polled, "receivedAt" | "until">,
  ) {
    const { handle, receiveCount } = received;
    this.from = from;
    this.received = received;
    this.handle = handle;
    this.keepsPlace = from.fifo;
    this.#last = receivedAt + MAX_HELD;
    this.message = from.fifo
      ? withAttempts(read.message, receiveCount)
      : read.message;
    this.deliveryCount = receiveCount - 1;
    this.redelivered = receiveCount > 1 || read.redelivered;
    this.until = until;
  }

  get queue(): string {
    return this.from.queue;
  }

  /** For how many whole seconds from now it may stay out of sight, of those that are wished for. */
  secondsOf(wished: number, now: number): number {
    const left = Math.floor((this.#last - now) / 1000);
    return Math.max(0, Math.min(Math.ceil(wished / 1000), left));
  }
}

/** In a FIFO queue no copy takes its place for another attempt: how often it came SQS counts. */
function withAttempts(
  message: Publishing | Malformed,
  receiveCount: number,
): Publishing | Malformed {
  if (receiveCount === 1 || !("properties" in message)) return message;
  const { properties } = message;
  const before = Number(properties.headers?.["x-attempts"] ?? 1);
  const first = Number.isSafeInteger(before) && before > 0 ? before : 1;
  const headers = {
    ...properties.headers,
    "x-attempts": first + receiveCount - 1,
  };
  return { ...message, properties: { ...properties, headers } };
}
