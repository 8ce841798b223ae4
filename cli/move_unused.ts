import {
  type Connection,
  PreconditionFailedError,
  type QueueInfo,
} from "../mod.ts";

/** An argument that no queue has: with it a queue is compared, and never made. */
const NOBODYS = { "x-overflow": "never" };

/**
 * Says whether a queue goes, or may go, with its messages, when its last consumer does.
 * AMQP tells how a queue was declared by refusing another declaration of it, which is
 * compared by how long it lasts first, and by its arguments last.
 *
 * @param connection The connection.
 * @param queue The queue, as its broker tells of it.
 * @returns Whether it may not be consumed from.
 */
export async function goesUnused(
  connection: Connection,
  { name, declaration }: QueueInfo,
): Promise<boolean> {
  if (declaration !== undefined) return declaration.autoDelete;
  if (!connection.info().transport.startsWith("amqp")) return false;
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
      return true; // it should have been refused
    } catch (error) {
      if (!(error instanceof PreconditionFailedError)) return true;
      const { message } = error;
      if (/ as auto-delete[;,]/.test(message)) return true;
      if (/ as (?:durable|transient)[;,]/.test(message)) continue;
      return !/ "x-|invalid arg/.test(message);
    }
  }
  return true;
}
