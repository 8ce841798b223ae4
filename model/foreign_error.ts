import { printable } from "./foreign_text.ts";

/** The maximum number of UTF-16 units of a message. */
export const MAX_MESSAGE = 1500;
/** The maximum number of UTF-16 units of a stack. */
const MAX_STACK = 8000;
/** How many errors below one another are kept. */
const MAX_DEPTH = 8;

/** Properties of foreign errors that tell an operator something, and hold no secret. */
const TELLING: ReadonlySet<string> = new Set([
  "code",
  "codeName",
  "errno",
  "syscall",
  "address",
  "port",
  "hostname",
  "host",
  "status",
  "statusCode",
  "httpStatusCode",
  "requestId",
  "reason",
  "library",
  "classId",
  "methodId",
  "$fault",
  "$service",
]);

/** Of these, objects, what tells something is kept: the SDK's accounts of an answer. */
const ACCOUNTS: ReadonlySet<string> = new Set(["$metadata", "$response"]);

/** The own properties of every error, and those that are looked at by name. */
const USUAL: ReadonlySet<PropertyKey> = new Set([
  "name",
  "message",
  "stack",
  "cause",
  "errors",
]);

/**
 * Makes something foreign fit to be the cause of an error of ours. Errors of clients
 * hold what they were busy with: commands with passwords in them, connections, whole
 * requests with their signatures; and programs log causes with all their properties.
 * So an error that has more than words and codes is replaced by one that has these
 * alone; one that has nothing else stays as it is, and so does what `isOwn` names.
 *
 * @param cause The thrown value.
 * @param isOwn Says of which errors nothing has to be taken.
 * @returns The text to show.
 */
export function fitCause(
  cause: unknown,
  isOwn: (error: Error) => boolean,
): unknown {
  return fit(cause, isOwn, 0);
}

/**
 * Gives an error the cause that the caller's own code has thrown, as it is: it is the
 * caller's to know, with its class and all that it holds.
 *
 * @param error The error.
 * @param cause The value that the caller's code has thrown.
 * @returns The same error.
 */
export function withOwnCause<E extends Error>(
  error: E,
  cause: unknown,
): E {
  return Object.defineProperty(error, "cause", {
    value: cause,
    configurable: true,
    writable: true,
  });
}

function fit(
  value: unknown,
  isOwn: (error: Error) => boolean,
  depth: number,
): unknown {
  switch (typeof value) {
    case "string":
      return printable(value, MAX_MESSAGE);
    case "object":
      if (value === null) return value;
      break;
    case "function":
    case "symbol":
      return `a ${typeof value}`;
    default:
      return value;
  }
  if (value instanceof Error) {
    if (isOwn(value)) return value;
    if (depth >= MAX_DEPTH) return undefined;
    return fitError(value, isOwn, depth);
  }
  // An event of a socket, or any other value that was thrown.
  const message = read(value, "message");
  return new Error(
    typeof message === "string"
      ? printable(message, MAX_MESSAGE)
      : "something was thrown that is no error",
  );
}

function fitError(
  error: Error,
  isOwn: (error: Error) => boolean,
  depth: number,
): Error {
  const cause = read(error, "cause");
  const below = fit(cause, isOwn, depth + 1);
  const errors = read(error, "errors");
  const given: readonly unknown[] | undefined = Array.isArray(errors)
    ? errors
    : undefined;
  const parts = given?.slice(0, 20).map((each) => fit(each, isOwn, depth + 1));
  if (
    below === cause && isBare(error) &&
    parts?.length === given?.length &&
    (parts ?? []).every((each, i) => each === given?.[i])
  ) return error;
  const message = text(read(error, "message"), MAX_MESSAGE);
  const options = cause === undefined ? undefined : { cause: below };
  const copy = parts === undefined
    ? new Error(message, options)
    : new AggregateError(parts, message, options);
  const name = text(read(error, "name"), 100);
  hide(copy, "name", name);
  hide(copy, "stack", stackOf(error, `${name}: ${message}`));
  copyTelling(error, copy);
  for (const key of ACCOUNTS) {
    const account = read(error, key);
    if (typeof account !== "object" || account === null) continue;
    const kept = {};
    copyTelling(account, kept);
    if (Object.keys(kept).length > 0) Reflect.set(copy, key, kept);
  }
  return copy;
}

/** Whether an error has words and codes alone, also by what its class adds, and they are fit to be shown. */
function isBare(error: Error): boolean {
  if (error instanceof DOMException) return isFit(error.message);
  for (const key of Reflect.ownKeys(error)) {
    if (USUAL.has(key)) continue;
    if (typeof key !== "string" || !TELLING.has(key)) return false;
    if (!isFit(read(error, key))) return false;
  }
  // The platform's own errors have getters; those of a client's class may lead anywhere.
  for (
    let each: object | null = Object.getPrototypeOf(error);
    each !== null && each !== Error.prototype && each !== Object.prototype;
    each = Object.getPrototypeOf(each)
  ) {
    for (const key of Reflect.ownKeys(each)) {
      if (key === "constructor" || USUAL.has(key)) continue;
      const property = Object.getOwnPropertyDescriptor(each, key);
      if (typeof property?.value !== "function") return false;
    }
  }
  const stack = read(error, "stack");
  return isFit(error.name) && isFit(error.message) &&
    (typeof stack !== "string" ||
      stack.length <= MAX_STACK && stack.split("\n").every(isFit));
}

function isFit(value: unknown): boolean {
  return typeof value === "string"
    ? printable(value, MAX_MESSAGE) === value
    : typeof value !== "object" || value === null;
}

/** The frames of an error's stack below a heading that is fit. */
function stackOf(error: Error, heading: string): string {
  const stack = read(error, "stack");
  if (typeof stack !== "string") return heading;
  const frames = stack.slice(-MAX_STACK).split("\n")
    .filter((line) => /^ {4}at /.test(line))
    .map((line) => printable(line, 300));
  return [heading, ...frames].join("\n");
}

function copyTelling(from: object, to: object): void {
  for (const key of TELLING) {
    const value = read(from, key);
    if (typeof value === "string") Reflect.set(to, key, printable(value));
    else if (typeof value === "number" || typeof value === "boolean") {
      Reflect.set(to, key, value);
    }
  }
}

/** A property whose getter may throw. */
function read(from: object, key: PropertyKey): unknown {
  try {
    return Reflect.get(from, key);
  } catch {
    return undefined;
  }
}

function hide(on: object, key: string, value: string): void {
  Object.defineProperty(on, key, {
    value,
    configurable: true,
    writable: true,
  });
}

function text(value: unknown, most: number): string {
  return typeof value === "string" ? printable(value, most) : "";
}
