import { OptionError } from "../../model/errors.ts";
import { quote } from "../../model/foreign_text.ts";
import type { BreakerOptions } from "./breaker.ts";
import { checkRetry, type RetryOptions } from "./handler_retry.ts";
import type { Inbox } from "../inbox/inbox.ts";
import { checkInbox } from "./inbox_options.ts";
import type { Message } from "./message.ts";
import { checkRateLimit, type RateLimitOptions } from "./rate_limit.ts";
import {
  checkKnown,
  type Kind,
  type KnownOptions,
  optionsOf,
} from "../known_options.ts";
import {
  checkCount,
  checkDuration,
  checkSignal,
} from "../operation_options.ts";

/** The fate of a message when no attempt is left. */
export type OnFailure = "park" | "reject" | "requeue" | "drop";

/** The fate of a message for which its handler failed. */
export type Aftermath =
  | {
    /** It is tried again. */
    readonly type: "retry";
    /** Milliseconds until then. */
    readonly delay: number;
    /** Which attempt that is. */
    readonly attempt: number;
    /** How many there are. */
    readonly attempts: number;
  }
  /** It is given up. */
  | { readonly type: OnFailure };

/** Options of `consumer.run`. @typeParam T The type of its messages' `payload`. */
export interface RunOptions<T = unknown> {
  /** The maximum number of handlers that run at once. @default {1} */
  readonly concurrency?: number | undefined;
  /**
   * How to try a message again whose handler threw; `false` calls the handler once. Calls
   * that end the process of their handler count too. If the broker does not count
   * deliveries, as RabbitMQ's classic queues, a message is written again for it: with a
   * policy of one's own each that was delivered before, without one as many as there are
   * handlers at once.
   * @default {five attempts: after a second, and then twice as long, with chance}
   */
  readonly retry?: RetryOptions | false | undefined;
  /**
   * The fate of a message when no attempt is left, or when it cannot be read. `park`: it goes where
   * its queue dead-letters, with the headers `x-error-name`, `x-error-message` and `x-error-at`,
   * and where that is nowhere to the queue `<queue>.failed`, which is declared when it is first
   * needed. `reject`: it is rejected, and the broker dead-letters it as the queue or a policy of
   * RabbitMQ says, with its own headers alone; where nothing says so it is gone. The event
   * `rejected` tells. `requeue`: it goes back to its queue after a second, and so comes round until
   * its handler succeeds. `drop`: it is acked, and gone; the event `dropped` tells. @default
   * {"park"}
   */
  readonly onFailure?: OnFailure | undefined;
  /**
   * Called when a handler has thrown, and when a message could not be settled, before it
   * is tried again or given up; the event `handler-failed` tells the same to the
   * connection's events. @default {the consumer's `onError`}
   */
  readonly onError?:
    | ((error: Error, message: Message<T>) => void)
    | undefined;
  /** How often the handler begins with a message at most. @default {without limit} */
  readonly rateLimit?: RateLimitOptions<T> | undefined;
  /**
   * A circuit breaker: when too many calls of the handler have failed the consumer takes
   * nothing for a while, and then one message on trial. Such a consumer has no other run
   * at the same time. @default {none}
   */
  readonly breaker?: BreakerOptions | undefined;
  /**
   * Whether handlers are called for messages of one `key` one after another and in order,
   * over all processes and attempts, and for others at the same time: their queues are
   * declared as `ordered`, and the broker has the capability `key-order`. Such a consumer
   * has no other run at the same time. @default {true if a `Queue` of the consumer is ordered}
   */
  readonly ordered?: boolean | undefined;
  /**
   * Remembers which messages were handled: one that was is acked and skipped, and one that is
   * being handled elsewhere waits. `"@dashi/mq/inbox"` makes them. @default {none}
   */
  readonly inbox?: Inbox | undefined;
  /** Names a message for the inbox, within its queue. @default {its `messageId`} */
  readonly inboxKey?: ((message: Message<T>) => string) | undefined;
  /** Stops taking messages when it aborts; `run` resolves when the handlers have ended. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Milliseconds that running handlers have after that, or after `cancel()`. Messages that
   * they have not settled by then go back to their queue when the consumer, or its
   * connection, is closed. @default {until then}
   */
  readonly drainTimeout?: number | undefined;
}

/** The known options, and the type that each must have. */
export const RUN_OPTIONS: Readonly<Record<keyof RunOptions, Kind>> = {
  concurrency: true,
  retry: true,
  onFailure: true,
  onError: "function",
  rateLimit: true,
  breaker: true,
  ordered: "boolean",
  inbox: "object",
  inboxKey: "function",
  signal: true,
  drainTimeout: true,
};

/** The known options of `run`. */
export const RUN: KnownOptions = optionsOf<RunOptions>("run", RUN_OPTIONS, {
  attempts: '"attempts" of "retry"',
  maxAttempts: '"attempts" of "retry"',
  backoff: '"backoff" of "retry"',
  limiter: '"rateLimit"',
  circuitBreaker: '"breaker"',
  idempotencyKey: '"inboxKey"',
  prefetch: 'an option of "connection.consumer"',
});

/**
 * Refuses options that a run cannot have.
 *
 * @typeParam T The type of its messages' `payload`.
 * @param options The options as they were given.
 * @throws {OptionError} If one is unknown, or of the wrong type.
 * @throws {RangeError} If a number is out of range.
 */
export function checkRun<T>(options: RunOptions<T>): void {
  checkKnown(options, RUN);
  checkSignal(options.signal);
  const { concurrency = 1, retry, drainTimeout } = options;
  checkCount("concurrency", concurrency, Number.MAX_SAFE_INTEGER);
  if (drainTimeout !== undefined) checkDuration("drainTimeout", drainTimeout);
  if (retry !== undefined && retry !== false) checkRetry(retry);
  checkOnFailure(options.onFailure);
  checkRateLimit(options.rateLimit);
  checkInbox(options);
}

function checkOnFailure(onFailure: OnFailure | undefined): void {
  if (onFailure === undefined || ALL.includes(onFailure)) return;
  throw new OptionError(
    `Cannot use ${quote(onFailure)} as "onFailure" of run: it must be ${
      ALL.map((each) => `"${each}"`).join(", ")
    }`,
  );
}

const ALL: readonly OnFailure[] = [
  "park",
  "reject",
  "requeue",
  "drop",
];
