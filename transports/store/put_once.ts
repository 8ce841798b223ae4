import type { Clock } from "../../async/clock.ts";
import type { Limits } from "../../async/limits.ts";
import type { CallOptions } from "../../model/call_options.ts";
import { MessagingError, TimeoutError } from "../../model/errors.ts";
import {
  DUPLICATE,
  type Mark,
  PUT,
  type PutResult,
  type StoreItem,
} from "./store.ts";

/** The handles that the copies of a message get, by queue. */
export type Handles = readonly (readonly [queue: string, handle: unknown])[];

/** A mark as a database keeps it. */
export interface KeptMark {
  readonly token: string;
  /** Until when it stays, by the database's time. */
  readonly until: number;
  /** Until when others wait for the one who left it to put the message; `undefined` when that is done. */
  readonly pending: number | undefined;
  /** While it is pending: what the copies are put as. */
  readonly handles: Handles;
}

/** A mark that was found, or written. */
export interface FoundMark extends KeptMark {
  /** Another text after each write, where the database tells that. */
  readonly revision: string;
}

/**
 * Reads a mark from the fields that a database keeps it in, under the names of
 * {@linkcode KeptMark}. A time is a number, or a date.
 *
 * @param fields The fields.
 * @param revision Another text after each write.
 * @returns The mark; without handles where they have another form.
 */
export function readMark(
  { token, until, pending, handles }: Readonly<Record<string, unknown>>,
  revision: string,
): FoundMark {
  return {
    token: String(token),
    until: timeIn(until) ?? 0,
    pending: timeIn(pending),
    handles: Array.isArray(handles)
      ? handles.map(([queue, handle]) => [String(queue), handle])
      : [],
    revision,
  };
}

function timeIn(value: unknown): number | undefined {
  if (value instanceof Date) return value.getTime();
  return typeof value === "number" ? value : undefined;
}

/** The marks of a database that cannot leave one in the step that puts a message. */
export interface MarkTable {
  readonly limits: Limits;
  readonly clock: Clock;
  /** The database's time, ms. */
  now(): number;
  /** Makes the handle that a copy is to be put as. */
  handleFor(item: StoreItem): unknown;
  /** Reads a mark; `undefined`: there is none. */
  read(key: string, options?: CallOptions): Promise<FoundMark | undefined>;
  /** Writes a mark, if it is still as it was; `undefined`: it is not. */
  write(
    key: string,
    mark: KeptMark,
    before: FoundMark | undefined,
    options?: CallOptions,
  ): Promise<FoundMark | undefined>;
  /** Removes a mark, if it is still as it was. */
  remove(key: string, before: FoundMark, options?: CallOptions): Promise<void>;
}

/** How long others wait for the one who is putting a message, ms. */
const PENDING = 10_000;

/** How soon they look again, at first and at most, ms. */
const [FIRST_WAIT, LONGEST_WAIT] = [10, 500];

/**
 * Puts a message unless another has left its mark: the mark is written as pending, with the
 * handles that the copies will have, then they are put, then it is written as done. One who
 * dies in between, or whose answer is lost, leaves a pending mark: the next puts the same
 * handles, so that what is in a queue already is not put again. It is put twice only if it
 * was handled by then.
 *
 * @param table The marks.
 * @param mark The mark to leave.
 * @param items The copies.
 * @param put Puts the copies under handles.
 * @param options The limits.
 * @returns As of a put.
 * @throws {TimeoutError} If another is still putting it at the deadline.
 */
export async function putOnce(
  table: MarkTable,
  { key, token, window }: Mark,
  items: readonly StoreItem[],
  put: (handles: Handles) => Promise<PutResult>,
  options?: CallOptions,
): Promise<PutResult> {
  for (let wait = FIRST_WAIT;; wait = Math.min(2 * wait, LONGEST_WAIT)) {
    const found = await table.read(key, options);
    const now = table.now();
    const other = found !== undefined && found.until > now ? found : undefined;
    if (other !== undefined) {
      const isOwn = other.token === token;
      if (other.pending === undefined) return isOwn ? PUT : DUPLICATE;
      if (!isOwn && other.pending > now) {
        await rest(table, wait, options);
        continue;
      }
    }
    const known = new Map(other?.handles);
    const handles = items.map((item) =>
      [item.queue, known.get(item.queue) ?? table.handleFor(item)] as const
    );
    const kept = {
      token,
      until: now + window,
      pending: now + PENDING,
      handles,
    };
    const pending = await table.write(key, kept, found, options);
    if (pending === undefined) continue; // another was faster
    let result: PutResult;
    try {
      result = await put(handles);
    } catch (error) {
      if (isSurelyNotPut(error)) {
        await table.remove(key, pending, options).catch(() => {});
      }
      throw error;
    }
    if (result.type !== "put") await table.remove(key, pending, options);
    else {
      const done = { ...kept, pending: undefined, handles: [] };
      await table.write(key, done, pending, options);
    }
    return result;
  }
}

function rest(
  { limits, clock }: MarkTable,
  wait: number,
  options?: CallOptions,
): Promise<void> {
  const { promise: rested, resolve } = Promise.withResolvers<void>();
  const stop = clock.timer(resolve, wait);
  return limits.wait(
    rested,
    options,
    () =>
      new TimeoutError(
        "Cannot publish a message in time: another is publishing the same",
        { outcome: "not-sent" },
      ),
  ).finally(stop);
}

function isSurelyNotPut(error: unknown): boolean {
  return error instanceof MessagingError && error.outcome !== "unknown" &&
    !error.retryable;
}
