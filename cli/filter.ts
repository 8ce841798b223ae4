import { jsonOf } from "./output.ts";
import { UsageError } from "./terminal.ts";

/** The fields of a dead letter, as it is written as JSON. */
const FIELDS: readonly string[] = [
  "id",
  "from",
  "reason",
  "failure",
  "attempt",
  "headers",
  "payload",
  "properties",
  "queue",
  "exchange",
  "routingKey",
  "redelivered",
  "deliveryCount",
  "timestamp",
  "deaths",
  "error",
];

/** One condition. */
interface Condition {
  /** The field, and the fields within it, with dots between them. */
  readonly path: string;
  readonly operator: string;
  readonly text: string;
}

/**
 * Reads filters: a field, an operator and a value each. Of several all must hold.
 *
 * @param given The filters; none lets everything through.
 * @returns Says whether a row is let through.
 * @throws {UsageError} If one is none, or its field is unknown.
 */
export function filterOf(
  given: readonly string[] = [],
): (row: object) => boolean {
  const conditions = given.map(conditionIn);
  return (row) => conditions.every((each) => holds(each, row));
}

function conditionIn(given: string): Condition {
  const [, path, operator, text] = /^([^=~!]+)(!=|=|~)(.*)$/s.exec(given) ?? [];
  if (path === undefined || operator === undefined || text === undefined) {
    throw new UsageError(
      `--filter "${given}" is none: it is a field, an operator (= != ~) and a value, as --filter reason=expired`,
    );
  }
  const [field = ""] = path.split(".", 1);
  if (FIELDS.includes(field)) return { path, operator, text };
  throw new UsageError(
    `--filter "${given}" is of no field: the fields are ${FIELDS.join(", ")}`,
  );
}

function holds({ path, operator, text }: Condition, row: object): boolean {
  const value = valueAt(row, path);
  const found = value === undefined ? undefined : textOf(value);
  if (operator === "=") return found === text;
  if (operator === "!=") return found !== text;
  return found?.toLowerCase().includes(text.toLowerCase()) ?? false;
}

/** A name may have dots of its own. */
function valueAt(value: unknown, path: string): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  const table = value as Readonly<Record<string, unknown>>;
  if (Object.hasOwn(table, path)) return table[path];
  for (let dot = 0; (dot = path.indexOf(".", dot + 1)) !== -1;) {
    const head = path.slice(0, dot);
    if (!Object.hasOwn(table, head)) continue;
    const found = valueAt(table[head], path.slice(dot + 1));
    if (found !== undefined) return found;
  }
  return undefined;
}

/** A text as it is; all else as it is written as JSON. */
function textOf(value: unknown): string {
  if (typeof value === "string") return value;
  return value instanceof Date ? value.toISOString() : jsonOf(value);
}
