import type { CodecRegistry } from "../../codec/mod.ts";
import { DecodeError } from "../../model/errors.ts";
import type { Delivery, MessageProperties } from "../../model/message.ts";
import type { Slab } from "../../model/slab.ts";
import type { InUse } from "../middleware/hooks.ts";

/** How a connection reads bodies. */
export interface Decoding {
  readonly codecs: CodecRegistry;
  readonly maxDecompressedSize: number | undefined;
  /** The middlewares that see its messages; none for what the library reads for itself. */
  readonly uses?: InUse | undefined;
}

/** How payloads are read. */
export interface Reading<T> extends Decoding {
  readonly accept: ReadonlySet<string>;
  readonly check: (payload: unknown) => T | Promise<T>;
  /** The memory that bodies are copied to when they are looked at: those of one consumer may share a buffer, as those of one socket do. */
  readonly slab: Slab;
}

/** Whether what a delivery is compressed with has yet to be loaded. */
export function needsCompression(
  { codecs }: Decoding,
  delivery: Delivery,
): boolean {
  // First, for some transports read the headers only if somebody looks.
  if (!codecs.hasLazyCompressions) return false;
  const name = received(delivery).headers?.["compression"];
  return typeof name === "string" && codecs.isLazyCompression(name);
}

/**
 * Loads what a delivery needs to be read. If that fails, reading its payload says
 * so: a message must not end the loop for those behind it.
 *
 * @param reading How its payload is read.
 * @param delivery The delivery.
 * @returns A promise to wait for, which never rejects; `undefined` if there is nothing to load.
 */
export function prepareToRead<T>(
  { codecs, accept }: Reading<T>,
  delivery: Delivery,
): Promise<unknown> | undefined {
  const { contentType, headers } = received(delivery);
  const name = headers?.["compression"];
  const codec = contentType === undefined
    ? undefined
    : codecs.prepare(contentType, accept);
  const press = typeof name === "string"
    ? codecs.prepareCompression(name)
    : undefined;
  return codec === undefined && press === undefined
    ? undefined
    : Promise.allSettled([codec, press]);
}

/** As they came: to look at a copy is to make it. */
function received(delivery: Delivery): MessageProperties {
  return delivery.received ?? delivery.properties;
}

/** The result of reading a message: its payload, or the reason why there is none. */
export type Decoded<T> =
  | { readonly payload: T; readonly error: undefined }
  | {
    readonly payload?: undefined;
    readonly error: Error;
    /** Whether no handler was called for it. */
    readonly refused?: true;
  };

/**
 * Reads a payload.
 *
 * @param reading How.
 * @param delivery The delivery.
 * @param message The message with a copy of its body, for payloads that may be views of it.
 * @returns The payload; a promise where the schema answers later.
 * @throws The error, if it is wrong.
 */
export function readPayload<T>(
  { codecs, accept, maxDecompressedSize, check }: Reading<T>,
  { malformed, properties, body, queue }: Delivery,
  message: { readonly body: Uint8Array },
): T | Promise<T> {
  if (malformed !== undefined) {
    throw new DecodeError(
      `Cannot read what lay in queue "${queue}": it is no message`,
      { cause: malformed },
    );
  }
  const { contentType, contentEncoding, headers } = properties;
  const payload = codecs.decode(
    isReadAsText(contentType) ? body : message.body,
    {
      contentType,
      contentEncoding,
      compression: headers?.["compression"],
      accept,
      maxDecompressedSize,
    },
  );
  return check(payload);
}

/** The content types of nearly all messages, whose payloads are texts. */
function isReadAsText(contentType: string | undefined): boolean {
  return contentType === "application/json" || contentType === "text/plain";
}

/** Makes an error of what reading a payload threw. */
export function unreadable(error: unknown): Error {
  if (error instanceof Error) return error;
  return new DecodeError("Cannot read a message", { cause: error });
}

/** Makes the error of a payload that is looked at too early. */
export function notYet(): DecodeError {
  return new DecodeError(
    "Cannot read a payload yet: its schema has not answered",
  );
}
