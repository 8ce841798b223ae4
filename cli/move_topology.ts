import {
  type Binding,
  type Connection,
  type ExchangeDeclaration,
  MessagingError,
  NotFoundError,
  type QueueDeclaration,
  UnsupportedError,
} from "../mod.ts";
import { lineOf } from "./advice.ts";
import { lostLetters } from "./move_letters.ts";
import type { Plan } from "./move_plan.ts";

/** How much is declared at the target: as at the source, queues by their names, or nothing. */
export type TopologyChoice = "all" | "plain" | "none";

/** All values of {@linkcode TopologyChoice}. */
export const TOPOLOGY: readonly TopologyChoice[] = ["all", "plain", "none"];

/** The entities that the target is to have. */
export interface Topology {
  /** By name; those that are there stay as they are. */
  readonly queues: readonly QueueDeclaration[];
  /** In the order in which they are declared. */
  readonly exchanges: readonly ExchangeDeclaration[];
  /** Those that lead to the queues. */
  readonly bindings: readonly Binding[];
  /** The parts that cannot be known, or not be kept, a sentence each. */
  readonly notes: readonly string[];
}

/** The connections, and how much is declared. */
export interface TopologyArguments {
  readonly source: Connection;
  readonly target: Connection;
  readonly choice: TopologyChoice;
  /** Whether both are one broker, whose exchanges go on with the queues that they have. */
  readonly sameBroker: boolean;
}

/**
 * Reads how queues are declared, and what leads to them.
 *
 * @param plans The queues.
 * @param given The connections, and how much is declared.
 * @returns The entities, by the names that they have at the target.
 */
export async function readTopology(
  plans: readonly Plan[],
  { source, target, choice, sameBroker }: TopologyArguments,
): Promise<Topology> {
  const notes: string[] = [];
  if (choice === "none") {
    return { queues: [], exchanges: [], bindings: [], notes };
  }
  const queues = new Map<string, QueueDeclaration>();
  for (const { from: { name, declaration }, to } of plans) {
    if (queues.has(to)) continue;
    if (declaration === undefined && choice === "all") {
      notes.push(
        `the source does not tell how queue "${name}" was declared: "${to}" is declared by its name alone, if it is not there`,
      );
    }
    queues.set(
      to,
      declaration === undefined || choice === "plain"
        ? plain(to)
        : { ...declaration, name: to, exclusive: false },
    );
  }
  const all = [...queues.values()];
  const found = { queues: all, exchanges: [], bindings: [], notes };
  if (choice === "plain" || sameBroker) return found;
  if (!source.capabilities.has("shared-topology")) {
    notes.push("the source does not tell its exchanges and bindings");
    return found;
  }
  if (
    source.info().transport.startsWith("amqp") &&
    !source.capabilities.has("inspect")
  ) {
    notes.push(
      "the source tells its exchanges and bindings by its management API alone: set DASHI_MANAGEMENT_URL, or declare them yourself",
    );
    return found;
  }
  const bindings = await source.inspect().bindings();
  const routes = await readRoutes(source, plans, { queues: all, bindings });
  notes.push(
    ...await lostLetters(all, {
      plans,
      target,
      bindings,
      isThere: (queue) => isThere(target, queue),
    }),
  );
  if (target.capabilities.has("shared-topology")) {
    return { ...found, ...routes };
  }
  if (routes.bindings.length > 0) {
    notes.push(
      "the target keeps no exchanges and bindings: the programs that use them declare them",
    );
  }
  return found;
}

/** The bindings that lead to the queues, through exchanges too, and the exchanges that they name. */
async function readRoutes(
  source: Connection,
  plans: readonly Plan[],
  { queues, bindings: all }: Pick<Topology, "queues" | "bindings">,
): Promise<Pick<Topology, "exchanges" | "bindings">> {
  const names = new Set<string>();
  const bindings: Binding[] = [];
  const targets = new Map(plans.map(({ from, to }) => [from.name, to]));
  for (const each of all) {
    const { kind, name } = each.destination;
    const to = kind === "queue" ? targets.get(name) : undefined;
    if (to === undefined) continue;
    bindings.push({ ...each, destination: { kind, name: to } });
    names.add(each.source);
  }
  for (const { arguments: table } of queues) {
    const letters = table["x-dead-letter-exchange"];
    if (typeof letters === "string" && letters !== "") names.add(letters);
  }
  const declared = new Map(
    (await source.inspect().exchanges()).map((each) => [each.name, each]),
  );
  // A set hands out what is added to it while it is gone through.
  for (const name of names) {
    for (const each of all) {
      const { kind, name: to } = each.destination;
      if (kind !== "exchange" || to !== name) continue;
      bindings.push(each);
      names.add(each.source);
    }
    const other = declared.get(name)?.arguments["alternate-exchange"];
    if (typeof other === "string" && other !== "") names.add(other);
  }
  const exchanges = [...names].flatMap((name) => {
    const exchange = declared.get(name);
    return exchange === undefined || name.startsWith("amq.") ? [] : [exchange];
  });
  return { exchanges, bindings };
}

/**
 * Declares entities that are not there.
 *
 * @param target The connection.
 * @param topology The entities.
 * @throws {Error} If the broker cannot have one of them, or has another of its name.
 */
export async function declareTopology(
  target: Connection,
  { queues, exchanges, bindings }: Topology,
): Promise<void> {
  await using channel = await target.channel();
  for (const each of exchanges) {
    await told(`exchange "${each.name}"`, channel.declareExchange(each));
  }
  for (const each of queues) {
    if (await isThere(target, each.name)) continue;
    await told(`queue "${each.name}"`, channel.declareQueue(each));
  }
  for (const each of bindings) {
    const { source, destination: { kind, name } } = each;
    await told(
      `the binding of ${kind} "${name}" to "${source}"`,
      channel.bind(each),
    );
  }
}

async function isThere(target: Connection, queue: string): Promise<boolean> {
  if (!target.capabilities.has("known-queues")) return false;
  try {
    await target.queueStatus(queue);
    return true;
  } catch (error) {
    if (error instanceof NotFoundError) return false;
    throw error;
  }
}

async function told(what: string, call: Promise<unknown>): Promise<void> {
  try {
    await call;
  } catch (error) {
    if (!(error instanceof MessagingError)) throw error;
    const isOther = error.code === "precondition-failed";
    if (!isOther && !(error instanceof UnsupportedError)) throw error;
    throw new Error(
      `Cannot declare ${what} at the target as it is at the source; no message is moved. Declare it there as you want it, or give --topology plain, for queues by their names alone, or none: ${
        lineOf(error)
      }`,
      { cause: error },
    );
  }
}

function plain(name: string): QueueDeclaration {
  return {
    name,
    durable: true,
    exclusive: false,
    autoDelete: false,
    arguments: {},
  };
}
