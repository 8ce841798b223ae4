/**
 * Whether a value is a promise, or another library's thenable.
 *
 * @param value The value.
 * @returns Whether it has to be waited for.
 */
export function isThenable<T>(
  value: T | PromiseLike<T>,
): value is PromiseLike<T> {
  return typeof value === "object" && value !== null &&
    typeof (value as Partial<PromiseLike<T>>).then === "function";
}
