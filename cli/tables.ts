import {
  Exchange,
  type ExchangeType,
  type FieldTable,
  type FieldValue,
  NotFoundError,
  Queue,
} from "../mod.ts";
import type { Context } from "./context.ts";
import type { Column } from "./output.ts";
import { UsageError } from "./terminal.ts";

/** What is declared. */
export interface DeclareArguments {
  /** The type, of an exchange. */
  readonly exchange?: string | undefined;
  readonly argument?: readonly string[] | undefined;
}

/** What is deleted. */
export interface DeleteArguments {
  /** Whether it is an exchange. */
  readonly exchange?: boolean | undefined;
  readonly ifEmpty?: boolean | undefined;
  readonly yes?: boolean | undefined;
}

/** One thing that was done. */
interface Done {
  readonly done: string;
  readonly name: string;
  readonly messages?: number | undefined;
}

const COLUMNS: readonly Column<Done>[] = [
  { head: "DONE", text: ({ done }) => done },
  { head: "NAME", text: ({ name }) => name },
  { head: "MESSAGES", text: ({ messages }) => messages, isNumber: true },
];

/**
 * Declares a queue, or an exchange.
 *
 * @param context The context.
 * @param name Its name.
 * @param given Of which kind, and its arguments.
 * @returns 0.
 */
export async function declare(
  context: Context,
  name: string,
  { exchange: type, argument }: DeclareArguments,
): Promise<number> {
  const { output, connection } = context;
  const table = tableOf(argument);
  if (type !== undefined) {
    await requireTables(context, "declare an exchange");
    const exchange = new Exchange(name, {
      type: type as ExchangeType, // which refuses one that is none
      arguments: table,
    });
    await connection.declare(exchange);
    await output.print([{ done: "declared", name }], COLUMNS);
    return 0;
  }
  const { messageCount: messages } = await connection.declare(
    new Queue(name, { arguments: table }),
  );
  await output.print([{ done: "declared", name, messages }], COLUMNS);
  return 0;
}

/**
 * Binds a queue to an exchange, or removes the binding.
 *
 * @param context The context.
 * @param verb `bind` or `unbind`.
 * @param queue The queue.
 * @param exchange The exchange.
 * @param routingKey The key.
 * @returns 0.
 */
export async function bind(
  context: Context,
  verb: "bind" | "unbind",
  queue: string,
  exchange: string,
  routingKey: string,
): Promise<number> {
  await requireTables(context, verb);
  const channel = await context.connection.channel();
  await channel[verb]({
    source: exchange,
    destination: { kind: "queue", name: queue },
    routingKey,
    arguments: {},
  });
  const done = verb === "bind" ? "bound" : "unbound";
  await context.output.print([{ done, name: queue }], COLUMNS);
  return 0;
}

/**
 * Deletes a queue with its messages, or an exchange.
 *
 * @param context The context.
 * @param name Its name.
 * @param given Of which kind, and whether the user is sure.
 * @returns 0.
 * @throws {UsageError} If he has not said so.
 */
export async function remove(
  { output, terminal, connection }: Context,
  name: string,
  { exchange = false, ifEmpty = false, yes = false }: DeleteArguments,
): Promise<number> {
  if (!yes) {
    throw new UsageError(
      `delete removes "${name}"${
        exchange ? "" : ", and its messages,"
      } for good: say --yes if you mean it`,
    );
  }
  const entity = exchange ? new Exchange(name) : name;
  // AMQP deletes what is not there without an error, and so do all brokers here.
  const isThere = await connection.check(entity).then(() => true, ifMissing);
  const messages = await connection.delete(entity, exchange ? {} : { ifEmpty });
  if (!isThere) {
    const kind = exchange ? "exchange" : "queue";
    terminal.tell(
      `dashi: there was no ${kind} "${name}": look at the spelling`,
    );
    await output.print([{ done: "missing", name }], COLUMNS);
    return 0;
  }
  await output.print([{
    done: "deleted",
    name,
    messages: exchange ? undefined : messages,
  }], COLUMNS);
  return 0;
}

function ifMissing(error: unknown): false {
  if (error instanceof NotFoundError) return false;
  throw error;
}

/** What a broker does not keep would be gone with this process. */
async function requireTables(
  { connection }: Context,
  action: string,
): Promise<void> {
  await connection.connect();
  if (connection.capabilities.has("shared-topology")) return;
  throw new Error(
    `Cannot ${action}: this broker keeps no exchanges and bindings, so each process declares its own`,
  );
}

function tableOf(given: readonly string[] = []): FieldTable {
  const table: Record<string, FieldValue> = {};
  for (const each of given) {
    const [, name, value] = /^([^=]+)=(.*)$/s.exec(each) ?? [];
    if (name === undefined || value === undefined) {
      throw new UsageError(
        `--argument "${each}" is none: it is a name and a value, as --argument x-max-length=1000`,
      );
    }
    table[name] = valueOf(value);
  }
  return table;
}

/** A number or a truth value is one; all else is a text. */
function valueOf(text: string): FieldValue {
  if (text === "true" || text === "false") return text === "true";
  return /^-?\d{1,15}$/.test(text) ? Number(text) : text;
}
