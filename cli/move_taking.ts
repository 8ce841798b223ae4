import {
  type Connection,
  type QueueInfo,
  ResourceLockedError,
  UnsupportedError,
} from "../mod.ts";
import { comparing, toldBy } from "../transports/queue_comparison.ts";

/**
 * How a queue's messages are taken: by a consumer; one by one, for the queue goes, or may go,
 * when its last consumer does; or not at all, for it is a stream.
 */
export type Taking = "consume" | "get" | "never";

/**
 * Says how the messages of a queue are to be taken. AMQP tells how a queue was declared by
 * refusing another declaration of it.
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
      await channel.declareQueue(comparing(name, durable));
    } catch (error) {
      switch (toldBy(error)) {
        case "other-durability":
          continue;
        case "stream":
          return "never";
        case "missing":
        case "other":
          return "consume";
      }
    }
    return "get"; // it goes with its last consumer, or may
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
