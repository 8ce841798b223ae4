import {
  boolYaml11Tag,
  defineScalarTag,
  floatCoreTag,
  floatYaml11Tag,
  intCoreTag,
  intYaml11Tag,
  NOT_RESOLVED,
  type Schema,
  timestampTag,
  YAML11_SCHEMA,
} from "js-yaml";
import { DecodeError } from "../model/errors.ts";
import { readBigInt } from "./big_int.ts";

/*
 * The scalars that PyYAML reads as more than a text. YAML 1.1 says more than it does: there
 * `y` is true, `07:08` a number of minutes, and `-.5` a number; PyYAML reads and writes all
 * of them as texts, unquoted.
 */
const BOOL =
  /^(?:yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)$/;
const INT =
  /^[-+]?(?:0b[01_]+|0[0-7_]+|0|[1-9][0-9_]*(?::[0-5]?[0-9])*|0x[0-9a-fA-F_]+)$/;
const FLOAT =
  /^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$/;
const TIMESTAMP =
  /^[0-9]{4}-(?:[0-9]{2}-[0-9]{2}|[0-9]{1,2}-[0-9]{1,2}(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?(?:[ \t]*(?:Z|[-+][0-9]{1,2}(?::[0-9]{2})?))?)$/;

type Tag<T> = ReturnType<typeof defineScalarTag<T>>;

/** A tag that reads as PyYAML does. */
function likePython<T>(tag: Tag<T>, pattern: RegExp): Tag<T> {
  return {
    ...tag,
    resolve: (source, isExplicit, tagName) =>
      isExplicit || pattern.test(source)
        ? tag.resolve(source, isExplicit, tagName)
        : NOT_RESOLVED,
  };
}

/** A tag that claims what PyYAML takes for more than a text, and what `others` would. */
function claiming<T>(
  tag: Tag<T>,
  pattern: RegExp,
  ...others: Tag<T>[]
): Tag<T | string> {
  return {
    ...tag,
    resolve: (source, isExplicit, tagName) =>
      pattern.test(source) ||
        [tag, ...others].some((each) =>
          each.resolve(source, isExplicit, tagName) !== NOT_RESOLVED
        )
        ? source
        : NOT_RESOLVED,
  };
}

/** Integers of any size. */
const INTEGER: Tag<number | bigint> = {
  ...intYaml11Tag,
  resolve(source, isExplicit, tagName) {
    const number = intYaml11Tag.resolve(source, isExplicit, tagName);
    return typeof number === "number" && Number.isSafeInteger(number)
      ? number
      : bigintOf(source) ?? number;
  },
  identify: (value) =>
    typeof value === "bigint" || intYaml11Tag.identify(value),
  represent: (value) =>
    typeof value === "bigint" ? String(value) : intYaml11Tag.represent(value),
};

/** All its digits, in the bases of YAML 1.1. */
function bigintOf(source: string): bigint | undefined {
  const found = /^([-+]?)(0b|0x|0(?=[0-7_])|)([0-9a-fA-F_]+)$/.exec(source);
  if (found === null) return undefined;
  const [, sign, base, digits = ""] = found;
  const prefix = base === "0" ? "0o" : base;
  try {
    const value = readBigInt(`${prefix}${digits.replaceAll("_", "")}`);
    return sign === "-" ? -value : value;
  } catch (error) {
    if (error instanceof DecodeError) throw error;
    return undefined; // letters without 0x
  }
}

/** How bodies are read: as PyYAML's safe loader reads them; integers beyond 2^53 are `bigint`. */
export const READ_SCHEMA: Schema = YAML11_SCHEMA.withTags(
  likePython(boolYaml11Tag, BOOL),
  likePython(INTEGER, INT),
  likePython(floatYaml11Tag, FLOAT),
);

/** How they are written: texts are quoted wherever a reader of YAML 1.1 or 1.2 could take them for something else. */
export const WRITE_SCHEMA: Schema = YAML11_SCHEMA.withTags(
  claiming(INTEGER, INT, intCoreTag),
  claiming(floatYaml11Tag, FLOAT, floatCoreTag),
  claiming(timestampTag, TIMESTAMP),
  // To PyYAML a bare `=` is a tag that its safe loader refuses.
  defineScalarTag("tag:yaml.org,2002:value", {
    implicit: true,
    implicitFirstChars: ["="],
    resolve: (source) => source === "=" ? source : NOT_RESOLVED,
    identify: () => false,
  }),
);
