import {
  AccessRefusedError,
  AuthenticationError,
  ChannelError,
  ConnectionError,
  type MessagingError,
  NotFoundError,
  type Outcome,
  PreconditionFailedError,
  PublishError,
} from "../../model/errors.ts";
import { isUntrusted } from "../connection_errors.ts";

/** A failure as AWS, or the network, reports it. */
export interface Failure {
  /** AWS's code or the system's: `QueueDoesNotExist`, `ECONNREFUSED`. */
  readonly code: string;
  /** For people. */
  readonly text: string;
  /** The status of the answer, if there was one. */
  readonly status: number | undefined;
  /** Whether the request was at fault; else it may be tried again. */
  readonly senderFault: boolean;
  /** Whether it may have been done all the same. */
  readonly isUnknown?: boolean;
  readonly cause?: unknown;
}

/** The token has had its time; another may be had. */
const EXPIRED: ReadonlySet<string> = new Set([
  "ExpiredToken",
  "ExpiredTokenException",
  "TokenRefreshRequired",
]);

const UNKNOWN_KEY: ReadonlySet<string> = new Set([
  "InvalidClientTokenId",
  "UnrecognizedClientException",
  "InvalidAccessKeyId",
  "SignatureDoesNotMatch",
  "InvalidSignatureException",
  "IncompleteSignature",
  "MissingAuthenticationToken",
  "MissingAuthenticationTokenException",
  "InvalidSecurity",
  "NotAuthorized",
  "OptInRequired",
]);

const DENIED: ReadonlySet<string> = new Set([
  "AccessDenied",
  "AccessDeniedException",
  "AuthorizationError",
  "AuthorizationErrorException",
  "KmsAccessDenied",
  "KMSAccessDeniedException",
]);

const MISSING: ReadonlySet<string> = new Set([
  "QueueDoesNotExist",
  "NonExistentQueue",
  "NotFound",
  "NotFoundException",
]);

const TOO_LARGE: ReadonlySet<string> = new Set([
  "BatchRequestTooLong",
  "BatchRequestTooLongException",
]);

/** Asked too often, or for too much at once: later it is granted. */
const BUSY: ReadonlySet<string> = new Set([
  "RequestThrottled",
  "Throttled",
  "ThrottledException",
  "Throttling",
  "ThrottlingException",
  "TooManyRequestsException",
  "RequestLimitExceeded",
  "SlowDown",
  "OverLimit",
  "KmsThrottled",
  "KMSThrottlingException",
  "RequestThrottledException",
  "EC2ThrottledException",
  "BandwidthLimitExceeded",
  "PriorRequestNotComplete",
]);

/** Errors of requests that are granted a minute after the same request was made before. */
const A_MINUTE_LATER: ReadonlyMap<string, string> = new Map([
  ["QueueDeletedRecently", "gives the name free"],
  ["PurgeQueueInProgress", "purges again"],
]);

/** Nothing has left this machine, or nobody was there to take it. */
const NOT_SENT: ReadonlySet<string> = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
]);

/** The SDK's names for what is not in AWS's words. */
const FOREIGN: ReadonlySet<string> = new Set([
  "SyntaxError",
  "Unknown",
  "UnknownError",
]);

/** Deno's names for a permission that was not given. */
const FORBIDDEN: ReadonlySet<string> = new Set([
  "NotCapable",
  "PermissionDenied",
]);

/**
 * Takes from a code what one way of asking puts before it and the other does not:
 * `AWS.SimpleQueueService.QueueDeletedRecently`, `KMS.ThrottlingException`.
 *
 * @param code The code.
 * @returns The code as the sets of this file have it.
 */
export function plainCode(code: string): string {
  return code.replace(/^AWS\.SimpleQueueService\./, "").replace(
    /^KMS\./,
    "KMS",
  );
}

/**
 * Says whether credentials have expired: others may do.
 *
 * @param failure The failure.
 * @returns Whether they have.
 */
export function isExpired(failure: Failure): boolean {
  return EXPIRED.has(failure.code);
}

/**
 * Says whether a request was refused for the time that it was signed at, and a client of
 * the SDK that does not send again has the right time now. The others have sent it again
 * themselves.
 *
 * @param error The client's error.
 * @returns Whether it has.
 */
export function hasCorrectedClock(error: unknown): boolean {
  const { $metadata } = fieldsOf(error);
  return typeof $metadata === "object" && $metadata !== null &&
    Reflect.get($metadata, "clockSkewCorrected") === true &&
    numberIn($metadata, "attempts") === 1;
}

/**
 * Says whether somebody else has answered: AWS always says in its own words what is
 * wrong, and a gateway that does not find it has a status, and perhaps a page.
 *
 * @param failure The failure.
 * @returns Whether it is no answer of AWS's.
 */
export function isForeign({ code, status }: Failure): boolean {
  return status !== undefined && FOREIGN.has(code);
}

/**
 * Says whether what failed may succeed later, as it is.
 *
 * @param failure The failure.
 * @returns Whether it may.
 */
export function mayPass({ senderFault, code }: Failure): boolean {
  return !senderFault || BUSY.has(code);
}

/**
 * Says whether a message was refused for its group, which is one of FIFO queues alone there.
 *
 * @param failure The failure.
 * @returns Whether it was.
 */
export function isGroupRefused({ code, text }: Failure): boolean {
  return code === "InvalidParameterValue" && text.includes("MessageGroupId");
}

/**
 * Says whether AWS forbids an action.
 *
 * @param failure The failure.
 * @returns Whether it does.
 */
export function isDenied(failure: Failure): boolean {
  return DENIED.has(failure.code);
}

/**
 * Translates what went wrong with a request.
 *
 * @param action The action that failed, after `Cannot `.
 * @param failure The failure.
 * @returns The error.
 */
export function requestError(
  action: string,
  failure: Failure,
): MessagingError {
  const { code, text, status, cause } = failure;
  const message = `Cannot ${action}: ${text}`;
  if (isExpired(failure)) {
    // The function for credentials may have newer ones the next time.
    return new AuthenticationError(
      `Cannot ${action}: the credentials have expired`,
      { cause, retryable: true, outcome: "not-sent" },
    );
  }
  if (UNKNOWN_KEY.has(code)) {
    return new AuthenticationError(
      `Cannot ${action}: AWS does not accept the credentials (${code})`,
      { cause, outcome: "not-sent" },
    );
  }
  if (code === "CredentialsProviderError") {
    return new AuthenticationError(
      `Cannot ${action}: there are no credentials; ${text}`,
      { cause, outcome: "not-sent" },
    );
  }
  if (isDenied(failure)) {
    return new AccessRefusedError(message, { cause, outcome: "not-sent" });
  }
  if (MISSING.has(code)) {
    return new NotFoundError(message, { cause, outcome: "not-sent" });
  }
  if (isTooLarge(failure)) {
    return new PublishError(message, { cause, code: "message-too-large" });
  }
  const later = A_MINUTE_LATER.get(code);
  if (later !== undefined) {
    return new PreconditionFailedError(
      `${message}; AWS ${later} a minute later`,
      { cause, retryable: true },
    );
  }
  if (status === undefined) return connectionError(message, code, cause);
  const busy = BUSY.has(code) || status === 429;
  if (
    busy || status >= 500 || !failure.senderFault || isForeign(failure)
  ) {
    const outcome: Outcome = busy ? "not-sent" : "unknown";
    return new ChannelError(message, {
      code: "channel-closed",
      cause,
      outcome,
    });
  }
  return new PreconditionFailedError(message, { cause, outcome: "not-sent" });
}

/**
 * Translates what went wrong with one message of a batch.
 *
 * @param queue The queue's or the topic's name.
 * @param failure The failure as AWS reports it.
 * @returns The error; the message was not taken, but where AWS does not say what became of it.
 */
export function sendError(queue: string, failure: Failure): MessagingError {
  const { text, code, cause } = failure;
  const message = `Cannot publish to "${queue}": ${text}`;
  if (isTooLarge(failure)) {
    return new PublishError(message, { cause, code: "message-too-large" });
  }
  if (isDenied(failure)) return new AccessRefusedError(message, { cause });
  return new PublishError(`${message} (${code})`, {
    cause,
    code: "publish-refused",
    retryable: mayPass(failure),
    ...(failure.isUnknown ? { outcome: "unknown" } : {}),
  });
}

function isTooLarge({ code, text }: Failure): boolean {
  return TOO_LARGE.has(code) ||
    /must be shorter than \d+ bytes|Message ?too ?long/i.test(text);
}

function connectionError(
  message: string,
  code: string,
  cause: unknown,
): ConnectionError {
  return new ConnectionError(message, {
    code: "connection-lost",
    cause,
    // An action that is forbidden now stays forbidden.
    retryable: !FORBIDDEN.has(code) && !isUntrusted(message),
    outcome: NOT_SENT.has(code) || FORBIDDEN.has(code) ? "not-sent" : "unknown",
  });
}

/**
 * Reads what a client threw.
 *
 * @param error The thrown value.
 * @returns The failure as AWS, or the network, reports it.
 */
export function failureOf(error: unknown): Failure {
  const { name, message, code, $fault, $metadata, $response } = fieldsOf(error);
  // An answer may begin well and break off: then it is no answer.
  const brokeOff = typeof code === "string" && /^E[A-Z_]+$/.test(code);
  const status = brokeOff ? undefined : numberIn($metadata, "httpStatusCode") ??
    numberIn($response, "statusCode");
  return {
    code: status === undefined && typeof code === "string"
      ? code
      : typeof name === "string"
      ? plainCode(name)
      : "unknown",
    text: typeof message === "string" && message !== ""
      ? message
      : String(code ?? name ?? error),
    status,
    senderFault: $fault !== "server" && (status ?? 0) < 500,
    cause: error,
  };
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null) return {};
  const { name, message, code, $fault, $metadata, $response }: {
    name?: unknown;
    message?: unknown;
    code?: unknown;
    $fault?: unknown;
    $metadata?: unknown;
    $response?: unknown;
  } = value;
  return { name, message, code, $fault, $metadata, $response };
}

function numberIn(value: unknown, name: string): number | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const found: unknown = Reflect.get(value, name);
  return typeof found === "number" ? found : undefined;
}
