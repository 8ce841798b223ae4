import type { FieldTable } from "../../model/field_table.ts";

/**
 * What the script for one message is told of a queue's limits.
 *
 * @param declared The queue's arguments.
 * @returns `x-max-length`, `x-max-length-bytes`, whether it refuses, `x-expires`; `""` is none.
 */
export function limitsOf(declared: FieldTable): readonly (string | number)[] {
  const refuses = String(declared["x-overflow"] ?? "")
    .startsWith("reject-publish");
  return [
    String(declared["x-max-length"] ?? ""),
    String(declared["x-max-length-bytes"] ?? ""),
    refuses ? 1 : 0,
    String(declared["x-expires"] ?? ""),
  ];
}

/**
 * Says whether a queue has a limit of length.
 *
 * @param declared The queue's arguments.
 * @returns Whether it has.
 */
export function hasLimit(declared: FieldTable): boolean {
  return declared["x-max-length"] !== undefined ||
    declared["x-max-length-bytes"] !== undefined;
}
