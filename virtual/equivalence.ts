import type { ExchangeDeclaration } from "../model/exchange.ts";
import type { FieldTable } from "../model/field_table.ts";
import type { QueueDeclaration } from "../model/queue.ts";
import { sameValue } from "./field_value.ts";
import { QUEUE_ARGUMENTS, show } from "./queue_arguments.ts";

/** A property that differs: the value that was asked for, and the present one. */
type Difference = readonly [wanted: string, found: string];

/**
 * Compares a declaration of an exchange with the present one.
 *
 * @param wanted The declaration.
 * @param found The existing declaration.
 * @returns All that differs, to follow `Cannot declare exchange "x"`; `undefined` if they are equal.
 */
export function exchangeDifference(
  wanted: ExchangeDeclaration,
  found: ExchangeDeclaration,
): string | undefined {
  return sentence("exchange", [
    ...compare(`of type "${wanted.type}"`, `of type "${found.type}"`),
    ...flag(wanted.durable, found.durable, "durable", "transient"),
    ...flag(wanted.autoDelete, found.autoDelete, "auto-delete", "lasting"),
    ...flag(wanted.internal, found.internal, "internal", "open to publishers"),
    ...arguments_(wanted.arguments, found.arguments, ["alternate-exchange"]),
  ]);
}

/**
 * Compares a declaration of a queue with the present one, without `exclusive`.
 *
 * @param wanted The declaration.
 * @param found The existing declaration.
 * @returns All that differs, to follow `Cannot declare queue "x"`; `undefined` if they are equal.
 */
export function queueDifference(
  wanted: QueueDeclaration,
  found: QueueDeclaration,
): string | undefined {
  return sentence("queue", [
    ...flag(wanted.durable, found.durable, "durable", "transient"),
    ...flag(wanted.autoDelete, found.autoDelete, "auto-delete", "lasting"),
    ...arguments_(wanted.arguments, found.arguments, QUEUE_ARGUMENTS),
  ]);
}

function sentence(
  kind: "exchange" | "queue",
  differences: readonly Difference[],
): string | undefined {
  if (differences.length === 0) return undefined;
  const wanted = differences.map(([each]) => each).join(" and ");
  const found = differences.map(([, each]) => each).join(" and ");
  return differs(kind, wanted, found);
}

/**
 * Says of a declaration how it differs, and the two ways out.
 *
 * @param kind Of what.
 * @param wanted The differing part of the declaration.
 * @param found That part as the broker has it.
 * @returns A text to follow `Cannot declare queue "x"`.
 */
export function differs(
  kind: "exchange" | "queue",
  wanted: string,
  found: string,
): string {
  const lost = kind === "queue" ? "messages" : "bindings";
  return `${wanted}: the broker has it ${found}; declare it as it is, or delete it first, with its ${lost}`;
}

function compare(wanted: string, found: string): readonly Difference[] {
  return wanted === found ? [] : [[wanted, found]];
}

function flag(
  wanted: boolean,
  found: boolean,
  set: string,
  unset: string,
): readonly Difference[] {
  return compare(`as ${wanted ? set : unset}`, `as ${found ? set : unset}`);
}

function arguments_(
  wanted: FieldTable,
  found: FieldTable,
  names: readonly string[],
): readonly Difference[] {
  return names
    .filter((name) => !sameValue(wanted[name], found[name]))
    .map((name) => [withArgument(wanted, name), withArgument(found, name)]);
}

function withArgument(table: FieldTable, name: string): string {
  const value = table[name];
  return value === undefined
    ? `without "${name}"`
    : `with "${name}" ${show(value)}`;
}
