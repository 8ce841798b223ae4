import { fitCause, MAX_MESSAGE } from "./foreign_error.ts";
import { printable } from "./foreign_text.ts";
import type { PayloadIssue } from "./message.ts";
import type { ReplyCodeName } from "./reply_code.ts";

/** The kind of error, for programs: every {@linkcode MessagingError} has one. */
export type ErrorCode =
  | "connection-failed"
  | "connection-lost"
  | "authentication-failed"
  | "timed-out"
  | "channel-closed"
  | "channels-exhausted"
  | "consumer-cancelled"
  | "not-found"
  | "access-refused"
  | "resource-locked"
  | "precondition-failed"
  | "publish-refused"
  | "message-too-large"
  | "message-unroutable"
  | "source-failed"
  | "message-settled"
  | "lease-lost"
  | "encode-failed"
  | "decode-failed"
  | "content-disallowed"
  | "unsupported"
  | "transport-unknown"
  | "dependency-missing"
  | "option-unknown"
  | "option-invalid"
  | "pool-exhausted"
  | "remote-failed"
  | "type-unknown"
  | "not-passed-on"
  | "use-after-close";

/**
 * Whether a call that failed took effect: `"not-sent"`, it did not; `"unknown"`,
 * it may have, for the broker's answer is missing.
 */
export type Outcome = "not-sent" | "unknown";

/** Options of the errors that have one code. */
export interface ErrorDetails {
  /** The error below: a client's, a socket's. Of it words and codes are kept, and nothing that may hold a secret. */
  readonly cause?: unknown;
  /** Whether to try again makes sense. @default {as the class says} */
  readonly retryable?: boolean | undefined;
  /** Whether the call took effect, where it may have. */
  readonly outcome?: Outcome | undefined;
  /** AMQP's reply code by name, where the broker gave one. */
  readonly replyCode?: ReplyCodeName | undefined;
}

/** Options of {@linkcode MessagingError}. */
export interface MessagingErrorOptions extends ErrorDetails {
  /** The kind of error. */
  readonly code: ErrorCode;
}

/**
 * The world failed, not the caller's code: the base of all errors below. A
 * caller's mistakes are `TypeError`, `RangeError` and `SyntaxError`; an abort is
 * the signal's own `reason`.
 *
 * @example What an error says to a program
 * ```ts
 * import { assertEquals, assertRejects } from "@std/assert";
 * import { createConnection, MessagingError } from "@dashi/mq";
 *
 * await using connection = createConnection("memory://errors");
 * const error = await assertRejects(
 *   () => connection.check("no-such-queue"),
 *   MessagingError,
 * );
 * assertEquals([error.code, error.retryable], ["not-found", false]);
 * ```
 */
export class MessagingError extends Error {
  static {
    this.prototype.name = "MessagingError"; // safe under minifiers, and not in keys
  }
  /** The kind of error. */
  readonly code: ErrorCode;
  /** Whether to try again makes sense. */
  readonly retryable: boolean;
  /** Whether the call took effect, where it may have; else `undefined`. */
  readonly outcome: Outcome | undefined;
  /** AMQP's reply code by name, where the broker gave one. */
  readonly replyCode: ReplyCodeName | undefined;

  /**
   * Makes an error from a text for people and a code for programs. Even with foreign words
   * in it, the text is one line without control characters.
   */
  constructor(message: string, options: MessagingErrorOptions) {
    super(
      printable(message, MAX_MESSAGE),
      "cause" in options
        ? { cause: fitCause(options.cause, isMessagingError) }
        : undefined,
    );
    this.code = options.code;
    this.retryable = options.retryable ?? false;
    this.outcome = options.outcome;
    this.replyCode = options.replyCode;
  }
}

function isMessagingError(error: Error): boolean {
  return error instanceof MessagingError;
}

/**
 * The connection is gone, or was never had: try again.
 *
 * @example Nobody listens
 * ```ts
 * import { assertRejects } from "@std/assert";
 * import { ConnectionError, createConnection } from "@dashi/mq";
 *
 * const connection = createConnection("beanstalk://127.0.0.1:1", {
 *   reconnect: false,
 * });
 * await assertRejects(() => connection.connect(), ConnectionError);
 * await connection.close();
 * ```
 */
export class ConnectionError extends MessagingError {
  static {
    this.prototype.name = "ConnectionError";
  }
  /** Makes one; retryable unless the options say otherwise. */
  constructor(
    message: string,
    options: ErrorDetails & {
      readonly code:
        | "connection-failed"
        | "connection-lost"
        | "authentication-failed";
    },
  ) {
    super(message, { retryable: true, ...options });
  }
}

/**
 * The broker does not know these credentials, or refuses them this virtual host.
 *
 * @example It is a lost connection, which another password may cure
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { AuthenticationError, ConnectionError } from "@dashi/mq";
 *
 * const error = new AuthenticationError("Cannot connect: wrong password");
 * assertEquals(error instanceof ConnectionError, true);
 * assertEquals(error.code, "authentication-failed");
 * ```
 */
export class AuthenticationError extends ConnectionError {
  static {
    this.prototype.name = "AuthenticationError";
  }
  /** Makes one; not retryable. */
  constructor(message: string, options: ErrorDetails = {}) {
    super(message, {
      retryable: false,
      ...options,
      code: "authentication-failed",
    });
  }
}

/**
 * A deadline was missed. `outcome` says whether the call may have taken effect.
 *
 * @example No message comes in time
 * ```ts
 * import { assertRejects } from "@std/assert";
 * import { createConnection, TimeoutError } from "@dashi/mq";
 *
 * await using connection = createConnection("memory://errors");
 * const queue = connection.simpleQueue("empty");
 * await assertRejects(() => queue.get({ timeout: 10 }), TimeoutError);
 * await queue.close();
 * ```
 */
export class TimeoutError extends MessagingError {
  static {
    this.prototype.name = "TimeoutError";
  }
  /** Makes one; retryable unless the options say otherwise. */
  constructor(message: string, options: ErrorDetails = {}) {
    super(message, { retryable: true, ...options, code: "timed-out" });
  }
}

/**
 * One channel or one call failed; the others live.
 *
 * @example Another channel may do
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { ChannelError } from "@dashi/mq";
 *
 * const error = new ChannelError("Cannot go on", { code: "channel-closed" });
 * assertEquals(error.retryable, true);
 * ```
 */
export class ChannelError extends MessagingError {
  static {
    this.prototype.name = "ChannelError";
  }
  /** Makes one; retryable (on a new channel) where the code is `channel-closed`. */
  constructor(
    message: string,
    options: ErrorDetails & {
      readonly code:
        | "channel-closed"
        | "channels-exhausted"
        | "consumer-cancelled"
        | "not-found"
        | "access-refused"
        | "resource-locked"
        | "precondition-failed";
    },
  ) {
    super(message, {
      retryable: options.code === "channel-closed",
      ...options,
    });
  }
}

/**
 * The exchange, queue or virtual host is not there: AMQP's 404.
 *
 * @example A queue that is not there
 * ```ts
 * import { assertRejects } from "@std/assert";
 * import { createConnection, NotFoundError } from "@dashi/mq";
 *
 * await using connection = createConnection("memory://errors");
 * await assertRejects(() => connection.check("no-such-queue"), NotFoundError);
 * ```
 */
export class NotFoundError extends ChannelError {
  static {
    this.prototype.name = "NotFoundError";
  }
  /** Makes one. */
  constructor(message: string, options: ErrorDetails = {}) {
    super(message, { replyCode: "not-found", ...options, code: "not-found" });
  }
}

/**
 * The broker forbids it: AMQP's 403.
 *
 * @example A name that is the broker's own
 * ```ts
 * import { assertRejects } from "@std/assert";
 * import { AccessRefusedError, createConnection, Queue } from "@dashi/mq";
 *
 * await using connection = createConnection("memory://errors");
 * await assertRejects(
 *   () => connection.declare(new Queue("amq.mine")),
 *   AccessRefusedError,
 * );
 * ```
 */
export class AccessRefusedError extends ChannelError {
  static {
    this.prototype.name = "AccessRefusedError";
  }
  /** Makes one. */
  constructor(message: string, options: ErrorDetails = {}) {
    super(message, {
      replyCode: "access-refused",
      ...options,
      code: "access-refused",
    });
  }
}

/**
 * Another connection has it exclusively: AMQP's 405.
 *
 * @example Another connection's exclusive queue
 * ```ts
 * import { assertRejects } from "@std/assert";
 * import { createConnection, Queue, ResourceLockedError } from "@dashi/mq";
 *
 * await using owner = createConnection("memory://errors");
 * await owner.declare(new Queue("mine", { exclusive: true }));
 * await using other = createConnection("memory://errors");
 * await assertRejects(() => other.check("mine"), ResourceLockedError);
 * ```
 */
export class ResourceLockedError extends ChannelError {
  static {
    this.prototype.name = "ResourceLockedError";
  }
  /** Makes one. */
  constructor(message: string, options: ErrorDetails = {}) {
    super(message, {
      replyCode: "resource-locked",
      ...options,
      code: "resource-locked",
    });
  }
}

/**
 * It is there, but otherwise than was asked for: AMQP's 406.
 *
 * @example A queue that is there with other arguments
 * ```ts
 * import { assertRejects } from "@std/assert";
 * import {
 *   createConnection,
 *   PreconditionFailedError,
 *   Queue,
 * } from "@dashi/mq";
 *
 * await using connection = createConnection("memory://errors");
 * await connection.declare(new Queue("short", { maxLength: 10 }));
 * await assertRejects(
 *   () => connection.declare(new Queue("short", { maxLength: 20 })),
 *   PreconditionFailedError,
 * );
 * ```
 */
export class PreconditionFailedError extends ChannelError {
  static {
    this.prototype.name = "PreconditionFailedError";
  }
  /** Makes one. */
  constructor(message: string, options: ErrorDetails = {}) {
    super(message, {
      replyCode: "precondition-failed",
      ...options,
      code: "precondition-failed",
    });
  }
}

/**
 * The broker, or the library on its behalf, did not take a message.
 *
 * @example A queue that is full and refuses more
 * ```ts
 * import { assertRejects } from "@std/assert";
 * import { createConnection, PublishError, Queue } from "@dashi/mq";
 *
 * await using connection = createConnection("memory://errors");
 * const full = new Queue("full", {
 *   maxLength: 1,
 *   arguments: { "x-overflow": "reject-publish" },
 * });
 * await connection.send(full, "first");
 * await assertRejects(() => connection.send(full, "second"), PublishError);
 * ```
 */
export class PublishError extends MessagingError {
  static {
    this.prototype.name = "PublishError";
  }
  /** Makes one; the message was not taken. */
  constructor(
    message: string,
    options: ErrorDetails & {
      readonly code:
        | "publish-refused"
        | "message-too-large"
        | "message-unroutable";
    },
  ) {
    super(message, { outcome: "not-sent", ...options });
  }
}

/**
 * A mandatory message that no queue took.
 *
 * @example A queue whose name is misspelt
 * ```ts
 * import { assertRejects } from "@std/assert";
 * import { createConnection, UnroutableError } from "@dashi/mq";
 *
 * await using connection = createConnection("memory://errors");
 * await assertRejects(() => connection.send("ordres", 1), UnroutableError);
 * ```
 */
export class UnroutableError extends PublishError {
  static {
    this.prototype.name = "UnroutableError";
  }
  /** Makes one. */
  constructor(message: string, options: ErrorDetails = {}) {
    super(message, { ...options, code: "message-unroutable" });
  }
}

/**
 * A delivery cannot be settled: it was settled before, or is no longer ours.
 *
 * @example A message is settled once
 * ```ts
 * import { assertRejects } from "@std/assert";
 * import { createConnection, Queue, SettlementError } from "@dashi/mq";
 *
 * await using connection = createConnection("memory://errors");
 * await connection.send(new Queue("settled"), 1);
 * const message = await connection.queue("settled").get();
 * await message?.ack();
 * await assertRejects(async () => await message?.ack(), SettlementError);
 * ```
 */
export class SettlementError extends MessagingError {
  static {
    this.prototype.name = "SettlementError";
  }
  /** Makes one; nothing reached the broker. */
  constructor(
    message: string,
    options: ErrorDetails & { readonly code: "message-settled" | "lease-lost" },
  ) {
    super(message, options);
  }
}

/**
 * A body could not be made, or could not be read.
 *
 * @example Of writing, and of reading
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { DecodeError, EncodeError, SerializationError } from "@dashi/mq";
 *
 * assertEquals(new EncodeError("x") instanceof SerializationError, true);
 * assertEquals(new DecodeError("x") instanceof SerializationError, true);
 * ```
 */
export class SerializationError extends MessagingError {
  static {
    this.prototype.name = "SerializationError";
  }
  /** Makes one. */
  constructor(
    message: string,
    options: ErrorDetails & {
      readonly code: "encode-failed" | "decode-failed" | "content-disallowed";
    },
  ) {
    super(message, options);
  }
}

/**
 * A payload cannot be written in the content type that was asked for.
 *
 * @example A payload that has no form in JSON
 * ```ts
 * import { assertRejects } from "@std/assert";
 * import { createConnection, EncodeError, Queue } from "@dashi/mq";
 *
 * await using connection = createConnection("memory://errors");
 * const payload: object = { user: { map: new Map() } };
 * await assertRejects(
 *   () => connection.send(new Queue("encoded"), payload),
 *   EncodeError,
 *   "payload.user.map",
 * );
 * ```
 */
export class EncodeError extends SerializationError {
  static {
    this.prototype.name = "EncodeError";
  }
  /** Makes one; nothing was sent. */
  constructor(message: string, options: ErrorDetails = {}) {
    super(message, {
      outcome: "not-sent",
      ...options,
      code: "encode-failed",
    });
  }
}

/**
 * A body is not what its content type says, or its payload not what its consumer's schema takes.
 *
 * @example A body that is no JSON
 * ```ts
 * import { assertThrows } from "@std/assert";
 * import { createCodecRegistry, DecodeError } from "@dashi/mq";
 *
 * const body = new TextEncoder().encode("{");
 * const codecs = createCodecRegistry();
 * assertThrows(
 *   () => codecs.decode(body, { contentType: "application/json" }),
 *   DecodeError,
 * );
 * ```
 */
export class DecodeError extends SerializationError {
  static {
    this.prototype.name = "DecodeError";
  }
  /** The schema's findings; empty if it reports none, or the body cannot be read. */
  readonly issues: readonly PayloadIssue[];

  /** Makes one. */
  constructor(
    message: string,
    options: ErrorDetails & {
      readonly issues?: readonly PayloadIssue[] | undefined;
    } = {},
  ) {
    super(message, { ...options, code: "decode-failed" });
    this.issues = options.issues ?? [];
  }
}

/**
 * A body's content type is not among those that the consumer accepts.
 *
 * @example A content type that is not accepted
 * ```ts
 * import { assertThrows } from "@std/assert";
 * import { ContentDisallowedError, createCodecRegistry } from "@dashi/mq";
 *
 * const codecs = createCodecRegistry();
 * assertThrows(
 *   () =>
 *     codecs.decode(new Uint8Array(), {
 *       contentType: "application/x-yaml",
 *       accept: codecs.acceptSet(["json"]),
 *     }),
 *   ContentDisallowedError,
 * );
 * ```
 */
export class ContentDisallowedError extends SerializationError {
  static {
    this.prototype.name = "ContentDisallowedError";
  }
  /** Makes one. */
  constructor(message: string, options: ErrorDetails = {}) {
    super(message, { ...options, code: "content-disallowed" });
  }
}

/**
 * The broker cannot do this: it lacks the capability.
 *
 * @example An exchange type that is a plugin's
 * ```ts
 * import { assertRejects } from "@std/assert";
 * import { createConnection, Exchange, UnsupportedError } from "@dashi/mq";
 *
 * await using connection = createConnection("memory://errors");
 * await assertRejects(
 *   () => connection.declare(new Exchange("shards", { type: "x-random" })),
 *   UnsupportedError,
 * );
 * ```
 */
export class UnsupportedError extends MessagingError {
  static {
    this.prototype.name = "UnsupportedError";
  }
  /** Makes one. */
  constructor(message: string, options: ErrorDetails = {}) {
    super(message, { outcome: "not-sent", ...options, code: "unsupported" });
  }
}

/**
 * No transport has this name, or its client cannot be loaded.
 *
 * @example A scheme that nobody knows
 * ```ts
 * import { assertThrows } from "@std/assert";
 * import { createConnection, TransportError } from "@dashi/mq";
 *
 * assertThrows(
 *   () => createConnection("rediz://localhost"),
 *   TransportError,
 *   'did you mean "redis"?',
 * );
 * ```
 */
export class TransportError extends MessagingError {
  static {
    this.prototype.name = "TransportError";
  }
  /** Makes one. */
  constructor(
    message: string,
    options: ErrorDetails & {
      readonly code: "transport-unknown" | "dependency-missing";
    },
  ) {
    super(message, options);
  }
}

/**
 * An option of a URL or of a transport is unknown, or has a bad value.
 *
 * @example A parameter that nobody knows
 * ```ts
 * import { assertRejects } from "@std/assert";
 * import { createConnection, OptionError } from "@dashi/mq";
 *
 * const connection = createConnection("beanstalk://localhost?trr=5");
 * await assertRejects(
 *   () => connection.connect(),
 *   OptionError,
 *   'did you mean "ttr"?',
 * );
 * await connection.close();
 * ```
 */
export class OptionError extends MessagingError {
  static {
    this.prototype.name = "OptionError";
  }
  /** Makes one; `option-invalid` unless the options say otherwise. */
  constructor(
    message: string,
    options: ErrorDetails & {
      readonly code?: "option-unknown" | "option-invalid";
    } = {},
  ) {
    super(message, { code: "option-invalid", ...options });
  }
}

/**
 * A pool has no connection to give.
 *
 * @example All connections are lent
 * ```ts
 * import { assertRejects } from "@std/assert";
 * import { createConnection, PoolError } from "@dashi/mq";
 *
 * await using connection = createConnection("memory://errors");
 * const pool = connection.pool({ limit: 1 });
 * const lent = await pool.acquire();
 * await assertRejects(() => pool.acquire({ timeout: 10 }), PoolError);
 * await lent.release();
 * await pool.close();
 * ```
 */
export class PoolError extends MessagingError {
  static {
    this.prototype.name = "PoolError";
  }
  /** Makes one; retryable. */
  constructor(message: string, options: ErrorDetails = {}) {
    super(message, { retryable: true, ...options, code: "pool-exhausted" });
  }
}

/** Options of {@linkcode RemoteError}. */
export interface RemoteErrorOptions {
  /** The name of what was thrown. @default {"Error"} */
  readonly remoteName?: string | undefined;
  /** Its `code`, where it has one. */
  readonly remoteCode?: string | undefined;
}

/**
 * The handler of a request has failed: the message is that of the error that it threw, with
 * its name and code, and without its stack.
 *
 * @example A handler that throws
 * ```ts
 * import { assertEquals, assertRejects } from "@std/assert";
 * import { createConnection, Queue, RemoteError } from "@dashi/mq";
 *
 * await using connection = createConnection("memory://errors");
 * const sums = new Queue<number[]>("sums");
 * await connection.declare(sums);
 * const consumer = connection.consumer(sums);
 * const serving = consumer.serve(() => {
 *   throw new RangeError("nothing to add");
 * });
 * const error = await assertRejects(
 *   () => connection.request([], { routingKey: "sums" }),
 *   RemoteError,
 *   "nothing to add",
 * );
 * assertEquals(error.remoteName, "RangeError");
 * await consumer.cancel();
 * await serving;
 * ```
 */
export class RemoteError extends MessagingError {
  static {
    this.prototype.name = "RemoteError";
  }
  /** The name of what was thrown there, as `"RangeError"`. */
  readonly remoteName: string;
  /** Its `code`, where it has one: a text or a number, as a text. */
  readonly remoteCode: string | undefined;

  /** Makes one. */
  constructor(message: string, options: RemoteErrorOptions = {}) {
    super(message, { code: "remote-failed" });
    this.remoteName = printable(options.remoteName ?? "Error", MAX_MESSAGE);
    this.remoteCode = options.remoteCode === undefined
      ? undefined
      : printable(options.remoteCode, MAX_MESSAGE);
  }
}

/** A payload that was not published. @typeParam T The type of the payload. */
export interface PublishFailure<T = unknown> {
  /** How many came before it. */
  readonly index: number;
  /** The payload. */
  readonly payload: T;
  /** Why; its `outcome` says whether the broker may have it all the same. */
  readonly error: Error;
}

/** Options of {@linkcode PublishAllError}. */
export interface PublishAllErrorOptions {
  /** How many the broker has. */
  readonly published: number;
  /** How many of those were duplicates. */
  readonly duplicates: number;
  /** The others that were begun with. */
  readonly failed: readonly PublishFailure[];
}

/**
 * The source of many payloads has thrown, which is the `cause`: it tells what became of each before.
 *
 * @example A source that throws
 * ```ts
 * import { assertEquals, assertRejects } from "@std/assert";
 * import { createConnection, PublishAllError, Queue } from "@dashi/mq";
 *
 * await using connection = createConnection("memory://errors");
 * const producer = connection.producer<number>({ queue: new Queue("rows") });
 * function* rows() {
 *   yield 1;
 *   throw new Error("the file ends here");
 * }
 * const error = await assertRejects(
 *   () => producer.publishAll(rows()),
 *   PublishAllError,
 * );
 * assertEquals(error.published, 1);
 * ```
 */
export class PublishAllError extends MessagingError {
  static {
    this.prototype.name = "PublishAllError";
  }
  /** How many the broker has. */
  readonly published: number;
  /** How many of those were published with `dedupe`, and are put nowhere, for another has published the same. */
  readonly duplicates: number;
  /** The others that were begun with, in order. */
  readonly failed: readonly PublishFailure[];

  /** Makes one. */
  constructor(message: string, options: PublishAllErrorOptions) {
    super(message, { code: "source-failed" });
    this.published = options.published;
    this.duplicates = options.duplicates;
    this.failed = options.failed;
  }
}

/**
 * It was closed before this call, or while it waited.
 *
 * @example After close()
 * ```ts
 * import { assertRejects } from "@std/assert";
 * import { ClosedError, createConnection } from "@dashi/mq";
 *
 * const connection = createConnection("memory://errors");
 * await connection.close();
 * await assertRejects(() => connection.connect(), ClosedError);
 * ```
 */
export class ClosedError extends MessagingError {
  static {
    this.prototype.name = "ClosedError";
  }
  /** Makes one. */
  constructor(message: string, options: ErrorDetails = {}) {
    super(message, { ...options, code: "use-after-close" });
  }
}
