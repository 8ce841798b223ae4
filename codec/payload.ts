import { EncodeError } from "../model/errors.ts";
import { printable } from "../model/foreign_text.ts";
import { TypedValue } from "./typed_value.ts";

/** How long the path to a value in an error may be, in characters. */
const MAX_PATH = 200;

/**
 * Sees bytes in every object that has them: an `ArrayBuffer`, or any view of one.
 *
 * @param value Anything.
 * @returns Its bytes, not copied; `undefined` if it has none.
 */
export function bytesIn(value: unknown): Uint8Array | undefined {
  if (value instanceof Uint8Array) return value;
  if (ArrayBuffer.isView(value)) {
    return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  }
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  return typeof SharedArrayBuffer !== "undefined" &&
      value instanceof SharedArrayBuffer
    ? new Uint8Array(value)
    : undefined;
}

/** Why no serializer writes `undefined`. */
export const UNDEFINED = "it is undefined; publish null to say nothing";

/**
 * Says why no serializer may write an object: it would come out as something else, most
 * often as `{}`.
 *
 * @param value The object.
 * @returns The value's kind and the remedy, as the end of a sentence; `undefined` if it may be written.
 */
export function whyRefused(value: object): string | undefined {
  const prototype = Object.getPrototypeOf(value);
  if (
    prototype === Object.prototype || prototype === null || Array.isArray(value)
  ) return undefined;
  if ("then" in value && typeof value.then === "function") {
    return "it is a promise; await it first";
  }
  if (value instanceof Error) {
    return "it is an Error; write its name and message";
  }
  if (value instanceof Map || value instanceof Set) {
    return `it is a ${
      value instanceof Map ? "Map" : "Set"
    }; make an object or an array of it`;
  }
  if (
    value instanceof Date || value instanceof TypedValue ||
    value instanceof Uint8Array ||
    ("toJSON" in value && typeof value.toJSON === "function")
  ) return undefined;
  if (ArrayBuffer.isView(value)) {
    return `it is a ${nameOf(value)}; make an array or a Uint8Array of it`;
  }
  // A primitive in its box is written as the primitive.
  if (
    value instanceof Number || value instanceof String ||
    value instanceof Boolean || Object.keys(value).length > 0
  ) return undefined;
  return `it is a ${nameOf(value)}, of which nothing would be written`;
}

/** The values that a format can write and JSON cannot. */
export interface Writable {
  /** Objects that contain themselves. @default {false} */
  readonly circles?: boolean | undefined;
  /** Sets. @default {false} */
  readonly sets?: boolean | undefined;
}

/**
 * Finds what a serializer could not write, for an error that says where it is.
 *
 * @param payload The payload.
 * @param format The format that it was to be written in.
 * @param writable The values that the format can write.
 * @throws {EncodeError} If something is found.
 */
export function findRefused(
  payload: unknown,
  format: string,
  writable: Writable = {},
): void {
  const passed = new Set<object>();
  look(payload, undefined);

  function look(value: unknown, place: Place | undefined): void {
    if (typeof value === "function" || typeof value === "symbol") {
      throw refused(place, format, `it is a ${typeof value}`);
    }
    if (typeof value !== "object" || value === null) return;
    if (isWithin(value, place)) {
      if (writable.circles) return;
      throw refused(place, format, CIRCLE);
    }
    if (passed.has(value)) return;
    passed.add(value);
    if (writable.sets && value instanceof Set) return;
    const why = whyRefused(value);
    if (why !== undefined) throw refused(place, format, why);
    if (bytesIn(value) !== undefined || value instanceof Date) return;
    if ("toJSON" in value && typeof value.toJSON === "function") return;
    for (const [key, each] of Object.entries(value)) {
      look(each, { within: value, key, up: place });
    }
  }
}

/** Why a circle is refused. */
export const CIRCLE = "it contains itself";

/** The place of a value in a payload; `undefined` stands for the payload itself. */
export interface Place {
  /** The object or array that it is in. */
  readonly within: object;
  /** Its key there. */
  readonly key: string | number;
  /** The place of that object or array. */
  readonly up: Place | undefined;
}

/**
 * Says whether an object is one of those around a place.
 *
 * @param value The object.
 * @param place The place.
 * @returns Whether it contains itself, if it stands there.
 */
export function isWithin(value: object, place: Place | undefined): boolean {
  for (let at = place; at !== undefined; at = at.up) {
    if (at.within === value) return true;
  }
  return false;
}

/**
 * Makes the error for a value that cannot be written.
 *
 * @param place Its place in the payload.
 * @param format The format that it was to be written in.
 * @param why The value's kind, as the end of a sentence.
 * @param cause The error below, where there is one.
 * @returns The error.
 */
export function refused(
  place: Place | undefined,
  format: string,
  why: string,
  cause?: unknown,
): EncodeError {
  return new EncodeError(
    `Cannot encode ${printable(pathTo(place), MAX_PATH)} as ${format}: ${why}`,
    cause === undefined ? {} : { cause },
  );
}

/**
 * Writes one step of the path to a value as a program would: `.user`, `["a b"]` or `[2]`.
 *
 * @param key The key; a number is an array's.
 * @returns The step.
 */
export function pathStep(key: PropertyKey): string {
  if (typeof key === "number") return `[${key}]`;
  const name = String(key);
  return /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(name)
    ? `.${name}`
    : `[${JSON.stringify(name)}]`;
}

/** As a program would write it: `payload.user.photos[2]`. */
function pathTo(place: Place | undefined): string {
  let path = "";
  for (let at = place; at !== undefined; at = at.up) {
    const { within, key } = at;
    path = (Array.isArray(within) ? `[${key}]` : pathStep(key)) + path;
  }
  return `payload${path}`;
}

function nameOf(value: object): string {
  const { constructor } = value;
  return typeof constructor === "function" && constructor.name !== ""
    ? constructor.name
    : "object of a class";
}
