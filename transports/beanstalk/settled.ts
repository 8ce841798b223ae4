import type { Limits } from "../../async/limits.ts";
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
