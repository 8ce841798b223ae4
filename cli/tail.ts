import {
  type Binding,
  binding,
  type Connection,
  type ExchangeBinding,
  NotFoundError,
  Queue,
} from "../mod.ts";
import type { Context } from "./context.ts";
import { MESSAGES, recordOf } from "./messages.ts";
import { UsageError } from "./terminal.ts";

/** So many messages may wait to be written. */
const PREFETCH = 100;

/** What is followed. */
export interface TailArguments {
  /** The key of the binding. @default {all of a topic, fanout or headers exchange} */
  readonly key?: string | undefined;
  /** The maximum number of messages. @default {until it is interrupted} */
  readonly count?: number | undefined;
}

/**
 * Shows messages as they are published, through a queue of its own: those of other queues
 * are not taken.
 *
 * @param context The context.
 * @param name The exchange; or a queue, of which the bindings are followed.
 * @param given The key, and how many.
 * @returns 0.
 * @throws {NotFoundError} If there is no such exchange, nor a queue that has bindings.
 */
export async function tail(
  context: Context,
  name: string,
  { key, count = Infinity }: TailArguments,
): Promise<number> {
  const { terminal, output, connection } = context;
  await connection.connect();
  if (!connection.capabilities.has("shared-topology")) {
    throw new Error(
      `Cannot follow "${name}": this broker keeps no exchanges, and shows no message of a queue that it does not hand out; dashi peek shows those that are there`,
    );
  }
  const queue = new Queue(`dashi-tail-${crypto.randomUUID()}`, {
    durable: false,
    exclusive: true,
    autoDelete: true,
    bindings: await bindingsFor(context, name, key),
  });
  await connection.declare(queue);
  terminal.tell(`dashi: following "${name}"; Ctrl-C ends it`);
  const consumer = connection.consumer(queue, { prefetch: PREFETCH });
  const unlisten = terminal.onInterrupt?.(() => void consumer.cancel());
  let shown = 0;
  try {
    for await (const message of consumer) {
      await output.printLine(message, MESSAGES, recordOf);
      await message.ack();
      if (++shown >= count) break;
    }
  } finally {
    unlisten?.();
    await consumer.close();
  }
  return 0;
}

async function bindingsFor(
  context: Context,
  name: string,
  key: string | undefined,
): Promise<readonly ExchangeBinding[]> {
  const { connection, terminal } = context;
  if (await isExchange(connection, name)) {
    if (key !== undefined) return [binding(name, key)];
    const exchanges = await connection.inspect().exchanges();
    const type = exchanges.find((each) => each.name === name)?.type;
    if (type === "direct") {
      throw new UsageError(
        `exchange "${name}" is direct: give the key to follow, as dashi tail ${name} KEY`,
      );
    }
    if (type === undefined) {
      terminal.tell(
        `dashi: the broker does not tell the type of exchange "${name}": by the key "#" all of a topic or fanout exchange is followed, and nothing of another`,
      );
    }
    return [binding(name, "#")];
  }
  if (key !== undefined) {
    throw new NotFoundError(
      `Cannot follow exchange "${name}": there is no such exchange`,
    );
  }
  return await bindingsOf(connection, name);
}

/** A queue's messages cannot be seen twice; but those that exchanges put into it can be put into another, too. */
async function bindingsOf(
  connection: Connection,
  name: string,
): Promise<readonly ExchangeBinding[]> {
  try {
    await connection.inspect().queue(name);
  } catch (cause) {
    if (!(cause instanceof NotFoundError)) throw cause;
    throw new NotFoundError(
      `Cannot follow "${name}": there is no exchange of that name, and no queue`,
      { cause },
    );
  }
  const all: readonly Binding[] = await connection.inspect().bindings();
  const own = all.filter(({ destination }) =>
    destination.kind === "queue" && destination.name === name
  );
  if (own.length > 0) {
    return own.map(({ source, routingKey, arguments: table }) =>
      binding(source, routingKey, table)
    );
  }
  throw new Error(
    `Cannot follow queue "${name}": no binding of it is known, and what is sent to it directly cannot be seen without taking it; dashi peek ${name} shows what is there`,
  );
}

async function isExchange(
  connection: Connection,
  name: string,
): Promise<boolean> {
  await using channel = await connection.channel();
  try {
    await channel.checkExchange(name);
    return true;
  } catch (error) {
    if (error instanceof NotFoundError) return false;
    throw error;
  }
}
