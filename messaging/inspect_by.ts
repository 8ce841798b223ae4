/** Shows a value as the runtime does, without colours. */
export type Inspect = (value: unknown) => string;

type RuntimesInspect = (value: unknown, options: object) => string;

/** As the runtimes hand them over; `stylize` colours whatever `colors` says. */
type Options = { readonly stylize?: unknown } & object;

/**
 * Says how Deno, Node and Bun show the objects of a class. Not a method of the class, for
 * a computed name has no type that a fast check could see.
 *
 * @typeParam T The class.
 * @param prototype Its prototype.
 * @param text The text of an object.
 */
export function inspectBy<T extends object>(
  prototype: T,
  text: (self: T, inspect: Inspect) => string,
): void {
  const show = (self: T, inspect: RuntimesInspect, options: Options) => {
    const { stylize: _, ...plain } = options;
    return text(self, (value) => inspect(value, { ...plain, colors: false }));
  };
  Object.defineProperties(prototype, {
    [Symbol.for("Deno.customInspect")]: {
      value(this: T, inspect: RuntimesInspect, options: Options): string {
        return show(this, inspect, options);
      },
    },
    [Symbol.for("nodejs.util.inspect.custom")]: {
      value(
        this: T,
        _depth: number,
        options: Options,
        inspect: RuntimesInspect,
      ): string {
        return show(this, inspect, options);
      },
    },
  });
}
