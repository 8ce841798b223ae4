import type { FieldTable } from "../../model/field_table.ts";
import type { Observer, Watch } from "./hooks.ts";

/** The headers of a message that has none. */
export const NO_HEADERS: FieldTable = Object.freeze({});

/** By middleware, and not in it: a copy of one, with another hook, is a middleware like any. */
const OBSERVERS = new WeakMap<object, Observer>();

/**
 * Says that the hooks of a middleware do what an observer does.
 *
 * @typeParam M The type of the middleware.
 * @param middleware The middleware.
 * @param observer The observer.
 * @returns The middleware.
 */
export function observedBy<M extends object>(
  middleware: M,
  observer: Observer,
): M {
  OBSERVERS.set(middleware, observer);
  return middleware;
}

/**
 * Finds the observer that does all that middlewares do.
 *
 * @param made The middlewares of a connection.
 * @returns The observer; `undefined` where there is none, or another middleware.
 */
export function soleObserver(
  made: readonly object[],
): Observer | undefined {
  const [first, ...others] = made;
  return first === undefined || others.length > 0
    ? undefined
    : OBSERVERS.get(first);
}

/**
 * Has a promise tell of its end.
 *
 * @param promise The promise.
 * @param watch Whom to tell, before the caller knows.
 * @returns The same result.
 */
export function watched<R>(promise: Promise<R>, watch: Watch): Promise<R> {
  return promise.then(
    (result) => {
      watch.ended();
      return result;
    },
    (error) => {
      watch.failed(error);
      throw error;
    },
  );
}
