import type { Claim } from "./port.ts";
import { DELAYED } from "./schema.ts";

/** Somebody who holds messages has not been heard of in time. */
export const LATE = 1;

/** The number of who takes is not known, or its time is over: nothing was taken. */
export const UNKNOWN = 2;

/** The time of messages is over. */
export const EXPIRED = 4;

/** The time of delayed messages of the queue has come. */
export const DUE = 8;

/**
 * What is to be done where messages are taken, as a sum: whoever looks sees to it. Its values
 * are those of {@linkcode todoValues}.
 */
export const TODO: string = `(
  CASE WHEN EXISTS (SELECT 1 FROM dashi.holders WHERE until <= ?)
    THEN ${LATE} ELSE 0 END +
  CASE WHEN EXISTS (SELECT 1 FROM dashi.holders WHERE id = ? AND until > ?)
    THEN 0 ELSE ${UNKNOWN} END +
  CASE WHEN EXISTS (SELECT 1 FROM dashi.places WHERE expires_at IS NOT NULL
      AND holder IS NULL AND expires_at <= ?) THEN ${EXPIRED} ELSE 0 END +
  CASE WHEN EXISTS (SELECT 1 FROM dashi.places WHERE state = ${DELAYED}
      AND queue = ? AND rank <= ?) THEN ${DUE} ELSE 0 END)`;

/** The values of {@linkcode TODO}. */
export function todoValues(
  { now, holder, queue }: Pick<Claim, "now" | "holder" | "queue">,
): readonly number[] {
  return [now, holder, now, now, queue, now];
}
