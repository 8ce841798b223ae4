import { OptionError } from "../model/errors.ts";
import { quote } from "../model/foreign_text.ts";
import { unknownOption } from "../url/mod.ts";

/** Where options stand, and which there are. */
export interface KnownOptions {
  /** What takes them, for an error: `createConnection`. */
  readonly of: string;
  /** Their names. */
  readonly names: ReadonlySet<string>;
  /** What some of them were called before. */
  readonly former: Readonly<Record<string, string>>;
}

/**
 * Lists the options that something takes. The compiler holds the list to the type: it
 * misses none, and has none too many.
 *
 * @typeParam T The type of the options.
 * @param of What takes them, for an error.
 * @param table Each by its name.
 * @param former What some were called before, with the name of today.
 * @returns The list.
 */
export function optionsOf<T extends object>(
  of: string,
  table: { readonly [K in keyof Required<T>]: true },
  former: Readonly<Record<string, string>> = {},
): KnownOptions {
  return { of, names: new Set(Object.keys(table)), former };
}

/**
 * Refuses options that are not known: they come from JavaScript or from JSON, where no
 * compiler has seen them, and a misspelt one would be ignored in silence.
 *
 * @param options What was given.
 * @param known The options that there are.
 * @throws {OptionError} If one is unknown, with the nearest name; or if it is no object.
 */
export function checkKnown(
  options: object | undefined,
  { of, names, former }: KnownOptions,
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
    if (names.has(name) || !Object.hasOwn(options, name)) continue;
    const what = `the option ${quote(name)} of ${of}`;
    if (!Object.hasOwn(former, name)) throw unknownOption(what, name, names);
    throw new OptionError(
      `Cannot use ${what}: it is unknown; it is called "${former[name]}" now`,
      { code: "option-unknown" },
    );
  }
}
