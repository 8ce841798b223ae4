import type { ConnectionEvent } from "./connection_state.ts";
import type { RetryOptions } from "./handler_retry.ts";
import type { Message } from "./message.ts";
import { type KnownOptions, optionsOf } from "./known_options.ts";

/** Options of `consumer.run`. @typeParam T What its messages' `payload` is. */
export interface RunOptions<T = unknown> {
  /** The most handlers that run at once. @default {1} */
  readonly concurrency?: number | undefined;
  /** How to try a message again whose handler threw. @default {not at all: it is rejected} */
  readonly retry?: RetryOptions | undefined;
  /**
   * Called when a handler has thrown, and when a message could not be settled, before it
   * is tried again or given up; the event `handler-failed` tells the same to the
   * connection's events. @default {the consumer's `onError`}
   */
  readonly onError?:
    | ((error: Error, message: Message<T>) => void)
    | undefined;
  /** Stops taking messages when it aborts; `run` resolves when the handlers have ended. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds that running handlers have after that. @default {without limit} */
  readonly drainTimeout?: number | undefined;
}

/** Those that there are. */
export const RUN: KnownOptions = optionsOf<RunOptions>("run", {
  concurrency: true,
  retry: true,
  onError: true,
  signal: true,
  drainTimeout: true,
});

/**
 * Makes the event of a handler that has failed.
 *
 * @param error What it threw.
 * @param message The message.
 * @returns The event.
 */
export function handlerFailed<T>(
  error: unknown,
  { deliveryInfo: { queue }, properties: { messageId } }: Message<T>,
): ConnectionEvent {
  return {
    type: "handler-failed",
    queue,
    messageId,
    error: error instanceof Error ? error : new Error(String(error)),
  };
}
