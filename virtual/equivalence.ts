import type { ExchangeDeclaration } from "../model/exchange.ts";
import type { FieldTable } from "../model/field_table.ts";
import type { QueueDeclaration } from "../model/queue.ts";
import { sameValue } from "./field_value.ts";
import { QUEUE_ARGUMENTS, show } from "./queue_arguments.ts";

/**
 * Compares a declaration of an exchange with what is there.
 *
 * @param wanted The declaration.
 * @param found What is there.
 * @returns How they differ, to follow `Cannot declare exchange "x"`; `undefined` if they are equal.
 */
export function exchangeDifference(
  wanted: ExchangeDeclaration,
  found: ExchangeDeclaration,
): string | undefined {
  if (wanted.type !== found.type) {
    return `of type "${wanted.type}": the broker has it of type "${found.type}"`;
  }
  return flag(wanted.durable, found.durable, "durable", "transient") ??
    flag(wanted.autoDelete, found.autoDelete, "auto-delete", "lasting") ??
    flag(wanted.internal, found.internal, "internal", "open to publishers") ??
    difference(wanted.arguments, found.arguments, ["alternate-exchange"]);
}

/**
 * Compares a declaration of a queue with what is there.
 *
 * @param wanted The declaration.
 * @param found What is there.
 * @returns How they differ, to follow `Cannot declare queue "x"`; `undefined` if they are equal.
 */
export function queueDifference(
  wanted: QueueDeclaration,
  found: QueueDeclaration,
): string | undefined {
  return flag(wanted.durable, found.durable, "durable", "transient") ??
    flag(wanted.exclusive, found.exclusive, "exclusive", "shared") ??
    flag(wanted.autoDelete, found.autoDelete, "auto-delete", "lasting") ??
    difference(wanted.arguments, found.arguments, QUEUE_ARGUMENTS);
}

function flag(
  wanted: boolean,
  found: boolean,
  set: string,
  unset: string,
): string | undefined {
  if (wanted === found) return undefined;
  return `as ${wanted ? set : unset}: the broker has it as ${
    found ? set : unset
  }`;
}

function difference(
  wanted: FieldTable,
  found: FieldTable,
  names: readonly string[],
): string | undefined {
  for (const name of names) {
    if (sameValue(wanted[name], found[name])) continue;
    return `with "${name}" ${show(wanted[name])}: the broker has it with ${
      show(found[name])
    }`;
  }
  return undefined;
}
