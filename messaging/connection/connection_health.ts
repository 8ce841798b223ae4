import { type ConsumerHealth, ENDED } from "../consume/consumer_health.ts";
import type { RequestHealth } from "./reply_counts.ts";
import type { ScheduleHealth } from "./schedule_health.ts";
import type { ConnectionState } from "./connection_state.ts";

/** How a consumer of a connection is. */
export interface ConsumerReport extends ConsumerHealth {
  /** The names of its queues. */
  readonly queues: readonly string[];
}

/** How a connection is, with all that uses it. */
export interface ConnectionHealth {
  /** Whether it is open, or was not needed yet, and all its consumers are healthy. */
  readonly healthy: boolean;
  /** The state of the connection. */
  readonly state: ConnectionState;
  /** Its consumers that have not been closed. */
  readonly consumers: readonly ConsumerReport[];
  /** How many published messages are not answered yet. */
  readonly inFlight: number;
  /** Its requests, and the replies to requests that it serves, counted for all of its life. */
  readonly requests: RequestHealth;
  /** Its schedules; ticks and failures counted for all of its life. */
  readonly schedules: ScheduleHealth;
  /**
   * The reasons that keep its process from ending, in words: an open connection, consumers,
   * messages that are not answered. Empty where nothing does; `close()` ends all of it.
   */
  readonly holds: readonly string[];
}

/** The state that {@linkcode connectionHealth} looks at. */
export interface ConnectionSigns {
  readonly state: ConnectionState;
  readonly consumers: readonly ConsumerReport[];
  readonly inFlight: number;
  readonly requests: RequestHealth;
  readonly schedules: ScheduleHealth;
}

/**
 * Says how a connection is.
 *
 * @param signs The state to judge.
 * @returns How it is, and what keeps its process alive.
 */
export function connectionHealth(signs: ConnectionSigns): ConnectionHealth {
  const { state, consumers, inFlight, requests, schedules } = signs;
  const holds: string[] = [];
  if (state.type === "open") holds.push(`the connection to "${state.url}"`);
  if (state.type === "connecting") {
    holds.push(`an attempt to connect to "${state.url}"`);
  }
  if (state.type === "waiting") {
    holds.push(`the next attempt to connect: ${state.error.message}`);
  }
  const atWork = consumers.filter(({ reason }) => reason !== ENDED);
  for (const { queues, inFlight: unsettled } of atWork) {
    holds.push(
      `a consumer of ${queues.map((queue) => `"${queue}"`).join(", ")}, with ${
        messages(unsettled)
      } unsettled`,
    );
  }
  if (requests.waiting > 0) {
    holds.push(
      requests.waiting === 1
        ? "1 request that waits for its answer"
        : `${requests.waiting} requests that wait for their answers`,
    );
  }
  if (schedules.taking > 0) {
    holds.push(
      schedules.taking === 1
        ? "a table of schedules"
        : `${schedules.taking} tables of schedules`,
    );
  }
  if (inFlight > 0) holds.push(`${messages(inFlight)} in flight`);
  return {
    healthy: (state.type === "open" || state.type === "idle") &&
      atWork.every(({ healthy }) => healthy),
    state,
    consumers,
    inFlight,
    requests,
    schedules,
    holds,
  };
}

function messages(count: number): string {
  return count === 1 ? "1 message" : `${count} messages`;
}
