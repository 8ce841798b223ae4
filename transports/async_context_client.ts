/** What a call shares with all that it calls, however much later. */
export interface AsyncContext<T> {
  /** What was given to the nearest `run` around; `undefined`: there is none. */
  getStore(): T | undefined;
  run<R>(store: T, call: () => R): R;
}

/**
 * Makes one, by the runtime's `AsyncLocalStorage`, without an import that a bundle for
 * browsers would have to do without.
 *
 * @returns It; `undefined` where the runtime has none.
 */
export function asyncContext<T>(): AsyncContext<T> | undefined {
  const { process } = globalThis as {
    readonly process?: { getBuiltinModule?(name: string): unknown };
  };
  const hooks = process?.getBuiltinModule?.("node:async_hooks") as
    | { readonly AsyncLocalStorage: new () => AsyncContext<T> }
    | undefined;
  return hooks && new hooks.AsyncLocalStorage();
}
