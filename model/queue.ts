import type { FieldTable } from "./field_table.ts";

/** A queue as it is declared: plain data. */
export interface QueueDeclaration {
  /** The name; `""` lets the broker choose one. */
  readonly name: string;
  /** Whether it outlives a restart of the broker. */
  readonly durable: boolean;
  /** Whether only the connection that declared it may use it; it goes with that connection. */
  readonly exclusive: boolean;
  /** Whether it goes when its last consumer goes. */
  readonly autoDelete: boolean;
  /** The broker's own arguments, such as `x-message-ttl`. */
  readonly arguments: FieldTable;
}

/** The broker's answer about a queue that was declared or looked at. */
export interface QueueStatus {
  /** The name, chosen by the broker where the declaration had none. */
  readonly name: string;
  /** How many messages are ready. */
  readonly messageCount: number;
  /** How many consumers it has, or `undefined` where the broker does not know. */
  readonly consumerCount: number | undefined;
}

/**
 * Describes the plainest queue of a name: one that is there and that none of ours
 * declared, or one that has to be made and nobody has described.
 *
 * @param name The queue's name.
 * @returns A queue that lasts, without arguments.
 */
export function plainQueue(name: string): QueueDeclaration {
  return {
    name,
    durable: true,
    exclusive: false,
    autoDelete: false,
    arguments: {},
  };
}
