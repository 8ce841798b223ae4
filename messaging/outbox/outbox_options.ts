import type { SqlTransaction } from "../../model/transaction.ts";
import type { Entity } from "../entities/entities.ts";
import type { Queue } from "../entities/queue.ts";
import { type KnownOptions, optionsOf } from "../known_options.ts";
import {
  MESSAGE_KINDS,
  OTHER_WORDS,
  type PublishOptions,
} from "../publish/producer_options.ts";

/** Options of {@linkcode createOutbox}. */
export interface OutboxOptions {
  /** Its name: a database may have several, each with a relay of its own. 1 to 255 bytes in UTF-8. @default {"outbox"} */
  readonly name?: string | undefined;
}

/** The known options of an outbox. */
export const OUTBOX: KnownOptions = optionsOf<OutboxOptions>("createOutbox", {
  name: "string",
});

/**
 * Options of `outbox.publish`: those of a publish, which the relay does later, and the
 * transaction.
 *
 * @typeParam T The type of the payload.
 */
export interface OutboxPublishOptions<T = unknown> extends
  Omit<
    PublishOptions,
    "signal" | "timeout" | "declare" | "retry" | "replyTo" | "transaction"
  > {
  /** The transaction that the message is written in, by the caller's client. */
  readonly transaction: SqlTransaction;
  /** The queue to publish to, instead of an exchange and a routing key; it is not declared. */
  readonly queue?: Queue<T> | string | undefined;
  /** The queue that a reply should go to. */
  readonly replyTo?: string | undefined;
}

/** The known options of such a publish. */
export const OUTBOX_PUBLISH: KnownOptions = optionsOf<OutboxPublishOptions>(
  "outbox.publish",
  {
    transaction: true,
    queue: true,
    exchange: true,
    routingKey: "string",
    serializer: "string",
    compression: true,
    messageId: true,
    replyTo: "string",
    ...MESSAGE_KINDS,
  },
  {
    ...OTHER_WORDS,
    declare: 'an option of "relay"',
    retry: "done by itself, until it is published",
  },
);

/** What a relay tells. */
export type OutboxEvent =
  /** It publishes what comes from now on. */
  | { readonly type: "relaying" }
  /** Another does; it waits to take over. */
  | { readonly type: "waiting" }
  /** The broker has confirmed messages. */
  | { readonly type: "published"; readonly messageIds: readonly string[] }
  /** A message could not be published, or the database not be asked; it is tried again after `delay` ms. */
  | {
    readonly type: "failed";
    readonly error: Error;
    readonly messageId: string | undefined;
    readonly delay: number;
  };

/** Options of `outbox.relay`. */
export interface RelayOptions {
  /** Ends it: what is on its way is waited for. */
  readonly signal?: AbortSignal | undefined;
  /** Exchanges and queues to declare at the broker before the first message. */
  readonly declare?: readonly Entity[] | undefined;
  /** How many messages are on their way at once, of 16 MB together at most, or one; with 1 none overtakes one that the broker refuses. @default {500} */
  readonly maxInFlight?: number | undefined;
  /** After how many ms without a sign of life another takes over, 100 or more. @default {5000} */
  readonly lease?: number | undefined;
  /** How long what is on its way may take when the signal aborts, ms. @default {10000} */
  readonly drainTimeout?: number | undefined;
  /** Called with what happens. Must not throw. */
  readonly onEvent?: ((event: OutboxEvent) => void) | undefined;
}

/** The known options of a relay. */
export const RELAY: KnownOptions = optionsOf<RelayOptions>("outbox.relay", {
  signal: true,
  declare: true,
  maxInFlight: true,
  lease: true,
  drainTimeout: true,
  onEvent: "function",
}, {
  batchSize: '"maxInFlight"',
  prefetch: '"maxInFlight"',
  onError: '"onEvent"',
});
