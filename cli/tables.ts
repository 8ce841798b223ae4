import {
  type Binding,
  type Connection,
  Exchange,
  type ExchangeType,
  type FieldTable,
  type FieldValue,
  NotFoundError,
  Queue,
} from "../mod.ts";
import { lineOf } from "./advice.ts";
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
  if (name === "") {
    throw new UsageError(
      'the name "" is none: give one, as dashi declare orders',
    );
  }
  if (type !== undefined) {
    const exchange = exchangeOf(name, type, table);
    await requireTables(context, "declare an exchange");
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

function exchangeOf(name: string, type: string, table: FieldTable): Exchange {
  try {
    return new Exchange(name, {
      type: type as ExchangeType, // which refuses one that is none
      arguments: table,
    });
  } catch (error) {
    throw new UsageError(lineOf(error));
  }
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
  const { connection, output, terminal } = context;
  const binding: Binding = {
    source: exchange,
    destination: { kind: "queue", name: queue },
    routingKey,
    arguments: {},
  };
  // What is not there is unbound without an error, on all brokers.
  const isMissing = verb === "unbind" && connection.capabilities.has("inspect")
    ? !await isBound(connection, binding)
    : false;
  const channel = await connection.channel();
  await channel[verb](binding);
  if (isMissing) {
    terminal.tell(
      `dashi: queue "${queue}" was not bound to exchange "${exchange}" with the key "${routingKey}": dashi list bindings shows what is there`,
    );
  }
  const done = verb === "bind" ? "bound" : isMissing ? "missing" : "unbound";
  await output.print([{ done, name: queue }], COLUMNS);
  return 0;
}

async function isBound(
  connection: Connection,
  { source, destination, routingKey }: Binding,
): Promise<boolean> {
  const all = await connection.inspect().bindings();
  return all.some((each) =>
    each.source === source && each.routingKey === routingKey &&
    each.destination.kind === destination.kind &&
    each.destination.name === destination.name &&
    Object.keys(each.arguments).length === 0
  );
}

/**
 * Deletes queues with their messages, or exchanges, one after another. One that cannot be
 * deleted does not keep the others.
 *
 * @param context The context.
 * @param names Their names.
 * @param given Of which kind, and whether the user is sure.
 * @returns 0.
 * @throws {UsageError} If he has not said so.
 * @throws {MessagingError} Why the last that stays could not be deleted; of the others it has been told.
 */
export async function remove(
  context: Context,
  names: readonly string[],
  given: DeleteArguments,
): Promise<number> {
  if (!given.yes) {
    throw new UsageError(
      `delete removes ${names.map((each) => `"${each}"`).join(", ")}${
        given.exchange
          ? ""
          : `, and ${names.length > 1 ? "their" : "its"} messages,`
      } for good: say --yes if you mean it`,
    );
  }
  const { output, terminal } = context;
  const done: Done[] = [];
  const errors: Error[] = [];
  for (const name of names) {
    try {
      done.push(await removeOne(context, name, given));
    } catch (error) {
      errors.push(error as Error);
    }
  }
  if (done.length > 0) await output.print(done, COLUMNS);
  const last = errors.pop();
  for (const { message } of errors) terminal.tell(`dashi: ${message}`);
  if (last !== undefined) throw last;
  return 0;
}

async function removeOne(
  { terminal, connection }: Context,
  name: string,
  { exchange = false, ifEmpty = false }: DeleteArguments,
): Promise<Done> {
  const entity = exchange ? new Exchange(name) : name;
  // AMQP deletes what is not there without an error, and so do all brokers here.
  const isThere = await connection.check(entity).then(() => true, ifMissing);
  const messages = await connection.delete(entity, exchange ? {} : { ifEmpty });
  if (isThere) {
    return exchange
      ? { done: "deleted", name }
      : { done: "deleted", name, messages };
  }
  const kind = exchange ? "exchange" : "queue";
  terminal.tell(
    `dashi: there was no ${kind} "${name}": look at the spelling`,
  );
  return { done: "missing", name };
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
