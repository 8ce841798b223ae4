import { type Connection, Queue } from "../mod.ts";
import type { Terminal } from "./terminal.ts";

/** How the queues begin that a command has for itself. */
const OWN = /^dashi-(?:bench|move|ping)-[\da-f-]{36}$/;

/** So many queues are looked at for those that were left. */
const MOST = 1000;

/**
 * Makes a queue that a command has for itself, and deletes. If its process is killed before,
 * it goes by itself where queues expire; {@linkcode tellLeft} tells of it elsewhere.
 *
 * @param connection The connection, which is connected.
 * @param command The command.
 * @param expires How long it stays unused, ms.
 * @returns The queue, not declared.
 */
export function ownQueue(
  connection: Connection,
  command: "bench" | "move" | "ping",
  expires: number,
): Queue {
  const goesUnused = connection.capabilities.has("queue-ttl");
  return new Queue(
    `dashi-${command}-${crypto.randomUUID()}`,
    goesUnused ? { expires } : {},
  );
}

/**
 * Tells of queues that commands had for themselves, and have left, where queues do not
 * expire. They are not deleted: their command may be at work.
 *
 * @param terminal The terminal.
 * @param connection The connection, which is connected.
 */
export async function tellLeft(
  terminal: Terminal,
  connection: Connection,
): Promise<void> {
  const { capabilities } = connection;
  if (capabilities.has("queue-ttl") || !capabilities.has("inspect")) return;
  const left: string[] = [];
  let count = 0;
  try {
    for await (const { name } of connection.inspect().queues()) {
      if (OWN.test(name)) left.push(name);
      if (++count === MOST) break;
    }
  } catch {
    return; // he may not list queues, and has not asked for it
  }
  if (left.length === 0) return;
  const names = left.toSorted().join(" ");
  terminal.tell(
    `dashi: left by commands that were killed, if none is at work now: ${names}; dashi delete ${names} --yes removes what is left`,
  );
}
