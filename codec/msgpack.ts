import { decode, encode } from "@msgpack/msgpack";
import { DecodeError, EncodeError } from "../model/errors.ts";
import type { Codec } from "./codec.ts";
import { checkMsgpack } from "./msgpack_check.ts";
import { findRefused, UNDEFINED, whyRefused } from "./payload.ts";
import { TypedValue } from "./typed_value.ts";

/**
 * MessagePack as Python writes it: strings as `str`, bytes as `bin`. Integers beyond
 * 2^53 are `bigint`; a `Date` is the extension type `timestamp`.
 */
export const MSGPACK_CODEC: Codec = {
  name: "msgpack",
  contentType: "application/x-msgpack",
  contentEncoding: "binary",
  encode(payload) {
    if (payload === undefined) throw unwritable(UNDEFINED);
    try {
      return encode(widen(payload), {
        useBigInt64: true,
        ignoreUndefined: true,
      });
    } catch (cause) {
      findRefused(payload, "MessagePack");
      if (cause instanceof EncodeError) throw cause;
      throw unwritable(messageOf(cause), cause);
    }
  },
  decode(body) {
    checkMsgpack(body);
    try {
      return narrow(decode(body, { useBigInt64: true }));
    } catch (cause) {
      throw new DecodeError(
        `Cannot decode a body of ${body.byteLength} bytes as MessagePack: ${
          messageOf(cause)
        }`,
        { cause },
      );
    }
  },
};

/** A value that MessagePack has no type for is refused or, as in JSON, converted by its own `toJSON`. With 64 bits as `bigint` the library writes a number beyond 32 bits as a float, and one beyond 64 cut off. */
function widen(value: unknown): unknown {
  if (typeof value === "function" || typeof value === "symbol") {
    throw unwritable(`it has a ${typeof value}`);
  }
  if (typeof value === "bigint") {
    if (BigInt.asIntN(64, value) === value) return value;
    if (BigInt.asUintN(64, value) === value) return value;
    throw unwritable(`${value} does not fit into 64 bits`);
  }
  if (typeof value === "number") {
    return Number.isSafeInteger(value) && Math.abs(value) > 0x7fff_ffff
      ? BigInt(value)
      : value;
  }
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(widen);
  if (value instanceof Uint8Array) return value;
  if (value instanceof Date) {
    if (!Number.isNaN(value.getTime())) return value;
    throw unwritable("it has an invalid Date");
  }
  if (value instanceof TypedValue) throw unwritable("it has a TypedValue");
  const why = whyRefused(value);
  if (why !== undefined) throw unwritable(why);
  if ("toJSON" in value && typeof value.toJSON === "function") {
    return widen(value.toJSON());
  }
  return mapEntries(value, widen);
}

/** An integer that a number holds exactly becomes one, however wide it was written. */
function narrow(value: unknown): unknown {
  if (typeof value === "bigint") {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  }
  if (Array.isArray(value)) return value.map(narrow);
  if (typeof value !== "object" || value === null) return value;
  // Dates, bytes and extensions stay what they are.
  return Object.getPrototypeOf(value) === Object.prototype
    ? mapEntries(value, narrow)
    : value;
}

function mapEntries(
  value: object,
  map: (each: unknown) => unknown,
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [key, map(each)]),
  );
}

function unwritable(why: string, cause?: unknown): EncodeError {
  return new EncodeError(`Cannot encode a payload as MessagePack: ${why}`, {
    cause,
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
