import type { Publishing } from "../../model/message.ts";
import type { Malformed, Reservation } from "../store/store.ts";
import type { NatsMessage } from "./answers.ts";
import { readMessage, timeLeftOf } from "./message.ts";
import type { NatsQueue } from "./queues.ts";

/** A message that its consumer waits for the ack of. */
export class NatsReservation implements Reservation {
  readonly queue: string;
  readonly handle: string;
  readonly message: Publishing | Malformed;
  readonly redelivered: boolean;
  readonly deliveryCount: number;
  readonly expired: boolean;
  readonly timeLeft: number | undefined;
  readonly from: NatsQueue;
  readonly received: NatsMessage;
  /** The subject of its ack. */
  readonly ack: string;
  /** When it was put, ms since 1970 by the server. */
  readonly putAt: number;
  /** Whether it was said that it is done, whatever became of the word. */
  isDone = false;
  /** Until when it is ours, on the clock. */
  until: number;

  /** Reads one; `now` is the server's time. */
  constructor(
    from: NatsQueue,
    received: NatsMessage,
    { now, until }: { readonly now: number; readonly until: number },
  ) {
    this.from = from;
    this.queue = from.name;
    this.received = received;
    this.until = until;
    const ack = this.ack = received.reply ?? "";
    // $JS.ACK.[domain.account.]stream.consumer.delivered.sequence.sequence.time.pending
    const parts = ack.split(".");
    const at = parts.length > 9 ? 6 : 4;
    this.handle = parts[at + 1] ?? "";
    this.deliveryCount = Number(parts[at]) - 1;
    this.redelivered = this.deliveryCount > 0;
    this.putAt = Number(parts[at + 3]) / 1e6;
    this.timeLeft = timeLeftOf(received, this.putAt, now);
    this.expired = this.timeLeft !== undefined && this.timeLeft <= 0;
    this.message = readMessage(from.name, received);
  }

  /** Names it among the messages of all streams. */
  get name(): string {
    return `${this.from.stream}/${this.from.consumer}/${this.handle}`;
  }
}
