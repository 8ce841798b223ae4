import type { Limits } from "../../async/limits.ts";
import type { CallOptions } from "../../model/call_options.ts";
import { notAnswered } from "../connection_errors.ts";
import type { LinkContext } from "./link.ts";

/** What the parts of a store share. */
export interface StoreContext extends LinkContext {
  closing: boolean;
  isLost: boolean;
  onLost: ((error: Error) => void) | undefined;
}

/** An aborted or late call settles at once; what it was about to do is done, or not. */
export function settled<T>(
  limits: Limits,
  promise: Promise<T>,
  signal: AbortSignal | undefined,
  deadline?: number,
): Promise<T> {
  if (signal === undefined && deadline === undefined) return promise;
  return limits.wait(
    promise,
    { signal, deadline },
    () => notAnswered("finish", "unknown"),
  );
}

/** Begins nothing where a call's limits have passed; what was begun settles at once when it is aborted. */
export function limited<T>(
  limits: Limits,
  options: CallOptions | undefined,
  action: string,
  begin: () => Promise<T>,
): Promise<T> {
  const refusal = limits.refusal(options, action);
  if (refusal !== undefined) return Promise.reject(refusal);
  return settled(limits, begin(), options?.signal, options?.deadline);
}
