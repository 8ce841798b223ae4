import type { ScheduleState } from "./state.ts";
import { isEvery } from "./timing.ts";

/** A wish that a holder answers. */
export type Asked =
  | { readonly type: "list" }
  | { readonly type: "define"; readonly state: ScheduleState }
  | {
    readonly type: "remove";
    readonly name: string;
    /** The version that it has, where none is given. */
    readonly version?: number | undefined;
    readonly since: number;
  };

/** A message in a table's queue. */
export type Sheet =
  | {
    readonly type: "token";
    readonly state: ScheduleState;
    /** The holder that wrote it. */
    readonly by: string;
  }
  | Asked;

/** The layout of these messages. */
const LAYOUT = 1;

const TYPES: ReadonlySet<unknown> = new Set([
  "token",
  "list",
  "define",
  "remove",
]);

/**
 * Writes a message for a table's queue.
 *
 * @param sheet The contents.
 * @returns Its payload.
 */
export function payloadOf(sheet: Sheet): unknown {
  return { layout: LAYOUT, ...sheet };
}

/**
 * Reads a message of a table's queue.
 *
 * @param body Its body.
 * @returns Its contents.
 * @throws {Error} If it is none.
 */
export function readSheet(body: Uint8Array): Sheet {
  const read: unknown = JSON.parse(new TextDecoder().decode(body));
  if (typeof read === "object" && read !== null) {
    const { layout, type, state, name, by } = read as Record<string, unknown>;
    const isWhole = type === "list" ||
      (type === "remove" ? typeof name === "string" : isState(state));
    const isSigned = type !== "token" || typeof by === "string";
    if (layout === LAYOUT && TYPES.has(type) && isWhole && isSigned) {
      return read as Sheet;
    }
  }
  throw new Error(
    "Cannot read a message in the queue of schedules: it is none of this version",
  );
}

function isState(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  const { name, version, since, from, last, definition } = value as Record<
    string,
    unknown
  >;
  return typeof name === "string" && typeof version === "number" &&
    typeof since === "number" && typeof from === "number" &&
    typeof last === "number" &&
    (definition === null || isDefinition(definition));
}

/** Anybody may have written it: what ticks without a pause would keep its holder from all else. */
function isDefinition(value: unknown): boolean {
  const { when, exchange, routingKey, properties, body } = Object(value);
  const { every, cron, timezone = "" } = Object(when);
  const isTime = every === undefined
    ? typeof cron === "string" && typeof timezone === "string"
    : isEvery(every);
  return isTime && typeof properties === "object" && properties !== null &&
    [exchange, routingKey, body].every((each) => typeof each === "string");
}
