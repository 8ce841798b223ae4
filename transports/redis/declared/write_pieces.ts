import { queueTraits } from "../../../virtual/queue_arguments.ts";
import type { TopologyChange } from "../../../virtual/topology.ts";
import { readList, write, type Writes } from "./writes.ts";

/** So many lists of the exchanges that lead to a queue are written with the exchange that goes. */
const SOURCES = 500;

/** So many bindings go in one script: some milliseconds. */
const BINDINGS = 500;

/**
 * Splits what happens when a queue goes to which thousands of bindings lead: they go before
 * it, in pieces, for a binding that was left would lead to a queue that is not there. One
 * that goes only if it is empty keeps them, for they must be there if it stays.
 *
 * @returns What goes before, each a plan of its own, and the last, with which the queue goes.
 */
export function bindingsFirst(
  changes: readonly TopologyChange[],
): {
  readonly early: readonly (readonly TopologyChange[])[];
  readonly last: readonly TopologyChange[];
} {
  const mayStay = changes.some((each) =>
    each.type === "queue-deleted" && each.ifEmpty
  );
  const deleted = new Set(
    changes.flatMap((each) =>
      each.type === "exchange-deleted" ? each.name : []
    ),
  );
  // The set of an exchange that goes goes as a whole.
  const unbound = changes.filter((each) =>
    each.type === "unbound" && !deleted.has(each.binding.source)
  );
  const early: (readonly TopologyChange[])[] = [];
  if (!mayStay) {
    while (unbound.length > BINDINGS) early.push(unbound.splice(0, BINDINGS));
  }
  const gone = new Set(early.flat());
  return { early, last: changes.filter((each) => !gone.has(each)) };
}

/**
 * Splits what is written when an exchange goes: the lists of thousands of queues that it led
 * to are written behind it, in pieces. Until then they name an exchange that is not there.
 */
export function inPieces(
  writes: Writes,
): { readonly first: Writes; readonly later: readonly Writes[] } {
  if (writes.emptied.length === 0 || writes.fields.length <= SOURCES) {
    return { first: writes, later: [] };
  }
  const sources = writes.fields.filter(([field]) => isSources(field));
  const others = writes.fields.filter(([field]) => !isSources(field));
  const later: Writes[] = [];
  for (let i = SOURCES; i < sources.length; i += SOURCES) {
    const fields = sources.slice(i, i + SOURCES);
    later.push({
      fields,
      added: [],
      removed: [],
      emptied: [],
      joined: [],
      left: [],
      isQuiet: true,
      rests: fields.map(([field]) => field),
    });
  }
  const fields = [...others, ...sources.slice(0, SOURCES)];
  return { first: { ...writes, fields }, later };
}

function isSources(field: string): boolean {
  return field.startsWith("sources ");
}

/**
 * Returns the arguments of the script that writes.
 *
 * @param exchanges Those whose sets change: the script tells their sizes.
 * @returns All of them, in the order that `APPLY` says.
 */
export function applyArguments(
  writes: Writes,
  changes: readonly TopologyChange[],
  exchanges: readonly string[],
  seen: readonly (string | number)[],
): readonly (string | number)[] {
  const deleted = changes.filter((each) => each.type === "queue-deleted");
  const declared = changes.filter((each) => each.type === "queue-declared");
  const list = <T>(
    entries: readonly T[],
    format: (entry: T) => readonly (string | number)[],
  ) => [entries.length, ...entries.flatMap(format)];
  return [
    ...seen,
    crypto.randomUUID().slice(0, 8),
    writes.isQuiet ? 1 : 0,
    ...list(writes.rests, (field) => [field]),
    ...list(writes.joined, (field) => field),
    ...list(writes.left, (field) => field),
    ...list(deleted.filter(({ ifEmpty }) => ifEmpty), ({ name }) => [name]),
    ...list(deleted, ({ name }) => [name]),
    ...list(declared, ({ queue }) => [
      queue.name,
      String(queueTraits(queue.arguments).expires ?? ""),
    ]),
    ...list(writes.fields, (field) => field),
    ...list(writes.added, (entry) => entry),
    ...list(writes.removed, (entry) => entry),
    ...list(writes.emptied, (each) => [each]),
    ...list(exchanges, (each) => [each]),
  ];
}

/**
 * Returns the fields that the planned changes leave, as far as the present state is known.
 *
 * @param present Looks up the value of a field; empty if there is none.
 * @returns The fields, and their values; an empty one goes.
 */
export function fieldsAfter(
  { fields, joined, left }: Writes,
  present: (field: string) => string,
): readonly (readonly [field: string, value: string])[] {
  if (joined.length + left.length === 0) return fields;
  const after = new Map(fields);
  const valueOf = (field: string) => after.get(field) ?? present(field);
  for (const [field, entries] of joined) {
    const value = valueOf(field);
    after.set(
      field,
      value === "" ? `[${entries}]` : `${value.slice(0, -1)},${entries}]`,
    );
  }
  for (const [field, entry] of left) {
    const texts = readList(valueOf(field)).map(write);
    const rest = texts.filter((each) => each !== entry);
    after.set(field, rest.length === 0 ? "" : `[${rest.join(",")}]`);
  }
  return [...after];
}
