import {
  type FieldTable,
  type FieldValue,
  isFieldTable,
} from "../../model/field_table.ts";

/** Why, where and when a message was dead-lettered, as its header `x-death` tells. */
export interface Death {
  /** The queue that it died in. */
  readonly queue: string;
  /** Why: `rejected`, `expired`, `maxlen`, `delivery_limit`, or what else a broker says. */
  readonly reason: string;
  /** The exchange that it was published to. */
  readonly exchange: string;
  /** The keys that it was published with. */
  readonly routingKeys: readonly string[];
  /** How often it died there for that reason. */
  readonly count: number;
  /** When it did so first, to the second. */
  readonly time: Date | undefined;
}

/**
 * Reads the header `x-death`. A malformed entry of another program's is skipped.
 *
 * @param headers A message's headers.
 * @returns The deaths, the last one first.
 */
export function deathsOf(headers: FieldTable): readonly Death[] {
  const list = headers["x-death"];
  if (!Array.isArray(list)) return [];
  return list.filter((each: FieldValue) => isFieldTable(each)).map((death) => {
    const { queue, reason, exchange, count, time } = death;
    const keys = death["routing-keys"];
    return {
      queue: textOf(queue),
      reason: textOf(reason),
      exchange: textOf(exchange),
      routingKeys: Array.isArray(keys) ? keys.map(textOf) : [],
      count: Number(count ?? 1),
      time: time instanceof Date ? time : undefined,
    };
  });
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
