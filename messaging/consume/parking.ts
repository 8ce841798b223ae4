import type { ConnectionEvent } from "../connection/connection_state.ts";
import { failureHeaders } from "./failure_headers.ts";
import { attemptHeader } from "./handler_retry.ts";
import type { ReceivedMessage } from "./message.ts";

/** The services that parking a message uses. */
export interface ParkingHost {
  /** The time by the calendar, ms since 1970. */
  wall(): number;
  /** Secrets that no report may show, as the connection's password. */
  secrets(): readonly string[];
  event(event: ConnectionEvent): void;
}

/**
 * Parks a message that failed for good, and tells of it.
 *
 * @param message The message.
 * @param error Why.
 * @param attempts How often its handler was called for it.
 * @param host The services that it uses.
 */
export async function park<T>(
  message: ReceivedMessage<T>,
  error: Error,
  attempts: number,
  host: ParkingHost,
): Promise<void> {
  const why = failureHeaders(error, host.wall(), host.secrets());
  // Of handlers that ended their process only the deliveries tell.
  const headers = attempts > message.attempt
    ? { ...why, ...attemptHeader(attempts) }
    : why;
  const parked = await message.park(headers, error);
  const { properties: { messageId }, deliveryInfo: { queue } } = message;
  switch (parked.type) {
    case "parked": {
      const { to } = parked;
      host.event({ type: "parked", queue, to, messageId, error, attempts });
      break;
    }
    case "rejected": {
      const [reason, to] = ["rejected", undefined];
      host.event({ type: "dead-lettered", queue, messageId, reason, to });
      break;
    }
    case "quarantined": // the transport has told
  }
}
