import { MessagingError, SettlementError } from "../../model/errors.ts";
import { isUnwritable } from "../../model/unwritable.ts";
import { PUT, type PutResult, type Reservation } from "./store.ts";

/** The verbs of the store by which a message leaves its place. */
export type LeavingVerb =
  /** Another copy in its queue takes its place. */
  | "replace"
  | "dead-letter"
  | "remove"
  | "release"
  | "drop"
  | "quarantine";

/**
 * Messages whose settlement failed, or a step after it, and may have been done all the same,
 * with the verb: what is no longer there when the same is tried again has gone by it.
 */
const doubted = new WeakMap<Reservation, LeavingVerb>();

/** Whether a settlement of a message failed, and may have been done. */
export function isDoubted(reservation: Reservation): boolean {
  return doubted.has(reservation);
}

/** Whether a message that is no longer ours may have gone by an earlier call of the same verb. */
export function hasGoneBy(
  reservation: Reservation,
  verb: LeavingVerb,
): boolean {
  return doubted.get(reservation) === verb;
}

/** Notes what became of messages whose settlement by a verb failed. */
export function doubt(
  reservations: readonly Reservation[],
  verb: LeavingVerb,
  error: unknown,
): void {
  // Of several one may have failed, and others not; and an answer may have been lost.
  const isUndone = reservations.length === 1 && (isUnwritable(error) ||
    error instanceof MessagingError && error.outcome === "not-sent");
  if (isUndone) return;
  for (const each of reservations) doubted.set(each, verb);
}

/**
 * Settles one message by a verb that tells which were no longer ours.
 *
 * @throws {SettlementError} If it was lost, and not by an earlier call of the same verb.
 */
export async function settleOne(
  reservation: Reservation,
  verb: LeavingVerb,
  send: (
    reservations: readonly Reservation[],
  ) => Promise<readonly Reservation[]>,
): Promise<void> {
  let lost: readonly Reservation[];
  try {
    lost = await send([reservation]);
  } catch (error) {
    doubt([reservation], verb, error);
    throw error;
  }
  if (lost.length > 0 && !hasGoneBy(reservation, verb)) {
    throw leaseLost(reservation);
  }
}

/** Puts something instead of a message; what an earlier call has put is put. */
export async function putInstead(
  instead: Reservation,
  verb: LeavingVerb,
  send: () => Promise<PutResult>,
): Promise<PutResult> {
  let result: PutResult;
  try {
    result = await send();
  } catch (error) {
    doubt([instead], verb, error);
    throw error;
  }
  if (result.type === "put") doubted.set(instead, verb);
  return result.type === "lost" && hasGoneBy(instead, verb) ? PUT : result;
}

/**
 * Makes the error for a settlement that came too late.
 *
 * @param reservation The reservation that should have been settled.
 * @returns The error.
 */
export function leaseLost(reservation: Reservation): SettlementError {
  return new SettlementError(
    `Cannot settle a message of queue "${reservation.queue}": its lease was lost, someone else may have it`,
    { code: "lease-lost" },
  );
}

/**
 * Says whether a settlement failed for the message was no longer ours.
 *
 * @param error The error that it rejected with.
 * @returns Whether somebody else has it.
 */
export function isLeaseLost(error: unknown): error is SettlementError {
  return error instanceof SettlementError && error.code === "lease-lost";
}
