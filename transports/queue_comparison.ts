import { PreconditionFailedError } from "../model/errors.ts";
import type { QueueDeclaration } from "../model/queue.ts";

/** An argument that no queue has: with it a queue is compared, and never made. */
const NOBODYS = { "x-overflow": "never" };

/**
 * What an AMQP broker tells of a queue by refusing another declaration of it. It compares
 * how long a queue lasts first, and the arguments last: a queue that is told to be a stream
 * has the durability that was asked with, and does not go with its last consumer.
 */
export type Told =
  | "missing"
  | "other-durability"
  | "auto-delete"
  | "stream"
  | "other";

/**
 * Makes the declaration that every queue refuses.
 *
 * @param name The queue.
 * @param durable What to ask for: a queue of the other kind tells that alone.
 * @returns The declaration.
 */
export function comparing(name: string, durable: boolean): QueueDeclaration {
  return {
    name,
    durable,
    exclusive: false,
    autoDelete: false,
    arguments: NOBODYS,
  };
}

/**
 * Reads what the refusal of {@linkcode comparing} tells.
 *
 * @param error The error that it was refused with.
 * @returns That; `undefined` where the error is no such refusal.
 */
export function toldBy(error: unknown): Told | undefined {
  if (!(error instanceof PreconditionFailedError)) return undefined;
  const { message } = error;
  if (message.includes("invalid arg")) return "missing";
  if (/ has it as auto-delete\b/.test(message)) return "auto-delete";
  if (/ has it as (?:durable|transient)\b/.test(message)) {
    return "other-durability";
  }
  return message.includes('has it with "x-queue-type" "stream"')
    ? "stream"
    : "other";
}
