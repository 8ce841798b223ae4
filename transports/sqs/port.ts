/** The contract between the queues and the client of this transport. */

/** Which queue attributes are asked for. */
export type AttributeName =
  | "ApproximateNumberOfMessages"
  | "ApproximateNumberOfMessagesDelayed"
  | "ApproximateNumberOfMessagesNotVisible"
  | "Policy"
  | "QueueArn"
  | "RedrivePolicy";

/** The address of a queue. */
export interface QueuePlace {
  /** Its name in programs. */
  readonly queue: string;
  readonly url: string;
}

/** One message that was received. */
export interface ReceivedMessage {
  /** SQS's name for it, the same however often it is received. */
  readonly id: string;
  readonly handle: string;
  readonly body: string;
  /** How often it was received, this time included. */
  readonly receiveCount: number;
  /** Its group, in a FIFO queue, or of a message in quarantine that is from one. */
  readonly group: string | undefined;
}

/** How to receive: seconds. */
export interface ReceiveSettings {
  readonly limit: number;
  readonly wait: number;
  readonly lease: number;
}
