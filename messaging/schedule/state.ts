import type { MessageProperties } from "../../model/message.ts";
import type { ScheduleInfo } from "./schedule_options.ts";
import type { Missed, Timing, When } from "./when.ts";

/** The definition of a schedule, as it travels: JSON. */
export interface Definition {
  readonly when: When;
  readonly missed: Missed;
  readonly exchange: string;
  readonly routingKey: string;
  readonly mandatory?: boolean | undefined;
  readonly properties: MessageProperties;
  /** In base64. */
  readonly body: string;
}

/** All that is known of a schedule. */
export interface ScheduleState {
  readonly name: string;
  readonly version: number;
  /** When the definition was given, ms since 1970. */
  readonly since: number;
  /** Null once it was removed. */
  readonly definition: Definition | null;
  /** Its ticks after this moment, and up to `last`, are published or left out; ms since 1970. */
  readonly from: number;
  readonly last: number;
}

/**
 * Joins what is known of a schedule from two sides. The order does not matter, nor how often
 * one of them is joined: copies that a crash has left come to the same.
 *
 * @param a The one.
 * @param b The other.
 * @returns The state that holds.
 */
export function join(a: ScheduleState, b: ScheduleState): ScheduleState {
  const [winner, loser] = wins(a, b) ? [a, b] : [b, a];
  return isSameTime(winner, loser)
    ? { ...winner, ...doneBy(winner, loser) }
    : winner;
}

function wins(a: ScheduleState, b: ScheduleState): boolean {
  if (a.version !== b.version) return a.version > b.version;
  if ((a.definition === null) !== (b.definition === null)) {
    return a.definition === null; // else a process of before would undo it
  }
  if (a.since !== b.since) return a.since > b.since;
  return JSON.stringify(a.definition) >= JSON.stringify(b.definition);
}

/** Another time begins when it was given: its earlier ticks were never meant. */
function isSameTime(a: ScheduleState, b: ScheduleState): boolean {
  if (a.definition === null || b.definition === null) return false;
  const [one, other] = [a.definition.when, b.definition.when];
  return one.cron === other.cron && one.every === other.every &&
    (one.timezone ?? "UTC") === (other.timezone ?? "UTC");
}

/**
 * The ticks that are done. One may be given again while a process that was killed still
 * holds the token: between the two are ticks that nobody has published. They are, then, and
 * those after them once more.
 */
function doneBy(
  a: ScheduleState,
  b: ScheduleState,
): Pick<ScheduleState, "from" | "last"> {
  const [first, second] = a.from <= b.from ? [a, b] : [b, a];
  const { from } = first;
  const isGap = second.from > first.last;
  return { from, last: isGap ? first.last : Math.max(first.last, second.last) };
}

/**
 * Describes a schedule for its users.
 *
 * @param state The knowledge of it.
 * @param timing Its ticks; none if it was removed.
 * @returns The description.
 */
export function infoOf(
  { name, version, definition, last }: ScheduleState,
  timing: Timing | undefined,
): ScheduleInfo {
  const next = timing?.after(last);
  return {
    name,
    version,
    when: definition?.when,
    exchange: definition?.exchange ?? "",
    routingKey: definition?.routingKey ?? "",
    last: new Date(last),
    next: next === undefined ? undefined : new Date(next),
  };
}
