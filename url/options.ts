import { MAX_WAIT } from "../model/checks.ts";
import { OptionError } from "../model/errors.ts";
import { quote } from "../model/foreign_text.ts";
import type { BrokerUrl } from "./broker_url.ts";
import { nearest } from "./nearest.ts";
import { readBoolean, readSeconds, SHARED_NAMES } from "./query.ts";

/** How one of a transport's own options is read. */
export interface OptionReader<T> {
  /** Its name in a URL, in Kombu's spelling; `undefined` where it cannot stand in one. */
  readonly urlName?: string | undefined;
  /** Reads it from a URL: the text, in Kombu's unit. */
  readonly fromUrl?: ((name: string, value: string) => T) | undefined;
  /** Reads it from `transportOptions`: the value, in our unit. */
  readonly fromObject: (name: string, value: unknown) => T;
}

/** A reader for each of a transport's own options, by its name in `transportOptions`. */
export type OptionReaders<T> = {
  readonly [K in keyof T]-?: OptionReader<Exclude<T[K], undefined>>;
};

/** The options as they were given: a URL's query without the shared parameters, and `transportOptions`. */
export interface GivenOptions {
  /** The URL. */
  readonly url: BrokerUrl;
  /** The object. */
  readonly transportOptions: Readonly<Record<string, unknown>>;
}

/**
 * Reads a transport's own options. A value in the URL wins.
 *
 * @typeParam T The type of the options, each property of it optional.
 * @param table A reader for each option, by its name in `transportOptions`.
 * @param given The URL and the object.
 * @returns The options that were given.
 * @throws {OptionError} If one is unknown, or its value is bad.
 *
 * @example Two options of a transport
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { durationOption, parseUrl, readOptions, stringOption } from "@dashi/mq/url";
 *
 * const table = { lease: durationOption("lease"), prefix: stringOption() };
 * const options = readOptions<{ lease?: number; prefix?: string }>(table, {
 *   url: parseUrl("mine://host?lease=5"),
 *   transportOptions: { prefix: "app:" },
 * });
 * assertEquals(options, { prefix: "app:", lease: 5000 });
 * ```
 */
export function readOptions<T extends object>(
  table: OptionReaders<T>,
  given: GivenOptions,
): Partial<T> {
  const readers = new Map<string, OptionReader<unknown>>(
    Object.entries(table),
  );
  const byUrlName = new Map<string, string>();
  for (const [name, { urlName }] of readers) {
    if (urlName !== undefined) byUrlName.set(urlName, name);
  }
  const read: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(given.transportOptions)) {
    if (value === undefined) continue;
    const reader = readers.get(name);
    if (reader === undefined) {
      throw unknownOption(
        `transport option ${quote(name)}`,
        name,
        readers.keys(),
      );
    }
    read[name] = reader.fromObject(name, value);
  }
  for (const [urlName, value] of Object.entries(given.url.query)) {
    const name = byUrlName.get(urlName);
    const reader = name === undefined ? undefined : readers.get(name);
    if (name === undefined || reader?.fromUrl === undefined) {
      throw unknownOption(
        `parameter ${quote(urlName)} of a URL`,
        urlName,
        [...byUrlName.keys(), ...SHARED_NAMES],
      );
    }
    read[name] = reader.fromUrl(urlName, value);
  }
  return pick<T>(read);
}

/** The table has a reader for each property of `T`, and nothing else was kept. */
function pick<T extends object>(read: object): Partial<T> {
  return read;
}

/**
 * Makes a reader for a boolean.
 *
 * @param urlName Its name in a URL.
 * @returns The reader.
 *
 * @example In a URL, and in an object
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { booleanOption } from "@dashi/mq/url";
 *
 * const { fromUrl, fromObject } = booleanOption("ttl");
 * assertEquals(fromUrl?.("ttl", "1"), true);
 * assertEquals(fromObject("ttl", false), false);
 * ```
 */
export function booleanOption(urlName?: string): OptionReader<boolean> {
  return {
    urlName,
    fromUrl: readBoolean,
    fromObject(name, value) {
      if (typeof value === "boolean") return value;
      throw invalidOption(name, value, "true or false");
    },
  };
}

/**
 * Makes a reader for a whole number.
 *
 * @param urlName Its name in a URL.
 * @param least The smallest that is allowed.
 * @param most The largest that is allowed.
 * @returns The reader.
 *
 * @example A number within bounds
 * ```ts
 * import { assertEquals, assertThrows } from "@std/assert";
 * import { integerOption } from "@dashi/mq/url";
 *
 * const { fromUrl, fromObject } = integerOption("size", 1, 10);
 * assertEquals(fromUrl?.("size", "7"), 7);
 * assertThrows(() => fromObject("size", 11));
 * ```
 */
export function integerOption(
  urlName: string | undefined,
  least: number,
  most: number,
): OptionReader<number> {
  const check = (name: string, value: unknown): number => {
    if (
      typeof value === "number" && Number.isInteger(value) &&
      value >= least && value <= most
    ) return value;
    throw invalidOption(name, value, `a whole number from ${least} to ${most}`);
  };
  return {
    urlName,
    fromUrl: (name, value) =>
      check(name, /^-?\d+$/.test(value) ? Number(value) : value),
    fromObject: check,
  };
}

/**
 * Makes a reader that takes of another's values only some.
 *
 * @typeParam T The type of the value.
 * @param reader The other reader.
 * @param isRight Says which values are taken.
 * @param right The right values in words, after "it must be".
 * @returns The reader.
 *
 * @example A duration that is not 0
 * ```ts
 * import { assertThrows } from "@std/assert";
 * import { checkedOption, durationOption } from "@dashi/mq/url";
 *
 * const { fromObject } = checkedOption(
 *   durationOption("lease"),
 *   (ms) => ms > 0,
 *   "more than 0",
 * );
 * assertThrows(() => fromObject("lease", 0));
 * ```
 */
export function checkedOption<T>(
  reader: OptionReader<T>,
  isRight: (value: T) => boolean,
  right: string,
): OptionReader<T> {
  const { urlName, fromUrl, fromObject } = reader;
  const check = (name: string, given: unknown, value: T): T => {
    if (isRight(value)) return value;
    throw invalidOption(name, given, right);
  };
  return {
    urlName,
    fromUrl: fromUrl &&
      ((name, given) => check(name, given, fromUrl(name, given))),
    fromObject: (name, given) => check(name, given, fromObject(name, given)),
  };
}

/**
 * Makes a reader for a duration of ten years at most: seconds in a URL, milliseconds in an
 * object.
 *
 * @param urlName Its name in a URL.
 * @returns The reader; it gives milliseconds.
 *
 * @example Seconds in a URL, milliseconds in an object
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { durationOption } from "@dashi/mq/url";
 *
 * const { fromUrl, fromObject } = durationOption("lease");
 * assertEquals(fromUrl?.("lease", "1.5"), 1500);
 * assertEquals(fromObject("lease", 1500), 1500);
 * ```
 */
export function durationOption(urlName?: string): OptionReader<number> {
  const duration: OptionReader<number> = {
    urlName,
    fromUrl: (name, value) => readSeconds(name, value),
    fromObject(name, value) {
      if (typeof value === "number" && value >= 0) return value;
      throw invalidOption(name, value, "a number of milliseconds of 0 or more");
    },
  };
  return checkedOption(
    duration,
    (ms) => ms <= MAX_WAIT,
    `no longer than ten years, ${MAX_WAIT} ms`,
  );
}

/**
 * Makes a reader for a lease: how long what a connection took stays its own while it is
 * not heard of. A lease is renewed after a third of it, so it cannot be as short as one
 * likes.
 *
 * @param urlName Its name in a URL.
 * @param least The shortest that is allowed, ms. @default {100}
 * @returns The reader; it gives milliseconds.
 *
 * @example Seconds in a URL, 100 ms or more
 * ```ts
 * import { assertEquals, assertThrows } from "@std/assert";
 * import { leaseOption, OptionError } from "@dashi/mq/url";
 *
 * const { fromUrl, fromObject } = leaseOption("visibility_timeout");
 * assertEquals(fromUrl?.("visibility_timeout", "30"), 30_000);
 * assertThrows(() => fromObject("lease", 99), OptionError, "100 ms or more");
 * ```
 */
export function leaseOption(
  urlName?: string,
  least = 100,
): OptionReader<number> {
  return checkedOption(
    durationOption(urlName),
    (ms) => ms >= least,
    `${least} ms or more, for it is renewed after a third of it`,
  );
}

/**
 * Makes a reader for a string.
 *
 * @param urlName Its name in a URL.
 * @returns The reader.
 *
 * @example A text
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { stringOption } from "@dashi/mq/url";
 *
 * assertEquals(stringOption("prefix").fromUrl?.("prefix", "app"), "app");
 * ```
 */
export function stringOption(urlName?: string): OptionReader<string> {
  return {
    urlName,
    fromUrl: (_, value) => value,
    fromObject(name, value) {
      if (typeof value === "string") return value;
      // It may be a secret, which a file gives as a number or in a list: it is not shown.
      throw new OptionError(
        `Cannot use a value of type ${
          value === null ? "null" : typeof value
        } as "${name}": it must be a string`,
      );
    },
  };
}

/**
 * Makes a reader for one of several words.
 *
 * @typeParam W The words.
 * @param urlName Its name in a URL.
 * @param words The words that are allowed.
 * @returns The reader.
 *
 * @example One of two words
 * ```ts
 * import { assertEquals, assertThrows } from "@std/assert";
 * import { wordOption } from "@dashi/mq/url";
 *
 * const { fromObject } = wordOption("fanout", ["queue", "pubsub"]);
 * assertEquals(fromObject("fanout", "queue"), "queue");
 * assertThrows(() => fromObject("fanout", "topic"));
 * ```
 */
export function wordOption<W extends string>(
  urlName: string | undefined,
  words: readonly W[],
): OptionReader<W> {
  const check = (name: string, value: unknown): W => {
    const word = words.find((each) => each === value);
    if (word !== undefined) return word;
    throw invalidOption(name, value, `one of ${words.join(", ")}`);
  };
  return { urlName, fromUrl: check, fromObject: check };
}

/** Names that other libraries give an option that is called differently here, in URLs Kombu's. */
const OTHER_WORDS: ReadonlyMap<string, string> = new Map([
  ["tls", "ssl"],
  ["rejectunauthorized", "verify"],
  ["checkserveridentity", "checkHostname"],
  ["sep", "separator"],
  ["supportsfanout", "fanout"],
  ["supports_fanout", "fanout"],
  ["creationattributes", "queueAttributes"],
]);

/**
 * Makes the error for an option that is not known.
 *
 * @param what The option or parameter, its name quoted.
 * @param name The name alone.
 * @param known The names that are known.
 * @returns The error; it names the option that may have been meant.
 *
 * @example The name that was meant
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { unknownOption } from "@dashi/mq/url";
 *
 * const error = unknownOption('transport option "laese"', "laese", ["lease"]);
 * assertEquals(error.message.endsWith('did you mean "lease"?'), true);
 * ```
 */
export function unknownOption(
  what: string,
  name: string,
  known: Iterable<string>,
): OptionError {
  const names = [...known];
  const word = OTHER_WORDS.get(name.toLowerCase());
  const meant = word !== undefined && names.includes(word)
    ? word
    : nearest(name, names);
  const right = meant !== undefined
    ? `did you mean "${meant}"?`
    : names.length === 0
    ? "there are none"
    : `known are ${names.join(", ")}`;
  return new OptionError(`Cannot use ${what}: it is unknown; ${right}`, {
    code: "option-unknown",
  });
}

/**
 * Makes the error for an option whose value cannot be used.
 *
 * @param name The option's name.
 * @param value The value, which is shown: no secret.
 * @param right The values that can be used, after "it must be".
 * @returns The error.
 *
 * @example A value that cannot be used
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { invalidOption } from "@dashi/mq/url";
 *
 * const error = invalidOption("lease", -1, "0 or more");
 * assertEquals(error.message, 'Cannot use -1 as "lease": it must be 0 or more');
 * ```
 */
export function invalidOption(
  name: string,
  value: unknown,
  right: string,
): OptionError {
  return new OptionError(
    `Cannot use ${quote(value)} as "${name}": it must be ${right}`,
  );
}
