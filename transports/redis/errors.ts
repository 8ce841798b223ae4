import {
  AccessRefusedError,
  AuthenticationError,
  ChannelError,
  ConnectionError,
  type MessagingError,
  NotFoundError,
  PreconditionFailedError,
  PublishError,
  TimeoutError,
} from "../../model/errors.ts";
import {
  cannotConnect,
  connectionLost,
  NotNowError,
  otherLayout,
} from "../connection_errors.ts";
import { LAYOUT_VERSION } from "./layout.ts";

/**
 * Error replies of a server that is not a master, or not yet, or no more: connect anew, it
 * may be elsewhere. Redis 6 has other words before it, if a script was told so.
 */
const LOSSES =
  /(?:^|: -)(READONLY|LOADING|MASTERDOWN|UNBLOCKED|CLUSTERDOWN|-?FAILOVER|ERR max number of clients)\b/;

/** A master that too few replicas follow: another may have taken its place. */
const LONELY = /(?:^|: -)NOREPLICAS\b/;

/**
 * Says whether a server's answer means that the connection is of no more use.
 *
 * @param text The answer.
 * @param isAlone Whether whoever dials anew comes to the same server.
 */
export function isLoss(text: string, isAlone: boolean): boolean {
  return LOSSES.test(text) || (!isAlone && LONELY.test(text));
}

/** Replies of a server that takes no writes for now, and is the right one: its disk is full, its replicas are away, or a script of somebody's goes on and on. */
const NOT_NOW = /(?:^|: -)(MISCONF|NOREPLICAS|BUSY)\b/;

/**
 * Translates what a server answered to a call.
 *
 * @param action The action that failed, after `Cannot `.
 */
export function replyError(
  action: string,
  text: string,
  cause?: unknown,
): MessagingError {
  const message = `Cannot ${action}: ${text}`;
  if (
    /^(NOAUTH|WRONGPASS)\b|invalid password|without any password/.test(text)
  ) {
    return new AuthenticationError(
      `Cannot ${action}: the server refused the user or its password (${text})`,
      { cause, outcome: "not-sent" },
    );
  }
  // Of a script 7.0 says it one way, and 7.2 and later another.
  if (
    /^NOPERM\b|user executing the script can't|ACL failure in script/.test(text)
  ) {
    return new AccessRefusedError(message, { cause, outcome: "not-sent" });
  }
  if (/DB index is out of range/.test(text)) {
    return new NotFoundError(
      `Cannot ${action}: the server has no database of this number; it has 16, 0 to 15, unless it is set up otherwise`,
      { cause, outcome: "not-sent" },
    );
  }
  if (/SELECT is not allowed in cluster mode/.test(text)) {
    return new NotFoundError(
      `Cannot ${action}: a cluster has database 0 alone; write /0, and a globalKeyPrefix where programs are to be kept apart`,
      { cause, outcome: "not-sent" },
    );
  }
  if (/(?:^|: -)OOM\b/.test(text)) {
    return new PublishError(
      `Cannot ${action}: the server's memory is full (${text})`,
      { cause, code: "publish-refused", retryable: true, outcome: "not-sent" },
    );
  }
  if (NOT_NOW.test(text)) {
    return new NotNowError(action, text, cause);
  }
  const layout = /DASHI-LAYOUT=(\w+);/.exec(text)?.[1];
  if (layout !== undefined) {
    return otherLayout("its keys", Number(layout), LAYOUT_VERSION);
  }
  if (/WRONGTYPE/.test(text)) {
    return new PreconditionFailedError(
      `Cannot ${action}: a key of it holds something else than messages; remove that key, or use another name`,
      { cause, outcome: "not-sent" },
    );
  }
  return new ChannelError(message, { cause, code: "channel-closed" });
}

/**
 * Answers of a cluster's node that does not have the slot, or not the whole of it, or not now.
 * Nothing was done: the call may be made again.
 */
const PASSING =
  /^(?:MOVED|ASK|TRYAGAIN|CLUSTERDOWN)\b|access a non local key|while the cluster is down/;

/** A node of a cluster cannot do now what another can, or it later. */
export class PassingError extends ConnectionError {
  override readonly name: string = "ConnectionError";
}

/**
 * Reads whether a cluster's node says that a call is to be made again, or elsewhere.
 *
 * @param action The action that failed, after `Cannot `.
 */
export function passingError(
  action: string,
  text: string,
  cause: unknown,
): PassingError | undefined {
  if (!PASSING.test(text)) return undefined;
  return new PassingError(
    `Cannot ${action}: no node of the cluster serves its slot now (${text})`,
    { code: "connection-lost", outcome: "not-sent", cause },
  );
}

/**
 * Makes the error of a TLS handshake that was not answered: a Redis without TLS waits for more.
 *
 * @param action The action that failed, after `Cannot `.
 * @param isNode Whether it is a node of a cluster, whose address another may have told.
 */
export function noHandshake(action: string, isNode: boolean): TimeoutError {
  const told = isNode
    ? ", and nodes that tell ports without TLS need tls-cluster yes"
    : "";
  return new TimeoutError(
    `Cannot ${action} in time: the server has not answered the TLS handshake; write redis:// where it has no TLS${told}`,
    { outcome: "not-sent" },
  );
}

/**
 * Makes the error for a connection that was lost, or could not be had.
 *
 * @param dialling Whether it could not be had.
 */
export function lostError(
  broker: string,
  cause: unknown,
  dialling = false,
): ConnectionError {
  const text = cause instanceof Error ? cause.message : "the server closed it";
  return dialling
    ? cannotConnect(`connect to "${broker}"`, text, { cause })
    : connectionLost(broker, text, { cause });
}

/**
 * Makes the error of a connection whose owner others no longer knew: what it held is
 * somebody else's, its queues and consumers are gone, and it must begin anew.
 */
export function takenForDeadError(): ConnectionError {
  return new ConnectionError(
    "The connection was taken for dead: it had not said in time that it lives, or the database was emptied",
    { code: "connection-lost", outcome: "unknown" },
  );
}

/** Says whether a client's error is what the server answered. */
export function isReplyError(error: unknown): error is Error {
  return error instanceof Error && error.name === "ReplyError";
}
