import {
  AccessRefusedError,
  type Connection,
  NotFoundError,
  PublishError,
  type QueueInfo,
  ResourceLockedError,
  UnsupportedError,
} from "../mod.ts";
import { lineOf } from "./advice.ts";
import type { Context } from "./context.ts";
import { Backlog, type BacklogCounts } from "./move_backlog.ts";
import { type Plan, planMove } from "./move_plan.ts";
import { delayedElsewhere, restAfter, restOf } from "./move_rest.ts";
import { isSameBroker, requireOther } from "./move_same.ts";
import { Progress } from "./move_progress.ts";
import { MoveTarget } from "./move_target.ts";
import {
  declareTopology,
  readTopology,
  type Topology,
  type TopologyChoice,
} from "./move_topology.ts";
import type { Rate } from "./options_client.ts";
import type { Column } from "./output.ts";
import { INTERRUPTED } from "./terminal.ts";

/** What is moved, and how. */
export interface MoveArguments {
  readonly all?: boolean | undefined;
  /** The name at the target. */
  readonly to?: string | undefined;
  readonly topology?: TopologyChoice | undefined;
  readonly limit?: number | undefined;
  readonly rate?: Rate | undefined;
  readonly inFlight?: number | undefined;
  /** Seconds. */
  readonly wait?: number | undefined;
  /** Seconds. */
  readonly dedupe?: number | undefined;
  readonly dryRun?: boolean | undefined;
}

/** What became of a queue, or will. */
export interface MoveRow extends Partial<BacklogCounts> {
  readonly queue: string;
  readonly to: string;
  /** What is in it: before, or where it is done, what stays. */
  readonly ready: number | undefined;
  readonly delayed: number | undefined;
  readonly unacked: number | undefined;
  readonly done: boolean;
}

/** So many messages are on their way at once, and twice there if the process is killed. */
const IN_FLIGHT = 256;
/** How long to wait for messages that others hold, s: as long as brokers wait for holders that are gone. */
const WAIT = 60;

const STAYS: readonly Column<MoveRow>[] = [
  { head: "READY", text: ({ ready }) => ready, isNumber: true },
  { head: "DELAYED", text: ({ delayed }) => delayed, isNumber: true },
  { head: "UNACKED", text: ({ unacked }) => unacked, isNumber: true },
];
const PLANNED: readonly Column<MoveRow>[] = [
  { head: "QUEUE", text: ({ queue }) => queue },
  { head: "TO", text: ({ to }) => to },
  ...STAYS,
];
const MOVED: readonly Column<MoveRow>[] = [
  { head: "QUEUE", text: ({ queue }) => queue },
  { head: "TO", text: ({ to }) => to },
  { head: "MOVED", text: ({ moved }) => moved, isNumber: true },
  { head: "KEPT", text: ({ kept }) => kept, isNumber: true },
  ...STAYS,
];

/**
 * Moves queues with their messages to another broker, or to another name.
 *
 * @param context The context of the source.
 * @param target The connection to the target; `undefined` is the source's broker.
 * @param names The queues, or patterns of their names.
 * @param given How.
 * @returns 0 if nothing stays; 1 if some messages do; 130 if it was interrupted.
 */
export async function move(
  context: Context,
  target: Connection | undefined,
  names: readonly string[],
  given: MoveArguments,
): Promise<number> {
  const { connection, output, terminal } = context;
  await using own = target ?? connection.clone();
  await connection.connect();
  await own.connect();
  requireDedupe(own, given);
  const plans = await planMove(context, {
    names: given.all ? [...names, "*"] : names,
    to: given.to,
  });
  const sameBroker = target === undefined ||
    await isSameBroker(
      context,
      own,
      // It is worth that where a queue might be moved into itself.
      !given.dryRun && plans.some(({ from, to }) => from.name === to),
    );
  requireOther(plans, sameBroker === true);
  const topology = await readTopology(plans, {
    source: connection,
    target: own,
    choice: given.topology ?? "all",
    sameBroker: sameBroker === true,
  });
  for (const note of topology.notes) terminal.tell(`dashi: ${note}`);
  if (given.dryRun) {
    await output.print(plans.map(({ from, to }) => rowOf(from, to)), PLANNED);
    tellPlan(context, topology);
    return 0;
  }
  await declareTopology(own, topology);
  return await new Mover(context, own, given, sameBroker).run(plans);
}

/** SQS knows duplicates in its FIFO queues, and says so of each message. */
function requireDedupe(target: Connection, { dedupe }: MoveArguments): void {
  if (dedupe === undefined || target.capabilities.has("dedupe")) return;
  if (target.info().transport === "sqs") return;
  throw new UnsupportedError(
    `Cannot move with --dedupe: the target lacks the capability "dedupe", and knows no message again`,
  );
}

/** Moves the messages of queues, one queue after the other. */
class Mover {
  readonly #context: Context;
  readonly #target: Connection;
  readonly #given: MoveArguments;
  /** `undefined` where it is not known. */
  readonly #sameBroker: boolean | undefined;
  readonly #abort = new AbortController();

  constructor(
    context: Context,
    target: Connection,
    given: MoveArguments,
    sameBroker: boolean | undefined,
  ) {
    this.#context = context;
    this.#target = target;
    this.#given = given;
    this.#sameBroker = sameBroker;
  }

  async run(plans: readonly Plan[]): Promise<number> {
    const { output, terminal } = this.#context;
    const unlisten = terminal.onInterrupt?.(() => this.#abort.abort());
    const rows: MoveRow[] = [];
    let isWhole = true;
    try {
      for (const plan of plans) {
        if (this.#abort.signal.aborted) break;
        const row = await this.#queue(plan).catch((error) => {
          if (plans.length === 1 || !isOfQueue(error)) throw error;
          terminal.tell(`dashi: ${lineOf(error)}`);
          return undefined;
        });
        if (row === undefined) {
          isWhole = false;
          continue;
        }
        rows.push(row);
        if (!output.isTable) await output.print([row], MOVED);
      }
    } finally {
      unlisten?.();
      if (output.isTable) await output.print(rows, MOVED);
    }
    if (this.#abort.signal.aborted) {
      terminal.tell(
        "dashi: interrupted; what is not moved is where it was: run it again to go on",
      );
      return INTERRUPTED;
    }
    await this.#tellDelayed();
    return isWhole && rows.every(isAll) ? 0 : 1;
  }

  async #tellDelayed(): Promise<void> {
    const { connection, terminal } = this.#context;
    const count = await delayedElsewhere(connection);
    if (count === 0) return;
    terminal.tell(
      `dashi: ${
        count === 1
          ? "1 delayed message waits"
          : `${count} delayed messages wait`
      } on the source, which does not tell for which queues: run it again when they are due`,
    );
  }

  async #queue({ from, to, taking }: Plan): Promise<MoveRow> {
    const { connection, terminal, output } = this.#context;
    await using source = await connection.channel();
    await using target = new MoveTarget(() => this.#target.channel());
    const { rate, dedupe, wait = WAIT } = this.#given;
    const count = this.#sameBroker === false
      ? Infinity
      : await countOf(connection, from);
    // It may be moved into itself: what was there goes round once.
    const isUnsure = this.#sameBroker === undefined && from.name === to;
    const limit = Math.min(
      this.#given.limit ?? Infinity,
      isUnsure ? count : Infinity,
    );
    const backlog = new Backlog(source, target, {
      from: from.name,
      to,
      limit,
      first: count,
      goesUnused: taking === "get",
      rate: rate === undefined ? Infinity : rate.limit * 1000 / rate.interval,
      inFlight: this.#given.inFlight ?? IN_FLIGHT,
      wait: wait * 1000,
      dedupe: dedupe === undefined ? undefined : dedupe * 1000,
      mandatory: this.#target.capabilities.has("known-queues"),
      checksUser: this.#target.info().transport.startsWith("amqp"),
      signal: this.#abort.signal,
      left: () => restOf(connection, from.name),
      onWait: once((unacked) =>
        terminal.tell(
          `dashi: waiting up to ${wait} s for ${unacked} messages of queue "${from.name}" that others hold, or held before they were killed`,
        )
      ),
    });
    const total = Math.min(limit, from.ready ?? Infinity);
    await using _progress = new Progress(terminal, {
      label: from.name,
      total: total === Infinity ? undefined : total,
      moved: () => backlog.counts.moved,
      print: async () => {
        if (output.isTable) return;
        const row = { ...rowOf(from, to), ...backlog.counts };
        await output.print([row], MOVED);
      },
    });
    try {
      await backlog.runAll();
    } catch (error) {
      throw new Error(
        `${backlog.counts.moved} messages of queue "${from.name}" are moved, the others are where they were; run it again to go on: ${
          lineOf(error)
        }`,
        { cause: error },
      );
    }
    for (const reason of backlog.reasons) terminal.tell(`dashi: ${reason}`);
    const isCut = backlog.counts.moved >= (this.#given.limit ?? Infinity);
    const rest = await restAfter(connection, from, this.#abort.signal);
    const row = {
      ...rowOf({ ...from, ...rest }, to),
      ...backlog.counts,
      ...(isCut ? { ready: undefined, delayed: undefined } : {}),
      done: true,
    };
    this.#tell(row);
    return row;
  }

  #tell({ queue, delayed = 0, unacked = 0 }: MoveRow): void {
    const { terminal } = this.#context;
    if (delayed > 0) {
      terminal.tell(
        delayed === 1
          ? `dashi: 1 message of queue "${queue}" is not due yet, and stays: run it again when it is`
          : `dashi: ${delayed} messages of queue "${queue}" are not due yet, and stay: run it again when they are`,
      );
    }
    if (unacked > 0) {
      terminal.tell(
        `dashi: of queue "${queue}" consumers hold ${unacked}, which stay: stop them, and run it again`,
      );
    }
  }
}

/** Counts what is in a queue, and what others hold of it. */
async function countOf(
  connection: Connection,
  { name }: QueueInfo,
): Promise<number> {
  const { ready = Infinity, delayed = 0, unacked = 0 } = await restOf(
    connection,
    name,
  );
  return ready + delayed + unacked;
}

function once(call: (count: number) => void): (count: number) => void {
  let isCalled = false;
  return (count) => {
    if (!isCalled) call(count);
    isCalled = true;
  };
}

/** Where the target's queue is full, or refuses too many messages, or somebody deleted it, it is a `PublishError`. */
const OF_QUEUE = [
  AccessRefusedError,
  NotFoundError,
  PublishError,
  ResourceLockedError,
] as const;

/** Whether an error is of one queue, so that others can be moved. */
function isOfQueue(error: unknown): boolean {
  const { cause } = Object(error);
  return OF_QUEUE.some((each) => cause instanceof each);
}

/** Whether nothing that is known of stays. */
function isAll({ kept = 0, delayed = 0, unacked = 0 }: MoveRow): boolean {
  return kept + delayed + unacked === 0;
}

function rowOf(
  { name, ready, delayed, unacked }: QueueInfo,
  to: string,
): MoveRow {
  return { queue: name, to, ready, delayed, unacked, done: false };
}

function tellPlan(
  { terminal }: Context,
  { queues, exchanges, bindings }: Topology,
): void {
  const count = (number: number, what: string) =>
    `${number} ${what}${number === 1 ? "" : "s"}`;
  terminal.tell(
    `dashi: nothing is done yet; it would declare ${
      count(queues.length, "queue")
    } where they are missing, ${count(exchanges.length, "exchange")} and ${
      count(bindings.length, "binding")
    }`,
  );
}
