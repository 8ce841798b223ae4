import type { Binding, Message, QueueInfo } from "../mod.ts";
import type { Context } from "./context.ts";
import { QUEUES, requireListing } from "./list.ts";
import { payloadText, recordOf } from "./messages.ts";
import type { Column } from "./output.ts";
import { UsageError } from "./terminal.ts";

/** A queue of dead letters. */
interface DeadLetterQueue extends QueueInfo {
  /** The queues that dead-letter to it, as far as it is known. */
  readonly of: readonly string[];
}

/** How to redrive. */
export interface RedriveArguments {
  readonly to?: string | undefined;
  readonly limit?: number | undefined;
  readonly dryRun?: boolean | undefined;
}

/** Where dead letters would go. */
interface Plan {
  readonly to: string | undefined;
  readonly messages: number;
}

/** The most that is looked at to say what would be done. */
const MOST = 1000;

/** The queue that the library parks in what has failed, where none is declared. */
const FAILED = ".failed";

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

const PLANNED: readonly Column<Plan>[] = [
  { head: "TO", text: ({ to }) => to ?? "(stays: it names no queue)" },
  { head: "MESSAGES", text: ({ messages }) => messages, isNumber: true },
];

const MOVED: readonly Column<
  { readonly moved: number; readonly kept: number }
>[] = [
  { head: "MOVED", text: ({ moved }) => moved, isNumber: true },
  { head: "KEPT", text: ({ kept }) => kept, isNumber: true },
];

const PURGED: readonly Column<{ readonly purged: number }>[] = [
  { head: "PURGED", text: ({ purged }) => purged, isNumber: true },
];

/**
 * Lists the queues of dead letters: those that others name, and those whose names end in
 * `.failed`.
 *
 * @param context The context.
 * @returns 0.
 */
export async function listDeadLetters(context: Context): Promise<number> {
  await requireListing(context);
  const inspector = context.connection.inspect();
  const queues: QueueInfo[] = [];
  for await (const each of inspector.queues()) queues.push(each);
  const bindings = await inspector.bindings();
  const of = new Map<string, string[]>();
  for (const each of queues) {
    for (const name of lettersOf(each, bindings)) {
      const known = of.get(name);
      if (known === undefined) of.set(name, [each.name]);
      else known.push(each.name);
    }
  }
  const found = queues
    .filter(({ name }) => of.has(name) || name.endsWith(FAILED))
    .map((each) => ({ ...each, of: of.get(each.name) ?? [] }));
  await context.output.print(context.output.sorted(found), LISTED);
  return 0;
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
 * @param count The maximum number.
 * @returns 0.
 */
export async function showDeadLetters(
  { output, connection }: Context,
  queue: string,
  count: number,
): Promise<number> {
  const found = await connection.queue(queue).peek({ max: count });
  await output.print(found, SHOWN, (message) => ({
    ...recordOf(message),
    from: originOf(message),
    attempt: message.attempt,
    deaths: message.deaths,
    failure: errorOf(message),
  }));
  return 0;
}

/**
 * Puts dead letters back to where they came from, or says what would be done.
 *
 * @param context The context.
 * @param queue The queue that they lie in.
 * @param given Where to, how many, and whether to do it.
 * @returns 0; 1 if some stay, for they name no queue, or theirs is gone.
 */
export async function redriveDeadLetters(
  { output, terminal, connection }: Context,
  queue: string,
  { to, limit, dryRun = false }: RedriveArguments,
): Promise<number> {
  if (!dryRun) {
    const { moved, kept } = await connection.redrive(queue, { to, limit });
    await output.print([{ moved, kept }], MOVED);
    return kept === 0 ? 0 : 1;
  }
  const max = Math.min(limit ?? MOST, MOST);
  const found = await connection.queue(queue).peek({ max });
  const counts = new Map<string | undefined, number>();
  for (const each of found) {
    const target = to ?? originOf(each);
    counts.set(target, (counts.get(target) ?? 0) + 1);
  }
  const plan = [...counts].map(([to, messages]) => ({ to, messages }));
  await output.print(plan, PLANNED);
  if (found.length === MOST) {
    terminal.tell(`dashi: these are the first ${MOST}; there may be more`);
  }
  return 0;
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

/** The queue in which a message died first: where it goes when it is redriven. */
function originOf({ headers, deaths }: Message<unknown>): string | undefined {
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
