import type { Connection, Message } from "../mod.ts";
import { sift } from "../messaging/connection/sift.ts";
import type { Context } from "./context.ts";
import {
  letterOf,
  MOST,
  notFound,
  originOf,
  tellMost,
} from "./dead_letters.ts";
import { filterOf } from "./filter.ts";
import { tellEmpty } from "./messages.ts";
import type { Column } from "./output.ts";
import { INTERRUPTED, UsageError } from "./terminal.ts";

/** Which dead letters are meant. */
export interface Which {
  /** The id of the only one. */
  readonly id?: string | undefined;
  readonly filter?: readonly string[] | undefined;
  readonly limit?: number | undefined;
}

/** Where to, how fast, and whether to do it. */
export interface RedriveOptions extends Which {
  readonly to?: string | undefined;
  readonly rate?: { readonly limit: number; readonly interval: number };
  readonly dryRun?: boolean | undefined;
}

/** Where dead letters would go. */
interface Plan {
  readonly to: string | undefined;
  readonly messages: number;
}

/** What has become of dead letters. */
interface Redriven {
  readonly moved: number;
  readonly kept: number;
  /** How many the filter has left; where there is one. */
  readonly skipped?: number | undefined;
}

const PLANNED: readonly Column<Plan>[] = [
  { head: "TO", text: ({ to }) => to ?? "(stays: it names no other queue)" },
  { head: "MESSAGES", text: ({ messages }) => messages, isNumber: true },
];

const MOVED: readonly Column<Redriven>[] = [
  { head: "MOVED", text: ({ moved }) => moved, isNumber: true },
  { head: "KEPT", text: ({ kept }) => kept, isNumber: true },
];

const SKIPPED: Column<Redriven> = {
  head: "SKIPPED",
  text: ({ skipped }) => skipped,
  isNumber: true,
};

/** How many are removed, and how many of those before them are not. */
interface Dropped {
  readonly dropped: number;
  readonly skipped: number;
}

const DROPPED: readonly Column<Dropped>[] = [
  { head: "DROPPED", text: ({ dropped }) => dropped, isNumber: true },
  { head: "SKIPPED", text: ({ skipped }) => skipped, isNumber: true },
];

/**
 * Puts dead letters back to where they came from, or says what would be done.
 *
 * @param context The context.
 * @param queue The queue that they lie in.
 * @param options Which, where to, how many, how fast, and whether to do it.
 * @returns 0; 1 if some stay, for they name no queue, or theirs is gone, or the one is not there; 130 if it was interrupted.
 * @throws {UsageError} If a filter is none, or they are to go where they lie.
 */
export async function redriveDeadLetters(
  context: Context,
  queue: string,
  options: RedriveOptions,
): Promise<number> {
  if (options.to === queue) {
    throw new UsageError(
      `--to "${queue}" is the queue that they lie in: give another one`,
    );
  }
  if (options.dryRun) return await plan(context, queue, options);
  const { output, terminal, connection } = context;
  const { to, id, rate: rateLimit } = options;
  const { isMeant, limit } = chosen(options);
  let skipped = 0;
  const filter = (message: Message<unknown>) => {
    const passes = isMeant(message);
    if (!passes) skipped++;
    return passes;
  };
  let soFar: Redriven | undefined;
  const print = ({ moved, kept }: Redriven) =>
    isFiltered(options)
      ? output.print([{ moved, kept, skipped }], [...MOVED, SKIPPED])
      : output.print([{ moved, kept }], MOVED);
  const redriven = await interruptible(context, {
    run: (signal) =>
      connection.redrive(queue, {
        ...{ to, limit, rateLimit, filter, signal },
        onProgress: (numbers) => soFar = numbers,
      }),
    tellSoFar: async () => void (soFar !== undefined && await print(soFar)),
  });
  if (redriven === undefined) return INTERRUPTED;
  const { moved, kept } = redriven;
  if (id !== undefined && moved + kept === 0) {
    terminal.tell(notFound(id, queue, skipped));
    return 1;
  }
  if (moved + kept + skipped === 0) tellEmpty(terminal, queue);
  await print(redriven);
  if (kept === 0) return 0;
  terminal.tell(
    `dashi: what is kept names no other queue that it came from, or that queue is not there any more: dashi dlq redrive ${queue} --to QUEUE puts it into one that you name`,
  );
  return 1;
}

async function plan(
  { output, terminal, connection }: Context,
  queue: string,
  options: RedriveOptions,
): Promise<number> {
  const { isMeant, limit = MOST } = chosen(options);
  const max = isFiltered(options) ? MOST : Math.min(limit, MOST);
  const seen = await connection.queue(queue).peek({ max });
  const found = seen.filter(isMeant).slice(0, limit);
  const counts = new Map<string | undefined, number>();
  for (const each of found) {
    const origin = originOf(each);
    const target = options.to ?? (origin === queue ? undefined : origin);
    counts.set(target, (counts.get(target) ?? 0) + 1);
  }
  const rows = [...counts].map(([to, messages]) => ({ to, messages }));
  await output.print(rows, PLANNED);
  if (seen.length === 0) tellEmpty(terminal, queue);
  if (found.length < limit && seen.length === MOST) tellMost(terminal);
  return 0;
}

/**
 * Removes some dead letters. The others are held meanwhile, and given back.
 *
 * @param context The context.
 * @param queue The queue that they lie in.
 * @param options Which, how many, and whether the user is sure.
 * @returns 0; 1 if the one is not there; 130 if it was interrupted.
 * @throws {UsageError} If all are meant, or he is not.
 */
export async function dropDeadLetters(
  context: Context,
  queue: string,
  options: Which & { readonly yes?: boolean | undefined },
): Promise<number> {
  const { output, terminal, connection } = context;
  const { id, yes = false } = options;
  if (!isFiltered(options)) {
    throw new UsageError(
      "drop removes some messages: say which by --id ID or --filter FIELD=VALUE; dashi dlq purge removes all",
    );
  }
  const { isMeant, limit = Infinity } = chosen(options);
  if (!yes) {
    throw new UsageError(
      `drop removes messages of "${queue}" for good: say --yes if you mean it; dashi dlq show ${queue} with the same --filter shows them`,
    );
  }
  let soFar: Dropped | undefined;
  const done = await interruptible(context, {
    run: (signal) =>
      drop(connection, queue, {
        ...{ isMeant, limit, signal },
        onProgress: (numbers) => soFar = numbers,
      }),
    tellSoFar: async () =>
      void (soFar !== undefined && await output.print([soFar], DROPPED)),
  });
  if (done === undefined) return INTERRUPTED;
  const { dropped, skipped } = done;
  if (id !== undefined && dropped === 0) {
    terminal.tell(notFound(id, queue, skipped));
    return 1;
  }
  await output.print([done], DROPPED);
  return 0;
}

/** Which messages are removed. */
interface DropOptions {
  /** Says which are meant. */
  readonly isMeant: (message: Message<unknown>) => boolean;
  /** How many at most. */
  readonly limit: number;
  /** Ends it. */
  readonly signal?: AbortSignal;
  /** Called with the numbers so far. */
  readonly onProgress?: (soFar: Dropped) => void;
}

/**
 * Removes some messages of a queue. The others are held meanwhile, and given back.
 *
 * @param connection The connection.
 * @param queue The queue.
 * @param options Which, and how many at most.
 * @returns How many are removed, and how many of those before them are not.
 */
export async function drop(
  connection: Connection,
  queue: string,
  { isMeant, limit, signal, onProgress }: DropOptions,
): Promise<Dropped> {
  await using handle = connection.queue(queue);
  const { done, skipped } = await sift(handle, {
    action: "drop",
    knowsQueues: () => connection.capabilities.has("known-queues"),
    limit,
    filter: isMeant,
    onProgress: ({ done, skipped }) => onProgress?.({ dropped: done, skipped }),
    signal,
  }, (message) => message.ack().then(() => true));
  return { dropped: done, skipped };
}

/**
 * Ctrl-C gives back at once what is held: after a kill some brokers take a while. Whatever
 * ends it, what was done before is told.
 */
async function interruptible<R>(
  { terminal }: Context,
  { run, tellSoFar }: {
    run(signal: AbortSignal): Promise<R>;
    tellSoFar(): Promise<void>;
  },
): Promise<R | undefined> {
  const controller = new AbortController();
  const unlisten = terminal.onInterrupt?.(() => controller.abort());
  try {
    return await run(controller.signal);
  } catch (error) {
    await tellSoFar();
    if (!controller.signal.aborted) throw error;
    terminal.tell(
      "dashi: interrupted; the others are where they were: run it again to go on",
    );
    return undefined;
  } finally {
    unlisten?.();
  }
}

function isFiltered({ id, filter }: Which): boolean {
  return id !== undefined || filter !== undefined;
}

/** An id is that of one message. */
function chosen(
  { id, filter, limit = id === undefined ? undefined : 1 }: Which,
): {
  readonly isMeant: (message: Message<unknown>) => boolean;
  readonly limit: number | undefined;
} {
  const passes = filterOf(filter);
  const isMeant = (message: Message<unknown>) =>
    (id === undefined || message.properties.messageId === id) &&
    (filter === undefined || passes(letterOf(message)));
  return { isMeant, limit };
}
