import { isThenable } from "../../async/thenable.ts";
import { pathStep } from "../../codec/payload.ts";
import { DecodeError } from "../../model/errors.ts";
import { withOwnCause } from "../../model/foreign_error.ts";
import { quote } from "../../model/foreign_text.ts";
import { errorText } from "../../model/error_text.ts";
import type { PayloadIssue } from "../../model/message.ts";

/**
 * A Standard Schema (standardschema.dev, version 1), as Zod, Valibot, ArkType and
 * others make it: the part of it that is used here.
 *
 * @typeParam T The type that it converts a payload to.
 */
export interface Schema<T> {
  /** The standard's own property. */
  readonly "~standard": {
    /** The standard's version. */
    readonly version: 1;
    /** The library that made it. */
    readonly vendor: string;
    /** Checks and converts a value. */
    readonly validate: (
      value: unknown,
    ) => SchemaResult<T> | Promise<SchemaResult<T>>;
  };
}

/** The answer of a {@linkcode Schema}: a value, or the issues. */
export type SchemaResult<T> =
  | { readonly value: T; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] };

/** One thing that is wrong with a value. */
export interface SchemaIssue {
  /** The text of the issue. */
  readonly message: string;
  /** The place: the keys from the outside in. */
  readonly path?:
    | readonly (PropertyKey | { readonly key: PropertyKey })[]
    | undefined;
}

/**
 * Checks and converts payloads: a Standard Schema, or a function that returns what it
 * makes of one, and throws where that is wrong. Either may answer with a promise.
 *
 * @typeParam T The type that it converts a payload to.
 */
export type PayloadSchema<T> =
  | Schema<T>
  | ((payload: unknown) => T | Promise<T>);

/**
 * Makes a function of what checks payloads.
 *
 * @typeParam T The type that it converts a payload to.
 * @param schema The schema, or nothing.
 * @returns The function; it throws a `DecodeError` for what the schema does not take, or rejects with it.
 */
export function validator<T>(
  schema: PayloadSchema<T> | undefined,
): (payload: unknown) => T | Promise<T> {
  if (schema === undefined) return trust<T>;
  const check = typeof schema === "function" && !("~standard" in schema)
    ? schema
    : checkOf(schema as Schema<T>);
  return (payload) => {
    try {
      const checked = check(payload);
      return isThenable(checked)
        ? Promise.resolve(checked).catch(refused)
        : checked;
    } catch (cause) {
      return refused(cause);
    }
  };
}

/**
 * Refuses a value that is no schema.
 *
 * @param schema The value as it was given.
 * @param of The call that takes it, for an error.
 * @throws {TypeError} If it is neither a Standard Schema nor a function.
 */
export function checkSchema(schema: unknown, of: string): void {
  if (schema === undefined || typeof schema === "function") return;
  if (typeof schema === "object" && schema !== null && "~standard" in schema) {
    return;
  }
  throw new TypeError(
    `Cannot use ${
      quote(schema)
    } as the "schema" of ${of}: it must be a Standard Schema, as of Zod, Valibot or ArkType, or a function that returns the payload or throws`,
  );
}

function checkOf<T>(schema: Schema<T>): (payload: unknown) => T | Promise<T> {
  return (payload) => {
    const result = schema["~standard"].validate(payload);
    return isThenable(result)
      ? Promise.resolve(result).then(valueOf)
      : valueOf(result);
  };
}

const REFUSED = "Cannot take a payload, which its schema refuses";

function valueOf<T>(result: SchemaResult<T>): T {
  if (result.issues === undefined) return result.value;
  const given: unknown = result.issues;
  if (!Array.isArray(given)) {
    throw new DecodeError(
      `${REFUSED}: it says why by ${
        quote(given)
      }; "issues" of a Standard Schema is an array`,
    );
  }
  const issues = result.issues.map(({ message, path = [] }): PayloadIssue => ({
    message,
    path: Array.from(
      path,
      (each) => typeof each === "object" ? each.key : each,
    ),
  }));
  throw new DecodeError(
    `${REFUSED}: ${issues.map(describe).join("; ")}`,
    { issues },
  );
}

function refused(cause: unknown): never {
  if (cause instanceof DecodeError) throw cause;
  const why = errorText(cause);
  throw withOwnCause(new DecodeError(`${REFUSED}: ${why}`), cause);
}

/** As a program would write it: `payload.order.lines[0].qty`. */
function describe({ message, path }: PayloadIssue): string {
  const place = path.map(pathStep).join("");
  return place === "" ? message : `payload${place}: ${message}`;
}

/** Without a check the payload is what the user says it is. */
function trust<T>(payload: unknown): T {
  return payload as T;
}
