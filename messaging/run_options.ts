import type { HandlerRetry } from "./handler_retry.ts";
import { type KnownOptions, optionsOf } from "./known_options.ts";

/** Options of `consumer.run`. */
export interface RunOptions {
  /** The most handlers that run at once. @default {1} */
  readonly concurrency?: number | undefined;
  /** How to try a message again whose handler threw. @default {not at all: it is rejected} */
  readonly retry?: HandlerRetry | undefined;
  /** Stops taking messages when it aborts; `run` resolves when the handlers have ended. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds that running handlers have after that. @default {without limit} */
  readonly drainTimeout?: number | undefined;
}

/** Those that there are. */
export const RUN: KnownOptions = optionsOf<RunOptions>("run", {
  concurrency: true,
  retry: true,
  signal: true,
  drainTimeout: true,
});
