import type { Binding, Message, QueueInfo } from "../mod.ts";
import type { Context } from "./context.ts";
import { filterOf } from "./filter.ts";
import { isOfDelays, QUEUES, queuesToShow, requireListing } from "./list.ts";
import { payloadText, recordOf, tellEmpty } from "./messages.ts";
import type { Column } from "./output.ts";
import { type Terminal, UsageError } from "./terminal.ts";

/** A queue of dead letters. */
interface DeadLetterQueue extends QueueInfo {
  /** The queues that dead-letter to it, as far as it is known. */
  readonly of: readonly string[];
}

/** Which dead letters are shown. */
export interface ShowOptions {
  readonly count: number;
  /** The id of the only one. */
  readonly id?: string | undefined;
  readonly filter?: readonly string[] | undefined;
}

/** The most that is looked at, to show some or to say what would be done. */
export const MOST = 1000;

/** The queue that the library parks in what has failed, where none is declared. */
const FAILED = ".failed";

/**
 * The names that are given to queues of dead letters. SQS writes a dot as a hyphen; there and on
 * beanstalkd the broker does not know which queue names which, so that names alone tell.
 */
const NAMED = /^(.+)[._-](?:failed|dead|dlq|dead-?letters?)$/i;

const LISTED: readonly Column<DeadLetterQueue>[] = [
  ...QUEUES.slice(0, 2),
  ...QUEUES.slice(5, 6),
  { head: "OF", text: ({ of }) => of.join(", ") },
];

const SHOWN: readonly Column<Message<unknown>>[] = [
  { head: "FROM", text: originOf },
  { head: "WHY", text: ({ deaths: [last] }) => last?.reason },
  { head: "ATTEMPT", text: ({ attempt }) => attempt, isNumber: true },
  { head: "ERROR", text: errorOf },
  { head: "PAYLOAD", text: payloadText },
  { head: "AT", text: ({ headers }) => text(headers["x-error-at"]) },
  { head: "ID", text: ({ properties }) => properties.messageId },
];

const PURGED: readonly Column<{ readonly purged: number }>[] = [
  { head: "PURGED", text: ({ purged }) => purged, isNumber: true },
];

/**
 * Lists the queues of dead letters: those that others name, and those whose names say so.
 *
 * @param context The context.
 * @returns 0.
 */
export async function listDeadLetters(context: Context): Promise<number> {
  await requireListing(context);
  const inspector = context.connection.inspect();
  const queues: QueueInfo[] = [];
  for await (const each of queuesToShow(context.connection)) queues.push(each);
  const letters = lettersIn(queues, await inspector.bindings());
  const found = queues.flatMap((each) => {
    const of = letters.get(each.name);
    return of === undefined ? [] : [{ ...each, of }];
  });
  await context.output.print(context.output.sorted(found), LISTED);
  if (found.length === 0) {
    context.terminal.tell(
      `dashi: none of the ${queues.length} queues is known to have dead letters: no other queue names one, and no name ends in .failed, .dead or .dlq; dashi list shows all`,
    );
  }
  return 0;
}

/**
 * Finds the queues of dead letters: those that others name, and those whose names end in
 * `.failed`, `.dead`, `.dlq` or the like.
 *
 * @param queues All queues.
 * @param bindings All bindings.
 * @returns For each queue of dead letters those that it is of, as far as it is known.
 */
export function lettersIn(
  queues: readonly QueueInfo[],
  bindings: readonly Binding[],
): ReadonlyMap<string, readonly string[]> {
  const of = new Map<string, string[]>();
  for (const each of queues) {
    if (isOfDelays(each)) continue; // what waited there is due, and no dead letter
    for (const name of lettersOf(each, bindings)) {
      const known = of.get(name);
      if (known === undefined) of.set(name, [each.name]);
      else known.push(each.name);
    }
  }
  const byName = new Map(queues.map((each) => [each.name, each]));
  const found = new Map<string, readonly string[]>();
  for (const name of byName.keys()) {
    // Messages that waited for another try come back from a queue of dead letters.
    const known = of.get(name)?.filter((each) =>
      !expires(byName.get(each)) || !of.get(each)?.includes(name)
    ) ?? [];
    const base = NAMED.exec(name)?.[1];
    if (known.length > 0) {
      found.set(name, known);
    } else if (base !== undefined) {
      found.set(name, byName.has(base) ? [base] : []);
    }
  }
  return found;
}

function expires(queue: QueueInfo | undefined): boolean {
  return queue?.declaration?.arguments["x-message-ttl"] !== undefined;
}

/** The queues that a queue's dead letters come to. */
function lettersOf(
  { name, declaration }: QueueInfo,
  bindings: readonly Binding[],
): readonly string[] {
  const table = declaration?.arguments ?? {};
  const exchange = table["x-dead-letter-exchange"];
  const key = table["x-dead-letter-routing-key"];
  if (typeof exchange !== "string") return [`${name}${FAILED}`];
  if (exchange === "") return [typeof key === "string" ? key : name];
  return bindings.filter(({ source, destination: { kind } }) =>
    source === exchange && kind === "queue"
  ).map(({ destination }) => destination.name);
}

/**
 * Shows dead letters, and why each is one.
 *
 * @param context The context.
 * @param queue The queue that they lie in.
 * @param options Which, and how many at most.
 * @returns 0; 1 if the one is not there.
 * @throws {UsageError} If a filter is none.
 */
export async function showDeadLetters(
  { output, terminal, connection }: Context,
  queue: string,
  { count: most, id, filter }: ShowOptions,
): Promise<number> {
  const passes = filterOf(filter);
  const count = id === undefined ? most : 1;
  const max = filter === undefined && id === undefined ? count : MOST;
  const seen = await connection.queue(queue).peek({ max });
  const found = seen.filter((each) =>
    (id === undefined || each.properties.messageId === id) &&
    passes(letterOf(each))
  ).slice(0, count);
  await output.print(found, SHOWN, letterOf);
  if (output.isCut) {
    terminal.tell(
      "dashi: the table is cut where the terminal ends: --json has the ids, and all of each error",
    );
  }
  if (id !== undefined && found.length === 0) {
    terminal.tell(notFound(id, queue, seen.length));
    if (seen.length === MOST) tellMost(terminal);
    return 1;
  }
  if (seen.length === 0) tellEmpty(terminal, queue);
  else if (found.length === 0) {
    terminal.tell(
      `dashi: none of the ${seen.length} messages of queue "${queue}" that were looked at is meant`,
    );
  }
  if (found.length < count && seen.length === MOST) tellMost(terminal);
  return 0;
}

/** Says that the one message is not there. */
export function notFound(id: string, queue: string, seen: number): string {
  return `dashi: none of the ${seen} messages of queue "${queue}" that were looked at has the id "${id}"; dashi dlq show ${queue} --json has their ids`;
}

/** Says that there may be more than was looked at. */
export function tellMost(terminal: Terminal): void {
  terminal.tell(`dashi: the first ${MOST} were looked at; there may be more`);
}

/**
 * Removes the ready messages of a queue.
 *
 * @param context The context.
 * @param queue The queue.
 * @param isSure Whether the user has said so.
 * @returns 0.
 * @throws {UsageError} If he has not.
 */
export async function purge(
  { output, connection }: Context,
  queue: string,
  isSure: boolean,
): Promise<number> {
  if (!isSure) {
    throw new UsageError(
      `purge removes all ready messages of "${queue}" for good: say --yes if you mean it`,
    );
  }
  const purged = await connection.purge(queue);
  await output.print([{ purged }], PURGED);
  return 0;
}

/**
 * Makes what is written of a dead letter as JSON.
 *
 * @param message The message.
 * @returns It, with where it came from and why.
 */
export function letterOf(message: Message<unknown>): object {
  const { attempt, deaths } = message;
  return {
    ...recordOf(message),
    from: originOf(message),
    reason: deaths[0]?.reason,
    attempt,
    deaths,
    failure: errorOf(message),
  };
}

/**
 * Finds the queue in which a message died first: where it goes when it is redriven.
 *
 * @param message The message.
 * @returns The queue, if the message names one.
 */
export function originOf(
  { headers, deaths }: Message<unknown>,
): string | undefined {
  return text(headers["x-first-death-queue"]) ?? deaths.at(-1)?.queue;
}

function errorOf({ headers }: Message<unknown>): string | undefined {
  const name = text(headers["x-error-name"]);
  const message = text(headers["x-error-message"]);
  if (name === undefined && message === undefined) return undefined;
  return `${name ?? "Error"}: ${message ?? ""}`;
}

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
