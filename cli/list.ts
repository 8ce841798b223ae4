import type {
  Binding,
  Connection,
  ExchangeDeclaration,
  QueueInfo,
} from "../mod.ts";
import type { Context } from "./context.ts";
import { type Column, jsonOf } from "./output.ts";

/** What is listed. */
export const KINDS = ["queues", "exchanges", "bindings"] as const;

/** One of them. */
export type Kind = (typeof KINDS)[number];

/** The columns of queues. */
export const QUEUES: readonly Column<QueueInfo>[] = [
  { head: "QUEUE", text: ({ name }) => name },
  { head: "READY", text: ({ ready }) => ready, isNumber: true },
  { head: "DELAYED", text: ({ delayed }) => delayed, isNumber: true },
  { head: "UNACKED", text: ({ unacked }) => unacked, isNumber: true },
  { head: "CONSUMERS", text: ({ consumers }) => consumers, isNumber: true },
  {
    head: "OLDEST S",
    text: ({ oldestAge }) =>
      oldestAge === undefined ? undefined : Math.round(oldestAge),
    isNumber: true,
  },
  { head: "BYTES", text: ({ bytes }) => bytes, isNumber: true },
];

const EXCHANGES: readonly Column<ExchangeDeclaration>[] = [
  { head: "EXCHANGE", text: ({ name }) => name },
  { head: "TYPE", text: ({ type }) => type },
  { head: "DURABLE", text: ({ durable }) => durable ? "yes" : "no" },
  { head: "ARGUMENTS", text: ({ arguments: table }) => argumentsIn(table) },
];

const BINDINGS: readonly Column<Binding>[] = [
  { head: "EXCHANGE", text: ({ source }) => source },
  { head: "KEY", text: ({ routingKey }) => routingKey },
  { head: "TO", text: ({ destination: { kind } }) => kind },
  { head: "NAME", text: ({ destination: { name } }) => name },
  { head: "ARGUMENTS", text: ({ arguments: table }) => argumentsIn(table) },
];

/** Queues in which messages of RabbitMQ wait for their time, and the exchanges that move them on. */
const OF_DELAYS = /^dashi_delayed_/;

/**
 * Says whether a queue is one of the library's own, in which messages of RabbitMQ wait for
 * their time, or an exchange around it.
 *
 * @param entity The queue, or the exchange.
 * @returns Whether it is.
 */
export function isOfDelays({ name }: Pick<QueueInfo, "name">): boolean {
  return OF_DELAYS.test(name);
}

/**
 * Lists the queues, but for those of delays in which nothing waits: RabbitMQ has thirty of
 * them as soon as one message was delayed.
 *
 * @param connection The connection.
 * @returns The queues.
 */
export async function* queuesToShow(
  connection: Connection,
): AsyncIterable<QueueInfo> {
  for await (const each of connection.inspect().queues()) {
    if (!isOfDelays(each) || each.ready || each.unacked) yield each;
  }
}

function argumentsIn(table: object): string {
  return Object.keys(table).length === 0 ? "" : jsonOf(table);
}

/**
 * Lists what is on the broker.
 *
 * @param context The context.
 * @param kind What to list.
 * @returns 0; 1 where the broker lists nothing.
 */
export async function list(context: Context, kind: Kind): Promise<number> {
  const { output, connection } = context;
  const inspector = connection.inspect();
  await requireListing(context);
  switch (kind) {
    case "queues":
      return tellNone(
        context,
        kind,
        await output.print(output.sorted(queuesToShow(connection)), QUEUES),
      );
    case "exchanges": {
      const exchanges = output.sorted(
        (await inspector.exchanges()).filter((each) => !isOfDelays(each)),
      );
      return tellNone(context, kind, await output.print(exchanges, EXCHANGES));
    }
    case "bindings": {
      const bindings = (await inspector.bindings())
        .filter(({ source }) => !isOfDelays({ name: source }));
      return tellNone(context, kind, await output.print(bindings, BINDINGS));
    }
  }
}

function tellNone(
  { terminal, output }: Context,
  kind: string,
  count: number,
): number {
  if (count === 0 && output.isTable) {
    terminal.tell(`dashi: there are no ${kind}`);
  }
  return 0;
}

/**
 * Refuses where the broker cannot be asked what it has.
 *
 * @param context The context.
 * @throws {Error} If it lists nothing.
 */
export async function requireListing(
  { connection }: Context,
): Promise<void> {
  await connection.connect();
  if (connection.capabilities.has("inspect")) return;
  throw new Error(
    "this broker lists nothing by itself; for RabbitMQ set DASHI_MANAGEMENT_URL to its management API, as http://localhost:15672",
  );
}
