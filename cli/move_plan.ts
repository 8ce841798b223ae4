import { type Connection, NotFoundError, type QueueInfo } from "../mod.ts";
import { isOfDelays, requireListing } from "./list.ts";
import type { Context } from "./context.ts";
import { requireTaking, type Taking, takingOf } from "./move_taking.ts";
import { UsageError } from "./terminal.ts";

/** A queue, and where its messages go. */
export interface Plan {
  /** The queue, as its broker tells of it. */
  readonly from: QueueInfo;
  /** The name of the queue at the target. */
  readonly to: string;
  /** How its messages are taken. */
  readonly taking: Taking;
}

/** Which queues, and where to. */
export interface PlanArguments {
  /** Names of queues, or patterns: `*` is any text. */
  readonly names: readonly string[];
  /** The name at the target; `*` is what that of the pattern stands for. */
  readonly to: string | undefined;
}

/**
 * Finds the queues that are meant, and where the messages of each go.
 *
 * @param context The context of the source.
 * @param given Which queues, and where to.
 * @returns The queues, in the order in which they are moved.
 * @throws {UsageError} If a name makes no sense.
 */
export async function planMove(
  context: Context,
  { names, to }: PlanArguments,
): Promise<readonly Plan[]> {
  if (names.length === 0) {
    throw new UsageError("there is no queue: name some, or give --all");
  }
  if (to?.includes("*") && (names.length > 1 || !names[0]?.includes("*"))) {
    throw new UsageError(
      `--to "${to}" has a "*": it goes with one pattern, as dashi move 'orders.*' --to 'old.*'`,
    );
  }
  const plans = new Map<string, Plan>();
  for (const name of names) {
    for (const { star, ...found } of await find(context, name)) {
      const { from } = found;
      const target = to?.replace("*", () => star) ?? from.name;
      plans.set(from.name, { ...found, to: target });
    }
  }
  return inOrder(
    [...plans.values()].toSorted((a, b) => a.from.name < b.from.name ? -1 : 1),
  );
}

/** By name; but a queue that others go to is emptied before these come, for they would go on with what is in it. */
function inOrder(plans: readonly Plan[]): readonly Plan[] {
  const byName = new Map(plans.map((each) => [each.from.name, each]));
  const ordered = new Set<Plan>();
  for (const plan of plans) {
    const path: Plan[] = [];
    for (
      let next: Plan | undefined = plan;
      next !== undefined && !ordered.has(next) && !path.includes(next);
      next = byName.get(next.to)
    ) path.unshift(next);
    for (const each of path) ordered.add(each);
  }
  return [...ordered];
}

/** A queue, and what the `*` of a pattern stands for in its name. */
interface Found extends Omit<Plan, "to"> {
  readonly star: string;
}

async function find(context: Context, name: string): Promise<Found[]> {
  const { connection, terminal } = context;
  if (!name.includes("*")) {
    const from = await look(connection, name);
    const taking = await takingOf(connection, from);
    requireTaking(from, taking);
    return [{ from, star: "", taking }];
  }
  await requireListing(context);
  const words = name.split("*").map((each) =>
    each.replaceAll(/[\\^$.|?+()[\]{}]/g, "\\$&")
  );
  const pattern = new RegExp(`^${words.join("(.*)")}$`, "s");
  const found: Found[] = [];
  for await (const from of connection.inspect().queues()) {
    const match = pattern.exec(from.name);
    if (match === null || isOfDelays(from)) continue;
    if (from.declaration?.exclusive) continue; // it is another connection's alone
    const taking = await takingOf(connection, from);
    if (taking === "never") {
      terminal.tell(
        `dashi: "${from.name}" is a stream, and is left out: its messages stay for all who read it`,
      );
    } else found.push({ from, star: match[1] ?? "", taking });
  }
  if (found.length > 0) return found;
  throw new NotFoundError(
    `Cannot move: no queue that can be moved is named as "${name}"`,
  );
}

/**
 * Looks at a queue, with what the broker tells.
 *
 * @param connection The connection.
 * @param name The queue.
 * @returns The queue.
 */
export function look(
  connection: Connection,
  name: string,
): Promise<QueueInfo> {
  return connection.inspect().queue(name);
}
