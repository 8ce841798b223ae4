import { OptionError } from "../../model/errors.ts";
import { quote } from "../../model/foreign_text.ts";
import { checkKnown, type KnownOptions, optionsOf } from "../known_options.ts";
import { checkSchema, type PayloadSchema } from "../entities/schema.ts";
import type { Message } from "./message.ts";
import { RUN, RUN_OPTIONS, type RunOptions } from "./run_options.ts";

/** The handler of the messages of one type. @typeParam P The type of their `payload`. */
export type RouteHandler<P> = (message: Message<P>) => void | Promise<void>;

/** The messages of one type: a handler, or one with the schema that its payloads pass first. @typeParam P The type of their `payload`. */
export type Route<P> =
  | RouteHandler<P>
  | {
    /** Checks and converts the payloads of this type: a Standard Schema, or a function that throws. */
    readonly schema: PayloadSchema<P>;
    /** Is called for those that pass. */
    readonly handler: RouteHandler<P>;
  };

/** Routes by the `type` of messages. @typeParam M The types of their payloads, by the same names. */
export type Routes<M> = { readonly [K in keyof M]: Route<M[K]> };

/**
 * The fate of a message that no route takes. `park`: it is given up at once, and goes where
 * `onFailure` says, to the dead letters as a rule. `skip`: it is acked. `throw`: it goes
 * back to its queue, and `route` rejects.
 */
export type Otherwise = "park" | "skip" | "throw";

/** Options of `consumer.route`. */
export interface RouteOptions extends RunOptions<unknown> {
  /** The fate of messages of another type, or of none; or a handler for them. @default {"park"} */
  readonly unknown?: Otherwise | RouteHandler<unknown> | undefined;
  /** The fate of messages whose payload the schema of their type refuses, or that cannot be read. @default {"park"} */
  readonly invalid?: Otherwise | undefined;
}

/** The known options of `route`. */
export const ROUTE: KnownOptions = optionsOf<RouteOptions>("route", {
  ...RUN_OPTIONS,
  unknown: true,
  invalid: true,
}, { ...RUN.others, default: '"unknown"', fallback: '"unknown"' });

const ENTRY: KnownOptions = optionsOf<{ schema: unknown; handler: unknown }>(
  "a route",
  { schema: true, handler: true },
  { parse: '"schema"', handle: '"handler"' },
);

const ALL: readonly unknown[] = ["park", "skip", "throw", undefined];

/** A route as it is used. */
export interface CheckedRoute {
  readonly schema: PayloadSchema<unknown> | undefined;
  readonly handler: RouteHandler<unknown>;
}

/**
 * Reads routes.
 *
 * @param routes The value as it was given.
 * @returns Each by its type.
 * @throws {TypeError} If they are none, or one has no handler.
 * @throws {OptionError} If one has more than a schema and a handler.
 */
export function checkRoutes(routes: object): Map<string, CheckedRoute> {
  const given: unknown = routes;
  if (
    typeof given !== "object" || given === null || Array.isArray(given) ||
    Object.keys(given).length === 0
  ) {
    throw new TypeError(
      `Cannot route by ${
        quote(given)
      }: routes must be an object with a handler for each type of message`,
    );
  }
  return new Map(
    Object.entries(given).map(([type, route]) => [type, checked(type, route)]),
  );
}

function checked(type: string, route: unknown): CheckedRoute {
  if (isHandler(route)) return { schema: undefined, handler: route };
  if (typeof route === "object" && route !== null) {
    checkKnown(route, ENTRY);
    const { schema, handler } = route as Partial<CheckedRoute>;
    checkSchema(schema, `route ${quote(type)}`);
    if (isHandler(handler)) return { schema, handler };
  }
  throw new TypeError(
    `Cannot route messages of type ${quote(type)} to ${
      quote(route)
    }: it must be a function that takes a message, or { schema, handler }`,
  );
}

function isHandler(value: unknown): value is RouteHandler<unknown> {
  return typeof value === "function";
}

/**
 * Refuses policies that are none.
 *
 * @param options The options.
 * @param autoAck Whether messages are acked when they are handed over.
 * @throws {OptionError} If an option is unknown, or a policy is another.
 * @throws {TypeError} If a message is to go back that cannot.
 */
export function checkPolicies(options: RouteOptions, autoAck: boolean): void {
  checkKnown(options, ROUTE);
  for (const name of ["unknown", "invalid"] as const) {
    const policy = options[name];
    const mayHandle = name === "unknown" && typeof policy === "function";
    if (!ALL.includes(policy) && !mayHandle) {
      throw new OptionError(
        `Cannot use ${
          quote(policy)
        } as "${name}" of route: it must be "park", "skip" or "throw"${
          name === "unknown" ? ", or a handler" : ""
        }`,
      );
    }
    if (policy === "throw" && autoAck) {
      throw new TypeError(
        `Cannot use "throw" as "${name}" of route for a consumer with autoAck: its messages cannot go back to their queue`,
      );
    }
  }
}
