import { type KnownOptions, optionsOf } from "../known_options.ts";
import type { PayloadSchema } from "../entities/schema.ts";
import type { PublishOptions } from "../publish/producer_options.ts";

/**
 * Options of `connection.request`: those of a publish, but for what the request sees to
 * itself. @typeParam A The type of the answer.
 */
export interface RequestOptions<A = unknown> extends
  Omit<
    PublishOptions,
    | "mandatory"
    | "expiration"
    | "delay"
    | "correlationId"
    | "replyTo"
    | "dedupe"
    | "transaction"
  > {
  /**
   * Milliseconds that the answer may take in all: the request waits in its queue no longer
   * than that. @default {the connection's `operationTimeout`}
   */
  readonly timeout?: number | undefined;
  /** Whether the request outlives a restart of the broker; one that is lost with it is published again all the same. @default {false} */
  readonly persistent?: boolean | undefined;
  /** Whether to publish the request again where a lost connection may have taken it, or its answer: the handler may be called twice, under the same message id. @default {true unless the connection's `reconnect` is false} */
  readonly retry?: boolean | undefined;
  /** The content types to read of an answer: MIME types or names of codecs. @default {JSON, plain text and bytes} */
  readonly accept?: readonly string[] | undefined;
  /** Checks and converts the answer: a Standard Schema, or a function that throws. */
  readonly schema?: PayloadSchema<A> | undefined;
}

/** The known options of a request. */
export const REQUEST: KnownOptions = optionsOf<RequestOptions>("request", {
  signal: true,
  timeout: true,
  exchange: true,
  routingKey: "string",
  declare: true,
  serializer: "string",
  compression: true,
  contentType: "string",
  contentEncoding: "string",
  headers: "object",
  key: true,
  priority: true,
  persistent: "boolean",
  messageId: true,
  timestamp: true,
  type: true,
  userId: true,
  appId: true,
  retry: "boolean",
  accept: "array",
  schema: true,
}, {
  queue: '"routingKey": the queue\'s name',
  ttl: '"timeout"',
  expiration: '"timeout": the request expires with it',
  replyTo: "made by itself",
  correlationId: "made by itself",
  id: '"messageId"',
  transaction:
    'an option of "publish": the answer would be waited for before it commits',
  dedupe:
    'an option of "publish": the answer to a duplicate would go to the one who asked first',
});
