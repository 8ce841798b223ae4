/**
 * A value of a type that JSON lacks and JavaScript has no fit class for: Kombu's
 * `date`, `time`, `decimal` and `uuid`. It is written again as it was read.
 *
 * @example A decimal number
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { TypedValue } from "@dashi/mq";
 *
 * const price = new TypedValue("decimal", "1.10");
 * assertEquals(String(price), "1.10");
 * ```
 */
export class TypedValue {
  /** The type: the value of `__type__`. */
  readonly type: string;
  /** The value in JSON: that of `__value__`. A `uuid` has `{ hex }`, the others a string. */
  readonly value: unknown;

  /** Makes a value of a type. */
  constructor(type: string, value: unknown) {
    this.type = type;
    this.value = value;
  }

  /** The value's text: of a `uuid` with its dashes. */
  toString(): string {
    const { value } = this;
    if (typeof value === "object" && value !== null && "hex" in value) {
      return String(value.hex).replace(
        /^(.{8})(.{4})(.{4})(.{4})(.{12})$/,
        "$1-$2-$3-$4-$5",
      );
    }
    return String(value);
  }
}
