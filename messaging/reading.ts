import type { CodecRegistry } from "../codec/mod.ts";
import { DecodeError } from "../model/errors.ts";
import type { Delivery } from "../model/message.ts";
import type { Message } from "./message.ts";

/** How a connection reads bodies. */
export interface Decoding {
  readonly codecs: CodecRegistry;
  readonly maxDecompressedSize: number | undefined;
}

/** How payloads are read. */
export interface Reading<T> extends Decoding {
  readonly accept: ReadonlySet<string>;
  readonly parse: (payload: unknown) => T;
}

/** Whether what a delivery is compressed with has yet to be loaded. */
export function needsCompression(
  { codecs }: Decoding,
  delivery: Delivery,
): boolean {
  // First, for some transports read the headers only if somebody looks.
  if (!codecs.hasLazyCompressions) return false;
  const name = delivery.properties.headers?.["compression"];
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
  { properties }: Delivery,
): Promise<unknown> | undefined {
  const { contentType, headers } = properties;
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

/**
 * Says whether a message's payload can be read, by reading it.
 *
 * @param message The message.
 * @returns Whether it can.
 */
export function canRead<T>(message: Message<T>): boolean {
  try {
    message.payload;
    return true;
  } catch {
    return false;
  }
}

/**
 * Says why a message's payload cannot be read.
 *
 * @param message One that cannot.
 * @returns The error.
 */
export function unreadable<T>(message: Message<T>): Error {
  try {
    message.payload;
  } catch (error) {
    if (error instanceof Error) return error;
    return new DecodeError("Cannot read a message", { cause: error });
  }
  return new DecodeError("Cannot read a message");
}
