import { PublishError } from "../../model/errors.ts";
import type { Publishing } from "../../model/message.ts";
import type { RejectOptions } from "../transport.ts";
import type { DeadLetters } from "./dead_letters.ts";
import type { Ripener } from "./ripener.ts";
import { leaseLost, putInstead, settleOne } from "./doubted.ts";
import type { Reservation, Store } from "./store.ts";

/** The services that {@linkcode replace} uses of its connection. */
export interface ReplacingHost {
  readonly store: Store;
  readonly ripener: Ripener;
  readonly deadLetters: DeadLetters;
}

/**
 * Puts another copy of a message in the same queue in its place: it comes back later, or
 * with other headers.
 *
 * @param host The connection's services.
 * @param reservation The message as it is held.
 * @param message The message itself.
 * @param options The delay, the headers and the limits.
 * @throws {SettlementError} If somebody else has it.
 * @throws {PublishError} If the queue is full, and refuses more.
 */
export async function replace(
  { store, ripener, deadLetters }: ReplacingHost,
  reservation: Reservation,
  message: Publishing,
  { signal, deadline, delay, headers }: RejectOptions,
): Promise<void> {
  const { queue } = reservation;
  if (reservation.keepsPlace) {
    return await settleOne(
      reservation,
      "release",
      (these) =>
        store.messages.release(these, { signal, deadline, delay, headers }),
    );
  }
  const properties = headers === undefined
    ? message.properties
    : { ...message.properties, headers };
  const copy = {
    queue,
    message: {
      ...message,
      properties,
      delay: delay ?? 0,
      republished: true,
    },
    ttl: properties.expiration,
  };
  const limits = { signal, deadline };
  const result = await putInstead(
    reservation,
    "replace",
    () => store.messages.put([copy], { ...limits, instead: reservation }),
  );
  ripener.notePut([{ queue }], delay ?? 0);
  switch (result.type) {
    case "put":
      return await deadLetters.moveAll(
        result.displaced,
        "maxlen",
        { deadline },
      );
    case "lost":
      throw leaseLost(reservation);
    case "full":
    case "duplicate": // neither can be: no mark and no version were given
    case "stale":
      throw new PublishError(
        `Cannot requeue a message of queue "${queue}" with other headers or later: the queue is full, and refuses more`,
        { code: "publish-refused", retryable: true },
      );
  }
}
