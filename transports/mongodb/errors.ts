import {
  AccessRefusedError,
  AuthenticationError,
  ChannelError,
  ConnectionError,
  type MessagingError,
  TimeoutError,
} from "../../model/errors.ts";
import {
  cannotConnect,
  connectionClosed,
  isUntrusted,
} from "../connection_errors.ts";

/** A failure that the client reads from a driver's or a server's error. */
export interface Failure {
  /** The kind of the failure. */
  readonly kind:
    | "authentication"
    | "certificate"
    | "closed"
    | "lost"
    | "forbidden"
    | "late"
    | "passing"
    | "refused";
  /** The text of the server or the driver. */
  readonly text: string;
  readonly cause: unknown;
}

/**
 * Translates why a connection could not be had.
 *
 * @returns The error; retryable unless the server has refused.
 */
export function dialError(
  broker: string,
  { kind, text, cause }: Failure,
): MessagingError {
  const details = { cause, outcome: "not-sent" } as const;
  const action = `connect to "${broker}"`;
  switch (kind) {
    case "authentication":
      return new AuthenticationError(
        `Cannot ${action}: the server refused the user or its password (${text}); authSource names the database that knows the user`,
        details,
      );
    case "forbidden":
      return new AuthenticationError(
        `Cannot ${action}: the user may not use the database (${text})`,
        details,
      );
    case "certificate":
    case "closed":
    case "lost":
    case "late":
    case "passing":
    case "refused":
      return cannotConnect(action, text, { cause });
  }
}

/**
 * Translates what went wrong with one call.
 *
 * @param action The action that failed, after `Cannot `.
 */
export function callError(
  action: string,
  { kind, text, cause }: Failure,
): MessagingError {
  const message = `Cannot ${action}: ${text}`;
  switch (kind) {
    case "closed":
      return connectionClosed(action, { cause });
    case "certificate":
    case "lost":
      return new ConnectionError(message, {
        code: "connection-lost",
        outcome: "unknown",
        cause,
      });
    case "authentication":
    case "forbidden":
      return new AccessRefusedError(message, { outcome: "not-sent", cause });
    case "late":
      return new TimeoutError(message, { outcome: "unknown", cause });
    case "passing":
      return new ChannelError(message, {
        code: "channel-closed",
        outcome: "unknown",
        cause,
      });
    case "refused":
      return new ChannelError(message, {
        code: "precondition-failed",
        outcome: "unknown",
        cause,
      });
  }
}

/** Carries what {@linkcode failureOf} found from the driver to the caller. */
export class DriverFailure extends Error {
  /** The failure that was found. */
  readonly failure: Failure;

  /** Makes one. */
  constructor(failure: Failure) {
    super(failure.text, { cause: failure.cause });
    this.failure = failure;
  }
}

/** The server is stepping down, or is no primary: MongoDB's error codes. */
const NOT_PRIMARY: ReadonlySet<unknown> = new Set([
  91,
  189,
  10107,
  11600,
  11602,
  13435,
  13436,
]);

/**
 * The server cannot do it now: what the specification of retryable reads and writes
 * lists, which a mongos passes on while a shard fails over; others that say of themselves
 * that they pass; and Cosmos DB's for too many requests.
 */
const PASSING: ReadonlySet<unknown> = new Set([
  6, // HostUnreachable
  7, // HostNotFound
  24, // LockTimeout
  46, // LockBusy
  63, // StaleShardVersion
  70, // ShardNotFound
  89, // NetworkTimeout
  112, // WriteConflict
  133, // FailedToSatisfyReadPreference
  134, // ReadConcernMajorityNotAvailableYet
  150, // StaleEpoch
  202, // NetworkInterfaceExceededTimeLimit
  234, // RetryChangeStream
  246, // SnapshotUnavailable
  251, // NoSuchTransaction
  262, // ExceededTimeLimit
  365, // TemporarilyUnavailable
  384, // ConnectionPoolExpired
  402, // ResourceExhausted
  462, // IngressRequestRateLimitExceeded
  9001, // SocketException
  11601, // Interrupted
  13388, // StaleConfig
  16500, // Cosmos DB: RequestRateTooLarge
]);

/** Error texts of a server to a client that is not logged in, or not any more; Atlas has a code of its own. */
const NOT_LOGGED_IN = /requires authentication|bad auth/i;

/** The labels by which drivers and servers mark transient errors. */
const PASSING_LABELS: readonly string[] = [
  "RetryableWriteError",
  "RetryableError",
  "TransientTransactionError",
  "SystemOverloadedError",
];

function isPassing(error: Error, code: unknown): boolean {
  if (PASSING.has(code)) return true;
  const labels = "errorLabels" in error ? error.errorLabels : undefined;
  return Array.isArray(labels) &&
    PASSING_LABELS.some((label) => labels.includes(label));
}

/** Says what a driver's error means, by its name and code. */
export function failureOf(error: unknown): Failure {
  if (error instanceof DriverFailure) return error.failure;
  const text = error instanceof Error ? error.message : String(error);
  return { kind: kindOf(error, text), text, cause: error };
}

function kindOf(error: unknown, text: string): Failure["kind"] {
  if (!(error instanceof Error)) return "refused";
  if (isUntrusted(text)) {
    return "certificate";
  }
  const code = "code" in error ? error.code : undefined;
  switch (error.name) {
    case "MongoBulkWriteError": {
      // The driver wraps every error that ended a bulk, a lost socket too.
      const below = "errorResponse" in error ? error.errorResponse : undefined;
      if (below instanceof Error && below !== error) return kindOf(below, text);
      // Without a code it is the driver's: what carried the bulk was cut off.
      if (code === undefined) return "lost";
      break;
    }
    case "MongoServerSelectionError": {
      const below = error.cause === undefined
        ? "lost"
        : kindOf(error.cause, text);
      return below === "authentication" ? below : "lost";
    }
    case "MongoNetworkError":
    case "MongoNetworkTimeoutError":
    case "MongoPoolClearedError":
    case "PoolClearedOnNetworkError":
    case "MongoPoolClosedError":
    case "MongoNotConnectedError":
    case "MongoServerClosedError":
    case "MongoStalePrimaryError":
    case "MongoTopologyClosedError":
    case "MongoClientClosedError":
      return "lost";
    case "MongoWaitQueueTimeoutError":
      return "late";
  }
  // The socket's own, where the driver does not wrap it.
  if (/socket has been ended/.test(text)) return "lost";
  if (/^(EPIPE|ECONN|ETIMEDOUT|ERR_STREAM|ERR_SOCKET)/.test(String(code))) {
    return "lost";
  }
  if (code === 18) return "authentication";
  if (code === 13 || code === 8000) {
    return NOT_LOGGED_IN.test(text) ? "authentication" : "forbidden";
  }
  if (code === 50 || code === 64) return "late";
  if (NOT_PRIMARY.has(code)) return "lost";
  return isPassing(error, code) ? "passing" : "refused";
}

/** Says whether a document was not inserted because there is one of its id. */
export function isThereAlready(error: unknown): boolean {
  return /E11000|duplicate key/i.test(String(error));
}
