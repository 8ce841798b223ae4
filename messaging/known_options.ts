import { OptionError } from "../model/errors.ts";
import { quote } from "../model/foreign_text.ts";
import { unknownOption } from "../url/mod.ts";

/**
 * The kind of value that an option takes: a type as `typeof` names it, an array, or one of
 * several, with `|` between them; `true` if it is checked elsewhere.
 */
export type Kind = true | string;

/** The options that a call knows, and the name of the call. */
export interface KnownOptions {
  /** The call that takes them, for an error: `createConnection`. */
  readonly of: string;
  /** Their names, and what each must be. */
  readonly kinds: ReadonlyMap<string, Kind>;
  /** Other names of some of them, elsewhere or formerly. */
  readonly others: Readonly<Record<string, string>>;
}

/**
 * Lists the options that something takes. The compiler holds the list to the type: it
 * misses none, and has none too many.
 *
 * @typeParam T The type of the options.
 * @param of The call that takes them, for an error.
 * @param table Each by its name, with its kind.
 * @param others Names that other libraries use, or that were used here before, with the right one.
 * @returns The list.
 */
export function optionsOf<T extends object>(
  of: string,
  table: { readonly [K in keyof Required<T>]: Kind },
  others: Readonly<Record<string, string>> = {},
): KnownOptions {
  return { of, kinds: new Map(Object.entries<Kind>(table)), others };
}

/**
 * Refuses options that are not known: they come from JavaScript or from JSON, where no
 * compiler has seen them, and a misspelt one would be ignored in silence.
 *
 * @param options The value as it was given.
 * @param known The options that there are.
 * @throws {OptionError} If one is unknown, with the nearest name; if one is of the wrong type; or if it is no object.
 */
export function checkKnown(
  options: object | undefined,
  { of, kinds, others }: KnownOptions,
): void {
  if (options === undefined) return;
  const given: unknown = options;
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw new OptionError(
      `Cannot use ${
        quote(given)
      } as the options of ${of}: they must be an object`,
    );
  }
  // Cheap, for it is done with each message: nothing is made unless it is refused.
  for (const name in options) {
    const kind = kinds.get(name);
    if (kind !== undefined) {
      if (kind === true) continue;
      const value = (options as Record<string, unknown>)[name];
      if (value === undefined || fits(value, kind)) continue;
      throw wrongKind(name, value, kind, of);
    }
    if (!Object.hasOwn(options, name)) continue;
    const what = `the option ${quote(name)} of ${of}`;
    if (!Object.hasOwn(others, name)) {
      throw unknownOption(what, name, kinds.keys());
    }
    throw new OptionError(
      `Cannot use ${what}: it is unknown; here it is ${others[name]}`,
    );
  }
}

/** The names of the kinds, in words. */
const WORDS: Readonly<Record<string, string>> = {
  boolean: "true or false",
  string: "a string",
  number: "a number",
  function: "a function",
  object: "an object",
  array: "an array",
};

function fits(value: unknown, kind: string): boolean {
  if (typeof value !== "object") {
    return typeof value === kind || kind.split("|").includes(typeof value);
  }
  if (value === null) return false;
  const given = Array.isArray(value) ? "array" : "object";
  return given === kind || kind.split("|").includes(given);
}

function wrongKind(
  name: string,
  value: unknown,
  kind: string,
  of: string,
): OptionError {
  const right = kind.split("|").map((each) => WORDS[each]).join(" or ");
  return new OptionError(
    `Cannot use ${
      quote(value)
    } as the option "${name}" of ${of}: it must be ${right}`,
  );
}
