import { OptionError } from "../../model/errors.ts";
import type { FieldTable } from "../../model/field_table.ts";
import type {
  IncomingChanges,
  IncomingMessage,
  OutgoingChanges,
  OutgoingMessage,
  PublishOrigin,
} from "./hooks.ts";

/** A body that is another one at the broker than its publisher's. */
export interface Wrapping {
  /** The header that tells it; what else is told has headers that begin with it and a hyphen. */
  readonly header: string;
  /** The content type at the broker: who cannot unwrap the body is told by it, for no codec reads it. */
  readonly contentType: string;
}

/** A body that is encrypted. */
export const ENCRYPTED: Wrapping = {
  header: "x-encryption",
  contentType: "application/vnd.dashi.encrypted",
};

/** A body that lies elsewhere. */
export const CLAIMED: Wrapping = {
  header: "x-claim",
  contentType: "application/vnd.dashi.claim",
};

/** The header of a message that one queue has: its body goes with its ack. */
export const ALONE: string = `${CLAIMED.header}-one`;

/** Whether a message is published as it lay somewhere: what it bears, it was wrapped with before. */
export function laySo(origin: PublishOrigin): boolean {
  return origin === "redrive" || origin === "relay";
}

/** Whether a message bears a wrapping. */
export function bears({ header }: Wrapping, headers: FieldTable): boolean {
  return header in headers;
}

/**
 * Refuses a message that was wrapped before: what it was wrapped with would be lost.
 *
 * @param wrapping The wrapping.
 * @param message The message.
 * @param name The middleware's name.
 * @throws {OptionError} If it was.
 */
export function refuseWrapped(
  wrapping: Wrapping,
  { headers, properties }: OutgoingMessage,
  name: string,
): void {
  const { header, contentType } = wrapping;
  if (properties.contentType !== contentType || !bears(wrapping, headers)) {
    return;
  }
  throw new OptionError(
    `Cannot use ${name} for a message that has its header "${header}" already: use it once on a connection, and publish messages of others as they were handed over through it`,
    { outcome: "not-sent" },
  );
}

/**
 * Wraps a message.
 *
 * @param wrapping The wrapping.
 * @param message The message.
 * @param body Its body from now on.
 * @param told The headers of the wrapping.
 * @returns The changes.
 */
export function wrap(
  wrapping: Wrapping,
  { headers, properties }: OutgoingMessage,
  body: Uint8Array,
  told: FieldTable,
): OutgoingChanges {
  const { contentType, contentEncoding } = properties;
  const { header } = wrapping;
  return {
    headers: {
      ...without(wrapping, headers),
      ...told,
      ...(contentType === undefined ? {} : { [`${header}-type`]: contentType }),
      ...(contentEncoding === undefined
        ? {}
        : { [`${header}-charset`]: contentEncoding }),
    },
    properties: {
      ...properties,
      contentType: wrapping.contentType,
      contentEncoding: "binary",
    },
    body,
  };
}

/**
 * Unwraps a message.
 *
 * @param wrapping The wrapping, which it bears.
 * @param message The message.
 * @param body The body that was wrapped.
 * @returns The changes.
 */
export function unwrap(
  wrapping: Wrapping,
  { headers, properties }: IncomingMessage,
  body: Uint8Array,
): IncomingChanges {
  return {
    headers: without(wrapping, headers),
    properties: { ...properties, ...typeWithin(wrapping, headers) },
    body,
  };
}

/** The content type and encoding of the body that is wrapped. */
export function typeWithin({ header }: Wrapping, headers: FieldTable): {
  readonly contentType: string | undefined;
  readonly contentEncoding: string | undefined;
} {
  return {
    contentType: textIn(headers, `${header}-type`),
    contentEncoding: textIn(headers, `${header}-charset`),
  };
}

/** The text in a header; `undefined` if there is none. */
export function textIn(headers: FieldTable, name: string): string | undefined {
  const value = headers[name];
  return typeof value === "string" ? value : undefined;
}

/** Headers without those of a wrapping; the same where there are none. */
export function without(
  { header }: Wrapping,
  headers: FieldTable,
): FieldTable {
  const isIts = (name: string) =>
    name === header || name.startsWith(`${header}-`);
  const names = Object.keys(headers);
  return names.some(isIts)
    ? Object.fromEntries(
      Object.entries(headers).filter(([name]) => !isIts(name)),
    )
    : headers;
}
