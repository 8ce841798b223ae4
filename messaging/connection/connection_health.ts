import type { ConsumerHealth } from "../consume/consumer_health.ts";
import type { RequestHealth } from "./reply_counts.ts";
import type { ScheduleHealth } from "./schedule_health.ts";
import type { ConnectionState } from "./connection_state.ts";
import { why } from "./loop_watch.ts";

/** How a consumer of a connection is. */
export interface ConsumerReport extends ConsumerHealth {
  /** The names of its queues. */
  readonly queues: readonly string[];
}

/** How a connection is, with all that uses it. */
export interface ConnectionHealth {
  /**
   * Whether nothing is wrong: it is open, or was not needed yet, and all its consumers are
   * healthy, but those that were cancelled.
   */
  readonly healthy: boolean;
  /**
   * Whether the event loop of the process runs: while somebody consumes it was not blocked
   * for longer than a heartbeat (10 s where there is none) until less than 2 s ago. A broker
   * that is away does not change it: to restart the process would not help.
   */
  readonly live: boolean;
  /**
   * Whether it does its work now: it is `live`, connected and not being closed, the broker
   * takes messages, and all its consumers are ready, but those that were cancelled. It is
   * `false` before the first connection: `connect()` makes one.
   */
  readonly ready: boolean;
  /** Why it is not ready, or not live, in words; `undefined` while it is both. */
  readonly reason: string | undefined;
  /**
   * When the broker was last known to answer: it let the connection in, or one of the
   * consumers below heard of it. It is kept over lost connections; `undefined` before the
   * first one. Publishes are not counted.
   */
  readonly lastSuccess: Date | undefined;
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
  /** Whether there is a connection now: the state is told a moment later. */
  readonly isConnected: boolean;
  /** Whether it is closed, or being closed. */
  readonly isClosing: boolean;
  /** Why there is no connection, as far as it is known. */
  readonly problem: Error | undefined;
  /** Why the broker takes no messages, in its words. */
  readonly blocked: string | undefined;
  /** How long the event loop was blocked until a moment ago, ms. */
  readonly loopBlocked: number | undefined;
  /** When it connected last, by the calendar, ms. */
  readonly connectedAt: number | undefined;
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
  const { state, isConnected, problem, loopBlocked, connectedAt } = signs;
  const { consumers, inFlight, requests, schedules } = signs;
  const holds: string[] = [];
  if (state.type === "open") holds.push(`the connection to "${state.url}"`);
  if (state.type === "connecting") {
    holds.push(`an attempt to connect to "${state.url}"`);
  }
  if (state.type === "waiting") {
    holds.push(`the next attempt to connect: ${state.error.message}`);
  }
  for (const { queues, ended, inFlight: unsettled } of consumers) {
    if (ended !== undefined) continue;
    holds.push(
      `a consumer of ${named(queues)}, with ${messages(unsettled)} unsettled`,
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
  // One that was cancelled is nobody's any more; one that was ended by an error is missed.
  const wanted = consumers.filter(({ ended }) => ended !== "cancelled");
  const isUnused = state.type === "idle" && problem === undefined;
  const reason = obstacle(signs, wanted);
  return {
    healthy: (isConnected || isUnused) &&
      wanted.every(({ healthy }) => healthy),
    live: loopBlocked === undefined,
    ready: reason === undefined,
    reason,
    lastSuccess: latest(connectedAt, consumers),
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

/** Why it does not do its work now. */
function obstacle(
  { state, isConnected, isClosing, problem, blocked, loopBlocked }:
    ConnectionSigns,
  wanted: readonly ConsumerReport[],
): string | undefined {
  if (loopBlocked !== undefined) return why(loopBlocked);
  if (state.type === "closed") return "it is closed";
  if (isClosing) return "it is being closed";
  if (!isConnected) return notConnected(state, problem);
  if (blocked !== undefined) return `the broker takes no messages: ${blocked}`;
  const held = wanted.find(({ ready }) => !ready);
  return held && `the consumer of ${named(held.queues)}: ${held.reason}`;
}

function notConnected(
  state: ConnectionState,
  problem: Error | undefined,
): string {
  const because = problem === undefined ? "" : `: ${problem.message}`;
  switch (state.type) {
    case "connecting":
      return `it is connecting to "${state.url}"${because}`;
    case "waiting":
      return `it is not connected, and waits ${
        Math.round(state.delay)
      } ms before it tries again: ${state.error.message}`;
    case "idle":
      return problem === undefined
        ? "it is not connected: nothing needs it now"
        : `it is not connected, and tries with the next call${because}`;
    default:
      return `its connection was lost${because}`;
  }
}

function latest(
  connectedAt: number | undefined,
  consumers: readonly ConsumerReport[],
): Date | undefined {
  let at = connectedAt;
  for (const { lastSuccess } of consumers) {
    if (lastSuccess !== undefined) at = Math.max(at ?? 0, +lastSuccess);
  }
  return at === undefined ? undefined : new Date(at);
}

function named(queues: readonly string[]): string {
  return queues.map((queue) => `"${queue}"`).join(", ");
}
