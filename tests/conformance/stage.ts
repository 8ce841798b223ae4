import {
  type Connection,
  createConnection,
  Exchange,
  type Message,
  Queue,
  ResourceLockedError,
} from "../../mod.ts";
import { type CaseOptions, type ConformanceCase, onHarness } from "./case.ts";
import type { Harness } from "./harness.ts";
import {
  arrives,
  CASE_PATIENCE,
  PATIENCE,
  soon,
  unique,
  until,
} from "./support.ts";

/** The stage of a case through the public API: a connection, and a way to remove what it declared. */
export interface Stage {
  readonly connection: Connection;
  /** Makes a queue, with a name of its own unless it is given one, removed at the end. */
  queue(
    options?: ConstructorParameters<typeof Queue>[1],
    name?: string,
  ): Queue;
  /** Makes an exchange with a name of its own, removed at the end. */
  exchange(options?: ConstructorParameters<typeof Exchange>[1]): Exchange;
}

/** The connections that the case of a harness has opened. */
const OPENED = new WeakMap<Harness, Connection[]>();

/**
 * Makes a case that uses the public API.
 *
 * @param name The case's name.
 * @param run The body of the case.
 * @param options Its requirements.
 * @returns The case.
 */
export function onStage(
  name: string,
  run: (stage: Stage, harness: Harness) => Promise<void>,
  options: CaseOptions = {},
): ConformanceCase {
  return onHarness(name, async (harness) => {
    const connection = open(harness);
    const queues: string[] = [];
    const exchanges: string[] = [];
    try {
      const running = run({
        connection,
        queue(given, name = unique("queue")) {
          const queue = new Queue(name, given);
          queues.push(queue.name);
          return queue;
        },
        exchange(given) {
          const exchange = new Exchange(unique("exchange"), given);
          exchanges.push(exchange.name);
          return exchange;
        },
      }, harness);
      await arrives(running, "the end of the case", CASE_PATIENCE);
    } catch (error) {
      // Handlers that it left at work would disturb later cases.
      const left = OPENED.get(harness) ?? [];
      await Promise.all(left.map((each) => each.close({ drainTimeout: 1 })));
      throw error;
    } finally {
      OPENED.delete(harness);
      await connection.close({ drainTimeout: PATIENCE });
      await remove(harness, queues, exchanges);
    }
  }, options);
}

/**
 * Makes a connection by the public API.
 *
 * @param harness The harness.
 * @param options The options that differ from the defaults.
 * @returns The connection.
 */
export function open(
  harness: Harness,
  options: Parameters<typeof createConnection>[1] = {},
): Connection {
  const connection = createConnection(harness.url, {
    transport: harness.transport,
    transportOptions: harness.transportOptions,
    connectTimeout: PATIENCE,
    operationTimeout: PATIENCE,
    onUnhandled: () => {}, // cases let much fail
    ...options,
  });
  const opened = OPENED.get(harness);
  if (opened === undefined) OPENED.set(harness, [connection]);
  else opened.push(connection);
  return connection;
}

async function remove(
  harness: Harness,
  queues: readonly string[],
  exchanges: readonly string[],
): Promise<void> {
  const connection = open(harness);
  try {
    for (const name of queues) {
      await until(
        () => isRemoved(connection, name),
        `the end of queue "${name}", which a closed connection had alone`,
      );
    }
    const channel = await connection.channel();
    for (const name of exchanges) await channel.deleteExchange(name, soon());
  } finally {
    await connection.close();
  }
}

/** RabbitMQ 4.3 removes the exclusive queues of a connection a moment after it has closed. */
async function isRemoved(
  connection: Connection,
  name: string,
): Promise<boolean> {
  try {
    await connection.delete(name, { timeout: PATIENCE });
    return true;
  } catch (error) {
    if (error instanceof ResourceLockedError) return false;
    throw error;
  }
}

/** Takes so many messages, and leaves the loop. */
export async function take<T>(
  messages: AsyncIterable<Message<T>>,
  count: number,
): Promise<Message<T>[]> {
  const taken: Message<T>[] = [];
  await arrives(
    (async () => {
      for await (const message of messages) {
        taken.push(message);
        if (taken.length === count) break;
      }
    })(),
    `${count} messages`,
  );
  return taken;
}
