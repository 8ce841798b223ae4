import { ReceivedMessage } from "../messaging/consume/message.ts";
import type { Message } from "../messaging/mod.ts";
import { MessagingError } from "../model/errors.ts";
import type { FieldTable } from "../model/field_table.ts";
import type { MessageProperties } from "../model/message.ts";
import type { Api, Context, Link, Span, Tracer } from "./api_client.ts";
import type { Propagation } from "./carrier.ts";
import type { Meters } from "./meters.ts";
import type { Operation } from "./operations.ts";

/** The tools that operations are recorded with. */
export interface Recorder {
  /** OpenTelemetry's API. */
  readonly api: Api;
  /** Makes spans. */
  readonly tracer: Tracer;
  /** Counts and measures. */
  readonly meters: Meters;
  /** Reads and writes headers. */
  readonly propagation: Propagation;
  /** Whether a message's span is the parent of its processing. */
  readonly continueTrace: boolean;
}

/** The ids of a message. */
export interface Ids {
  readonly messageId?: string | undefined;
  readonly correlationId?: string | undefined;
}

/**
 * Ends a span, with the kind of an error.
 *
 * @param recorder The tools.
 * @param span The span.
 * @param error The kind of its error, if it has failed.
 */
export function endWith(
  { api }: Recorder,
  span: Span,
  error: string | undefined,
): void {
  if (error !== undefined) {
    span.setAttribute("error.type", error);
    span.setStatus({ code: api.SpanStatusCode.ERROR });
  }
  span.end();
}

/**
 * Records what no message may fail for: an error of a provider, of a span processor or a
 * propagator is OpenTelemetry's, and goes to its own diagnostics.
 *
 * @param recorder The tools.
 * @param record Records it.
 * @returns What that returns; `undefined` if it fails.
 */
export function quietly<T>(
  recorder: Recorder,
  record: () => T,
): T | undefined {
  try {
    return record();
  } catch (error) {
    return cannotRecord(recorder, error);
  }
}

/**
 * As {@linkcode quietly}, for what has been thrown already: a function for each message
 * costs.
 *
 * @param recorder The tools.
 * @param error The error.
 */
export function cannotRecord({ api }: Recorder, error: unknown): undefined {
  api.diag.error("@dashi/mq: cannot record an operation", error);
}

/**
 * Tells all that samplers do not ask for, of a span that is recorded.
 *
 * @param span The span.
 * @param operation The operation, with the attributes that all its spans have.
 * @param ids The ids of its message, if there is one.
 */
export function identify(
  span: Span,
  { recorded }: Operation,
  { messageId, correlationId }: Ids = {},
): void {
  span.setAttributes(recorded);
  if (messageId !== undefined) {
    span.setAttribute("messaging.message.id", messageId);
  }
  if (correlationId !== undefined) {
    span.setAttribute("messaging.message.conversation_id", correlationId);
  }
}

/** Links to the span that a message was created in, if it says so. */
export function linksTo(
  { propagation }: Recorder,
  headers: FieldTable,
): Link[] {
  const context = isEmpty(headers) ? undefined : propagation.creation(headers);
  return context === undefined ? [] : [{ context }];
}

/** The context that handlers are called in: what is active, but for its span, in which their run was begun. */
export function baseOf({ api: { context, trace } }: Recorder): Context {
  const active = context.active();
  return trace.getSpan(active) === undefined
    ? active
    : trace.deleteSpan(active);
}

/** Adds to a context that of a message: its baggage, and the span that it was created in. */
export function contextOf(
  { propagation }: Recorder,
  base: Context,
  headers: FieldTable,
): Context {
  return isEmpty(headers) ? base : propagation.extract(base, headers);
}

/** Says whether a table has no values; asked for each message, and cheaper than to list them. */
export function isEmpty(headers: FieldTable): boolean {
  for (const _ in headers) return false;
  return true;
}

/**
 * Names the kind of an error, for `error.type`.
 *
 * @param error The thrown value.
 * @returns The code of the library's errors, the name of others; `_OTHER` where that is no word.
 */
export function errorType(error: unknown): string {
  if (error instanceof MessagingError) return error.code;
  const name: unknown = error instanceof Error ? error.name : undefined;
  return typeof name === "string" && WORD.test(name) ? name : "_OTHER";
}

const WORD = /^[A-Za-z_][\w.$]{0,63}$/;

/**
 * Reads the properties of a message as they came: `properties` would copy them.
 *
 * @param message The message.
 * @returns Its properties.
 */
export function cameWith(message: Message<unknown>): MessageProperties {
  return message instanceof ReceivedMessage
    ? message.receivedProperties
    : message.properties;
}

/** The origin of a message. */
export interface Place {
  readonly exchange: string;
  readonly routingKey: string;
  readonly queue: string;
}

/**
 * Says where a message comes from: `deliveryInfo` would be an object more.
 *
 * @param message The message.
 * @returns Its origin.
 */
export function placeOf(message: Message<unknown>): Place {
  return message instanceof ReceivedMessage ? message : message.deliveryInfo;
}
