import { type Connection, NotFoundError, type QueueInfo } from "../mod.ts";
import { look } from "./move_plan.ts";
import { pause } from "./pacer.ts";

/** RabbitMQ's management API tells what was five seconds ago: so long may be out of date what it tells, ms. */
const STALE = 6000;
/** How often it is asked meanwhile, ms. */
const WAIT = 500;

/** How many queues RabbitMQ's delayed messages wait in. */
const LEVELS = 28;

/** What is in a queue, and what others hold of it; `undefined` where the broker does not tell. */
export interface Rest {
  readonly ready?: number | undefined;
  readonly delayed?: number | undefined;
  readonly unacked?: number | undefined;
}

/**
 * Counts what is in a queue now.
 *
 * @param connection The connection.
 * @param queue The queue.
 * @returns The numbers; `undefined` where they would be out of date.
 */
export async function restOf(
  connection: Connection,
  queue: string,
): Promise<Rest> {
  if (isRabbitmq(connection)) {
    const { messageCount } = await connection.queueStatus(queue);
    return { ready: messageCount };
  }
  return await look(connection, queue);
}

/**
 * Counts what stays in a queue when it was moved.
 *
 * @param connection The connection.
 * @param queue The queue, as it was before.
 * @param signal Ends the wait for numbers that are not out of date.
 * @returns The numbers; those from before if the queue is gone.
 */
export async function restAfter(
  connection: Connection,
  queue: QueueInfo,
  signal: AbortSignal,
): Promise<Rest> {
  try {
    const rest = await restOf(connection, queue.name);
    let { delayed, unacked } = await look(connection, queue.name);
    // What was on its way just now is among what the management API tells.
    const until = performance.now() + STALE;
    while (
      isRabbitmq(connection) && (unacked ?? 0) > 0 &&
      performance.now() < until && await pause(WAIT, signal)
    ) ({ delayed, unacked } = await look(connection, queue.name));
    return { ready: rest.ready, delayed, unacked };
  } catch (error) {
    // It may be a queue that goes with its last consumer.
    if (!(error instanceof NotFoundError)) throw error;
    return queue;
  }
}

/**
 * Counts the messages that are delayed for any queue of RabbitMQ: they wait elsewhere.
 *
 * @param connection The connection.
 * @returns How many; 0 for other brokers.
 */
export async function delayedElsewhere(
  connection: Connection,
): Promise<number> {
  let count = 0;
  try {
    for (let i = 0; isRabbitmq(connection) && i < LEVELS; i++) {
      const level = await connection.queueStatus(`dashi_delayed_${i}`);
      count += level.messageCount;
    }
  } catch {
    // Nothing has ever been delayed, or they may not be looked at.
  }
  return count;
}

function isRabbitmq(connection: Connection): boolean {
  return connection.info().transport.startsWith("amqp");
}
