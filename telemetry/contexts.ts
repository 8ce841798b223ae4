import type { Context } from "./api_client.ts";

/**
 * A context with one value more than another. OpenTelemetry's own copies a map and makes
 * three functions for each value, of which a message needs three or four.
 */
class Extended implements Context {
  readonly #base: Context;
  readonly #key: symbol;
  readonly #value: unknown;

  constructor(base: Context, key: symbol, value: unknown) {
    this.#base = base;
    this.#key = key;
    this.#value = value;
  }

  getValue(key: symbol): unknown {
    return key === this.#key ? this.#value : this.#base.getValue(key);
  }

  /** By the base, for a chain of these would keep all values that there have been. */
  setValue(key: symbol, value: unknown): Context {
    return key === this.#key
      ? this.#base.setValue(key, value)
      : this.#base.setValue(this.#key, this.#value).setValue(key, value);
  }

  deleteValue(key: symbol): Context {
    return key === this.#key
      ? this.#base.deleteValue(key)
      : this.#base.setValue(this.#key, this.#value).deleteValue(key);
  }
}

/** Another context, whose first further value costs little. */
class Extensible implements Context {
  readonly base: Context;

  constructor(base: Context) {
    this.base = base;
  }

  getValue(key: symbol): unknown {
    return this.base.getValue(key);
  }

  setValue(key: symbol, value: unknown): Context {
    return this.base instanceof Extended
      ? this.base.setValue(key, value)
      : new Extended(this.base, key, value);
  }

  deleteValue(key: symbol): Context {
    return this.base.deleteValue(key);
  }
}

/**
 * Makes a context to add a value to.
 *
 * @param base The context.
 * @returns The same to all who look.
 */
export function extensible(base: Context): Context {
  return new Extensible(base);
}

/**
 * Undoes {@linkcode extensible}, where nothing was added.
 *
 * @param context The context, which something may have been added to.
 * @returns The context to keep.
 */
export function extended(context: Context): Context {
  return context instanceof Extensible ? context.base : context;
}
