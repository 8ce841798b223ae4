/** AMQP 0-9-1's reply codes by name. */
export type ReplyCodeName =
  | "content-too-large"
  | "no-route"
  | "no-consumers"
  | "connection-forced"
  | "invalid-path"
  | "access-refused"
  | "not-found"
  | "resource-locked"
  | "precondition-failed"
  | "frame-error"
  | "syntax-error"
  | "command-invalid"
  | "channel-error"
  | "unexpected-frame"
  | "resource-error"
  | "not-allowed"
  | "not-implemented"
  | "internal-error";

/** One reply code of AMQP 0-9-1. */
export interface ReplyCode {
  /** The number on the wire. */
  readonly code: number;
  /** The name in the specification. */
  readonly name: ReplyCodeName;
  /** The part that ends with it: nothing (`"message"`), the channel, or the connection. */
  readonly severity: "message" | "channel" | "connection";
}

/**
 * AMQP 0-9-1's reply codes, from its specification, section 1.1 of the generated
 * reference (312 is RabbitMQ's reading of it: a returned message).
 */
export const REPLY_CODES: readonly ReplyCode[] = [
  { code: 311, name: "content-too-large", severity: "channel" },
  { code: 312, name: "no-route", severity: "message" },
  { code: 313, name: "no-consumers", severity: "channel" },
  { code: 320, name: "connection-forced", severity: "connection" },
  { code: 402, name: "invalid-path", severity: "connection" },
  { code: 403, name: "access-refused", severity: "channel" },
  { code: 404, name: "not-found", severity: "channel" },
  { code: 405, name: "resource-locked", severity: "channel" },
  { code: 406, name: "precondition-failed", severity: "channel" },
  { code: 501, name: "frame-error", severity: "connection" },
  { code: 502, name: "syntax-error", severity: "connection" },
  { code: 503, name: "command-invalid", severity: "connection" },
  { code: 504, name: "channel-error", severity: "connection" },
  { code: 505, name: "unexpected-frame", severity: "connection" },
  { code: 506, name: "resource-error", severity: "connection" },
  { code: 530, name: "not-allowed", severity: "connection" },
  { code: 540, name: "not-implemented", severity: "connection" },
  { code: 541, name: "internal-error", severity: "connection" },
];

const BY_CODE: ReadonlyMap<number, ReplyCode> = new Map(
  REPLY_CODES.map((row) => [row.code, row]),
);

/**
 * Finds a reply code by its number on the wire.
 *
 * @param code The number, such as 404.
 * @returns The row, or `undefined` for a number that AMQP 0-9-1 does not have.
 */
export function findReplyCode(code: number): ReplyCode | undefined {
  return BY_CODE.get(code);
}
