import {
  type Connection,
  PreconditionFailedError,
  type QueueInfo,
  ResourceLockedError,
  UnsupportedError,
} from "../mod.ts";

/** An argument that no queue has: with it a queue is compared, and never made. */
const NOBODYS = { "x-overflow": "never" };

/**
 * How a queue's messages are taken: by a consumer; one by one, for the queue goes, or may go,
 * when its last consumer does; or not at all, for it is a stream.
 */
export type Taking = "consume" | "get" | "never";

/**
 * Says how the messages of a queue are to be taken. AMQP tells how a queue was declared by
 * refusing another declaration of it, which is compared by how long it lasts first, and by
 * its arguments last.
 *
 * @param connection The connection.
 * @param queue The queue, as its broker tells of it.
 * @returns How.
 */
export async function takingOf(
  connection: Connection,
  { name, declaration }: QueueInfo,
): Promise<Taking> {
  if (declaration !== undefined) {
    const isStream = declaration.arguments["x-queue-type"] === "stream";
    return isStream ? "never" : declaration.autoDelete ? "get" : "consume";
  }
  if (!connection.info().transport.startsWith("amqp")) return "consume";
  for (const durable of [true, false]) {
    await using channel = await connection.channel();
    try {
      await channel.declareQueue({
        name,
        durable,
        exclusive: false,
        autoDelete: false,
        arguments: NOBODYS,
      });
      return "get"; // it should have been refused
    } catch (error) {
      if (!(error instanceof PreconditionFailedError)) return "get";
      const { message } = error;
      if (/ as auto-delete[;,]/.test(message)) return "get";
      if (/ as (?:durable|transient)[;,]/.test(message)) continue;
      if (message.includes('has it with "x-queue-type" "stream"')) {
        return "never";
      }
      return / "x-|invalid arg/.test(message) ? "consume" : "get";
    }
  }
  return "get";
}

/**
 * Refuses a queue whose messages cannot be taken from it.
 *
 * @param queue The queue, as its broker tells of it.
 * @param taking How its messages are taken.
 * @throws {UnsupportedError} If it is a stream.
 * @throws {ResourceLockedError} If it is another connection's alone.
 */
export function requireTaking(
  { name, declaration }: QueueInfo,
  taking: Taking,
): void {
  if (taking === "never") {
    throw new UnsupportedError(
      `Cannot move queue "${name}": it is a stream, whose messages stay for all who read it; consume it from its first message, and publish them elsewhere`,
    );
  }
  if (!declaration?.exclusive) return;
  throw new ResourceLockedError(
    `Cannot move queue "${name}": it is exclusive, the queue of another connection alone`,
  );
}
