import { pathStep } from "../codec/payload.ts";
import { DecodeError } from "../model/errors.ts";
import { withOwnCause } from "../model/foreign_error.ts";

/**
 * A Standard Schema (standardschema.dev, version 1), as Zod, Valibot, ArkType and
 * others make it: the part of it that is used here.
 *
 * @typeParam T What it makes of a payload.
 */
export interface Schema<T> {
  /** The standard's own property. */
  readonly "~standard": {
    /** The standard's version. */
    readonly version: 1;
    /** Who made it. */
    readonly vendor: string;
    /** Checks and converts a value. */
    readonly validate: (
      value: unknown,
    ) => SchemaResult<T> | Promise<SchemaResult<T>>;
  };
}

/** What a {@linkcode Schema} says: a value, or what is wrong. */
export type SchemaResult<T> =
  | { readonly value: T; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] };

/** One thing that is wrong with a value. */
export interface SchemaIssue {
  /** What is wrong. */
  readonly message: string;
  /** Where: the keys from the outside in. */
  readonly path?:
    | readonly (PropertyKey | { readonly key: PropertyKey })[]
    | undefined;
}

/**
 * Makes a function of what checks payloads.
 *
 * @typeParam T What it makes of a payload.
 * @param parse A function, a schema, or nothing.
 * @returns The function; it throws a `DecodeError` for what it does not take.
 */
export function validator<T>(
  parse: ((payload: unknown) => T) | Schema<T> | undefined,
): (payload: unknown) => T {
  if (parse === undefined) return trust<T>;
  return (payload) => {
    try {
      return "~standard" in parse ? validate(parse, payload) : parse(payload);
    } catch (cause) {
      if (cause instanceof DecodeError) throw cause;
      const why = cause instanceof Error ? cause.message : String(cause);
      throw withOwnCause(
        new DecodeError(`Cannot take a payload: ${why}`),
        cause,
      );
    }
  };
}

function validate<T>(schema: Schema<T>, payload: unknown): T {
  const result = schema["~standard"].validate(payload);
  if (result instanceof Promise) {
    result.catch(() => {});
    throw new DecodeError(
      "Cannot take a payload: its schema answers with a promise, and reading a payload can not wait; use one that answers at once",
    );
  }
  if (result.issues === undefined) return result.value;
  throw new DecodeError(
    `Cannot take a payload: ${result.issues.map(describe).join("; ")}`,
  );
}

/** As a program would write it: `payload.order.lines[0].qty`. */
function describe({ message, path = [] }: SchemaIssue): string {
  const steps = path.map((each) =>
    pathStep(typeof each === "object" ? each.key : each)
  );
  return steps.length === 0 ? message : `payload${steps.join("")}: ${message}`;
}

/** Without a check the payload is what the user says it is. */
function trust<T>(payload: unknown): T {
  return payload as T;
}
