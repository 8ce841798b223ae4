import type { Binding, Connection, QueueDeclaration } from "../mod.ts";
import type { Plan } from "./move_plan.ts";

/** Where dead letters go at the source, and what of it is at the target. */
export interface LettersArguments {
  readonly plans: readonly Plan[];
  readonly target: Connection;
  /** All bindings of the source. */
  readonly bindings: readonly Binding[];
  /** Whether the target has a queue of a name. */
  isThere(queue: string): Promise<boolean>;
}

/**
 * Finds queues whose dead letters would reach nobody at the target: the queues that they go
 * to at the source are not moved, and not there.
 *
 * @param queues The queues, by the names that they have at the target.
 * @param given What is where.
 * @returns A sentence for each.
 */
export async function lostLetters(
  queues: readonly QueueDeclaration[],
  { plans, target, bindings, isThere }: LettersArguments,
): Promise<readonly string[]> {
  const notes: string[] = [];
  if (!target.capabilities.has("known-queues")) return notes;
  const moved = new Map(plans.map(({ from, to }) => [from.name, to]));
  const declared = new Set(queues.map(({ name }) => name));
  for (const { name, arguments: table } of queues) {
    const exchange = table["x-dead-letter-exchange"];
    const key = table["x-dead-letter-routing-key"];
    if (typeof exchange !== "string") continue;
    const found = exchange === ""
      // Without a key they go by their own, which is the name of their queue.
      ? [typeof key === "string" ? key : name]
      : destinationsOf(exchange, bindings)
        .map((each) => moved.get(each) ?? each);
    if (found.length === 0 || found.some((each) => declared.has(each))) {
      continue;
    }
    const are = await Promise.all(found.map(isThere));
    if (are.includes(true)) continue;
    notes.push(
      `dead letters of queue "${name}" go to ${
        found.map((each) => `"${each}"`).join(", ")
      }, which is not at the target, and not moved: until it is declared there they are lost`,
    );
  }
  return notes;
}

/** The queues that an exchange leads to; none where it leads through another one, which is not followed. */
function destinationsOf(
  exchange: string,
  bindings: readonly Binding[],
): readonly string[] {
  const own = bindings.filter(({ source }) => source === exchange)
    .map(({ destination }) => destination);
  return own.some(({ kind }) => kind === "exchange")
    ? []
    : [...new Set(own.map(({ name }) => name))];
}
