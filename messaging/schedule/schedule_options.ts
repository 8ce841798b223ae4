import type { SendOptions } from "../publish/producer_options.ts";
import { OptionError } from "../../model/errors.ts";
import { quote } from "../../model/foreign_text.ts";
import type { Exchange } from "../entities/exchange.ts";
import type { Queue } from "../entities/queue.ts";
import { checkKnown, type KnownOptions, optionsOf } from "../known_options.ts";
import type { OperationOptions } from "../operation_options.ts";
import { isEvery, MAX_EVERY } from "./timing.ts";
import type { Missed, When } from "./when.ts";

/** The name of the table that a call is about. */
export interface ScheduleTableOptions extends OperationOptions {
  /**
   * The table of schedules, which all processes that name it publish together: services
   * that may not publish each other's messages have tables of their own. At most 60 letters,
   * digits, `-` and `_`. Its queue is `dashi.schedules`, or `dashi.schedules.<table>`.
   * @default {""}
   */
  readonly table?: string | undefined;
}

/** Options of `connection.unschedule`. */
export interface UnscheduleOptions extends ScheduleTableOptions {
  /** Removes definitions of this version, and of those below. @default {the version that it has} */
  readonly version?: number | undefined;
}

/**
 * Options of `connection.schedule`: what is published with each tick, and where to; the
 * message id is made of the name and the tick.
 *
 * @typeParam T The type of the payload.
 */
export interface ScheduleOptions<T = unknown> extends
  Omit<
    SendOptions,
    | "dedupe"
    | "messageId"
    | "timestamp"
    | "delay"
    | "replyTo"
    | "retry"
    | "transaction"
  >,
  ScheduleTableOptions {
  /** The queue to publish to; a `Queue` is declared first. */
  readonly queue?: Queue<T> | string | undefined;
  /** The exchange to publish to, instead of a queue; an `Exchange` is declared first. */
  readonly exchange?: Exchange<T> | Exchange | string | undefined;
  /** The key to publish with to the exchange. @default {""} */
  readonly routingKey?: string | undefined;
  /** The payload of each message, as it is now. @default {null} */
  readonly payload?: T | undefined;
  /**
   * The fate of ticks that nobody published, because no process ran: `"skip"` leaves them
   * out, `"one"` publishes the last of them, `"all"` the last thousand. One that is up to
   * five minutes late is not missed, and is published in any case. @default {"one"}
   */
  readonly missed?: Missed | undefined;
  /**
   * Its version, a whole number: of two definitions under one name the higher one holds, and
   * of one version the definition that was given last. @default {0}
   */
  readonly version?: number | undefined;
}

/** A schedule, as its table has it. */
export interface ScheduleInfo {
  /** Its name. */
  readonly name: string;
  /** When it ticks; `undefined` if it was removed. */
  readonly when: When | undefined;
  /** The version of the definition that holds. */
  readonly version: number;
  /** The exchange that is published to; `""` is the default exchange. */
  readonly exchange: string;
  /** The key that is published with; on the default exchange, the queue's name. */
  readonly routingKey: string;
  /** The moment up to which its ticks are published, or were left out. */
  readonly last: Date;
  /** The next tick; `undefined` if there is none, or it was removed. */
  readonly next: Date | undefined;
}

const TABLE = { signal: true, timeout: true, table: "string" } as const;

/** The known options of `connection.schedules`. */
export const SCHEDULES: KnownOptions = optionsOf<ScheduleTableOptions>(
  "connection.schedules",
  TABLE,
);

/** The known options of `connection.unschedule`. */
export const UNSCHEDULE: KnownOptions = optionsOf<UnscheduleOptions>(
  "connection.unschedule",
  { ...TABLE, version: "number" },
);

/** The known options of `connection.schedule`. */
export const SCHEDULE: KnownOptions = optionsOf<ScheduleOptions>(
  "connection.schedule",
  {
    ...TABLE,
    queue: true,
    exchange: true,
    routingKey: "string",
    payload: true,
    missed: "string",
    version: "number",
    mandatory: "boolean",
    serializer: "string",
    compression: "string",
    contentType: "string",
    contentEncoding: "string",
    headers: "object",
    priority: true,
    expiration: true,
    persistent: "boolean",
    correlationId: "string",
    key: true,
    type: "string",
    userId: "string",
    appId: "string",
  },
  {
    cron: "of the second argument: { cron }",
    every: "of the second argument: { every }",
    timezone: "of the second argument: { cron, timezone }",
    tz: "of the second argument: { cron, timezone }",
    dedupe: "done by itself, where the broker can",
    messageId: "made of the name and the tick",
    delay: "the second argument: { cron } or { every }",
    declare: '"queue" or "exchange", as an object',
    ttl: '"expiration"',
  },
);

const WHEN: KnownOptions = optionsOf<{
  cron?: string;
  every?: number;
  timezone?: string;
}>("when a schedule ticks", {
  cron: "string",
  every: "number",
  timezone: "string",
}, {
  tz: '"timezone"',
  timeZone: '"timezone"',
  pattern: '"cron"',
  interval: '"every"',
});

/** The longest name, bytes: with the tick it is a message id. */
const MAX_NAME_BYTES = 200;

/**
 * Refuses a schedule that cannot be one. The expression and its time zone are read elsewhere.
 *
 * @param name Its name.
 * @param when When it ticks.
 * @param options The other options.
 * @throws {OptionError} If something is wrong with them.
 */
export function checkSchedule(
  name: string,
  when: When,
  options: ScheduleOptions,
): void {
  checkScheduleName(name);
  checkKnown(when, WHEN);
  const { cron, every, timezone } = (when ?? {}) as {
    cron?: unknown;
    every?: unknown;
    timezone?: unknown;
  };
  if ((cron === undefined) === (every === undefined)) {
    throw new OptionError(
      `Cannot schedule ${
        quote(name)
      }: say when it ticks by { cron, timezone } or by { every }, milliseconds`,
    );
  }
  if (every !== undefined) {
    if (!isEvery(every)) {
      throw new OptionError(
        `Cannot use ${
          quote(every)
        } as the option "every" of schedule: it must be a whole number of milliseconds from 1000 to ${MAX_EVERY}`,
      );
    }
    if (timezone !== undefined) {
      throw new OptionError(
        'Cannot use "timezone" beside "every": it is for "cron"',
      );
    }
  }
  checkKnown(options, SCHEDULE);
  const { missed = "one", queue, exchange, routingKey } = options;
  if (missed !== "skip" && missed !== "one" && missed !== "all") {
    throw new OptionError(
      `Cannot use ${
        quote(missed)
      } as the option "missed" of schedule: it must be "skip", "one" or "all"`,
    );
  }
  checkVersion(options.version);
  checkTable(options.table);
  if ((queue === undefined) === (exchange === undefined || exchange === "")) {
    throw new OptionError(
      `Cannot schedule ${
        quote(name)
      }: say where it publishes to, by "queue", or by "exchange" and "routingKey"`,
    );
  }
  if (queue !== undefined && routingKey !== undefined) {
    throw new OptionError(
      `Cannot schedule ${
        quote(name)
      } with "queue" and "routingKey": the queue's name is the key`,
    );
  }
  if (!isPlain(options.headers)) {
    throw new OptionError(
      `Cannot schedule ${
        quote(name)
      } with these headers: they must be as JSON has them, numbers, texts, booleans, null, and lists and objects of those`,
    );
  }
}

/**
 * Refuses what is no name of a schedule.
 *
 * @param name The value as it was given.
 * @throws {OptionError} If it is not a text of 1 to 200 bytes.
 */
export function checkScheduleName(name: string): void {
  if (
    typeof name === "string" && name !== "" && name.isWellFormed() &&
    new TextEncoder().encode(name).length <= MAX_NAME_BYTES
  ) return;
  throw new OptionError(
    `Cannot use ${
      quote(name)
    } as the name of a schedule: it must be a text of 1 to ${MAX_NAME_BYTES} bytes`,
  );
}

/**
 * Refuses what is no version.
 *
 * @param version The value as it was given.
 * @throws {OptionError} If it is not a whole number of 0 or more.
 */
export function checkVersion(version: number | undefined): void {
  if (version === undefined) return;
  if (Number.isSafeInteger(version) && version >= 0) return;
  throw new OptionError(
    `Cannot use ${
      quote(version)
    } as the option "version" of a schedule: it must be a whole number of 0 or more`,
  );
}

/**
 * Refuses what is no name of a table.
 *
 * @param table The value as it was given.
 * @throws {OptionError} If it is not a text of 60 letters, digits, "-" and "_" at most.
 */
export function checkTable(table: string | undefined): void {
  if (table === undefined || /^[\w-]{0,60}$/.test(table)) return;
  throw new OptionError(
    `Cannot use ${
      quote(table)
    } as the option "table" of schedules: it must be a text of at most 60 letters, digits, "-" and "_"`,
  );
}

/** So deep may lists and objects lie in each other, as in any headers: one that holds itself has no end. */
const MAX_DEPTH = 100;

function isPlain(value: unknown, depth = 0): boolean {
  switch (typeof value) {
    case "undefined":
    case "string":
    case "boolean":
      return true;
    case "number":
      return Number.isFinite(value);
    case "object": {
      if (value === null) return true;
      const kind: unknown = Object.getPrototypeOf(value);
      if (!Array.isArray(value) && kind !== Object.prototype && kind !== null) {
        return false;
      }
      return depth < MAX_DEPTH &&
        Object.values(value).every((each) => isPlain(each, depth + 1));
    }
    default:
      return false;
  }
}
