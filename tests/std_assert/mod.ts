/** A stand-in for `@std/assert` on `node:assert/strict`, where JSR is out of reach: the names and signatures that the tests use, and no more. */

import strict, { AssertionError } from "node:assert/strict";

export { AssertionError };

// deno-lint-ignore no-explicit-any -- as the real one's
type ErrorClass<E extends Error> = abstract new (...args: any[]) => E;

/** Asserts that something is truthy. */
export function assert(expr: unknown, msg = ""): asserts expr {
  if (!expr) throw new AssertionError({ message: msg, actual: expr });
}

/** Asserts that both are deeply and strictly equal. */
export function assertEquals<T>(actual: T, expected: T, msg?: string): void {
  strict.deepStrictEqual(actual, expected, msg);
}

/** Asserts that both are not deeply equal. */
export function assertNotEquals<T>(actual: T, expected: T, msg?: string): void {
  strict.notDeepStrictEqual(actual, expected, msg);
}

/** Asserts that both are the same value or object. */
export function assertStrictEquals<T>(
  actual: unknown,
  expected: T,
  msg?: string,
): asserts actual is T {
  strict.strictEqual(actual, expected, msg);
}

/** Asserts that something is neither null nor undefined. */
export function assertExists<T>(
  actual: T,
  msg?: string,
): asserts actual is NonNullable<T> {
  if (actual === undefined || actual === null) {
    throw new AssertionError({
      message: msg ?? "Expected actual to be neither null nor undefined",
    });
  }
}

/** Asserts that something is an instance of a class. */
export function assertInstanceOf<T>(
  actual: unknown,
  // deno-lint-ignore no-explicit-any -- as the real one's
  expectedType: abstract new (...args: any[]) => T,
  msg = "",
): asserts actual is T {
  if (!(actual instanceof expectedType)) {
    throw new AssertionError({
      message: msg ||
        `Expected an instance of ${expectedType.name}, got ${actual}`,
    });
  }
}

/** Asserts that a text contains another. */
export function assertStringIncludes(
  actual: string,
  expected: string,
  msg?: string,
): void {
  if (!actual.includes(expected)) {
    throw new AssertionError({
      message: msg ?? `Expected "${actual}" to contain "${expected}"`,
    });
  }
}

/** Asserts that a text matches a pattern. */
export function assertMatch(
  actual: string,
  expected: RegExp,
  msg?: string,
): void {
  strict.match(actual, expected, msg);
}

/** Asserts that an error is of a class, and that its message contains a text. */
export function assertIsError<E extends Error = Error>(
  error: unknown,
  ErrorClass?: ErrorClass<E>,
  msgMatches?: string | RegExp,
  msg = "",
): asserts error is E {
  if (!(error instanceof Error)) {
    throw new AssertionError({
      message: `Expected an Error, got ${error}. ${msg}`,
    });
  }
  if (ErrorClass !== undefined && !(error instanceof ErrorClass)) {
    throw new AssertionError({
      message:
        `Expected an error of ${ErrorClass.name}, got ${error.constructor.name}: ${error.message}. ${msg}`,
      actual: error,
    });
  }
  if (typeof msgMatches === "string") {
    assertStringIncludes(error.message, msgMatches);
  } else if (msgMatches !== undefined) {
    assertMatch(error.message, msgMatches);
  }
}

/** Asserts that a function throws an error of a class, and returns the error. */
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  ErrorClass?: ErrorClass<E>,
  msgIncludes?: string,
  msg = "",
): E {
  let thrown: unknown;
  let threw = false;
  try {
    fn();
  } catch (error) {
    thrown = error;
    threw = true;
  }
  if (!threw) {
    throw new AssertionError({
      message: `Expected the function to throw. ${msg}`,
    });
  }
  assertIsError<E>(thrown, ErrorClass, msgIncludes, msg);
  return thrown;
}

/** Asserts that a function rejects with an error of a class, and resolves to the error. */
export async function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  ErrorClass?: ErrorClass<E>,
  msgIncludes?: string,
  msg = "",
): Promise<E> {
  let thrown: unknown;
  let threw = false;
  try {
    await fn();
  } catch (error) {
    thrown = error;
    threw = true;
  }
  if (!threw) {
    throw new AssertionError({
      message: `Expected the function to reject. ${msg}`,
    });
  }
  assertIsError<E>(thrown, ErrorClass, msgIncludes, msg);
  return thrown;
}

/** Fails. */
export function fail(msg?: string): never {
  throw new AssertionError({ message: `Failed assertion: ${msg ?? "."}` });
}
